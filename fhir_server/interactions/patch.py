"""patch and conditional patch. R4B 3.1.0.9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.interactions import binaries, conditional, json_patch, subjects
from fhir_server.interactions.prepare import Prepared, prepared
from fhir_server.interactions.read import gone, missing
from fhir_server.interactions.update import lost, precondition
from fhir_server.interactions.values import Parameters, Written
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import NotFound, PreconditionFailed, Unprocessable, UnsupportedMediaType
from fhir_server.store.protocol import Guard, GuardFailed, Version, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

JSON_PATCH = "application/json-patch+json"


def document(hub: Hub, body: bytes, content_type: str) -> Any:
    """The patch as a JSON value. Raises UnsupportedMediaType and BadRequest."""
    media = content_type.partition(";")[0].strip().lower()
    if media != JSON_PATCH:
        raise UnsupportedMediaType(f"A patch is sent as {JSON_PATCH}, not {media[:80] or 'without a Content-Type'}.")
    return codec.parse_json(body, limits=hub.options.limits)


async def patched(hub: Hub, caller: Caller, current: Version, changes: Any) -> Prepared:
    """The resource that `changes` make of `current`, valid and indexed."""
    full = await binaries.complete(hub, current)
    assert full.body is not None
    draft = changed(hub, full.body, current, changes)
    return await prepared(hub, caller, current.type, draft, current.id)


def changed(hub: Hub, body: bytes, current: Version, changes: Any) -> Draft:
    result = json_patch.apply(codec.decode(body), changes)
    if not isinstance(result, dict) or result.get("resourceType") != current.type or result.get("id") != current.id:
        raise Unprocessable("A patch may not change resourceType or id.", code="business-rule")
    return codec.parse(codec.encode(result), limits=hub.options.limits)


async def patch(
    hub: Hub,
    caller: Caller,
    type: str,
    id: str,
    body: bytes,
    content_type: str,
    if_match: str | None,
    guards: tuple[Guard, ...] = (),
) -> Written:
    caller.require(type, "u")
    changes = document(hub, body, content_type)
    async with hub.lock(type, id):
        return await _patch(hub, caller, type, id, changes, if_match, guards)


async def _patch(
    hub: Hub, caller: Caller, type: str, id: str, changes: Any, if_match: str | None, guards: tuple[Guard, ...]
) -> Written:
    for _ in hub.attempts():
        current = await hub.store.read(type, id)
        if current is None:
            raise missing(type, id)
        if current.body is None:
            raise gone(current)
        if caller.subject is not None:
            subjects.require_inside(hub, caller, current)
        precondition(type, id, current, if_match, None)
        ready = await patched(hub, caller, current, changes)
        try:
            (version,) = await hub.commit((ready.put(id, "PATCH", current.version),), guards)
        except VersionMismatch as mismatch:
            if if_match is not None:
                raise lost(type, id, mismatch.current) from None
            continue
        assert version is not None
        return Written(version, created=False, issues=ready.issues)
    raise hub.busy()


async def patch_where(
    hub: Hub,
    caller: Caller,
    type: str,
    parameters: Parameters,
    body: bytes,
    content_type: str,
    if_match: str | None,
) -> Written:
    caller.require(type, "u")
    document(hub, body, content_type)
    for _ in hub.attempts():
        found = await conditional.resolve(hub, caller, type, parameters)
        if not found.matches:
            raise NotFound(f"No {type} matches the criteria; there is nothing to patch.")
        if len(found.matches) > 1:
            raise PreconditionFailed(
                f"The criteria match several {type} resources; make them match one.", code="multiple-matches"
            )
        try:
            id = found.matches[0].id
            return await patch(hub, caller, type, id, body, content_type, if_match, (found.guard(),))
        except GuardFailed:
            continue
    raise hub.busy()
