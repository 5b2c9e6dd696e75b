"""patch and conditional patch. R4B 3.1.0.9."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from fhir_server.interactions import binaries, conditional, json_patch, subjects
from fhir_server.interactions.prepare import Prepared, prepared
from fhir_server.interactions.read import gone, missing
from fhir_server.interactions.update import lost, precondition
from fhir_server.interactions.values import Parameters, Written
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft, Limits
from fhir_server.r4b.outcome import (
    BadRequest,
    NotFound,
    PreconditionFailed,
    TooLarge,
    Unprocessable,
    UnsupportedMediaType,
)
from fhir_server.r4b.validate import validate
from fhir_server.store.protocol import Guard, GuardFailed, Version, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

JSON_PATCH: Final = "application/json-patch+json"
XML_PATCH: Final = "application/xml-patch+xml"
#: A Parameters resource in one of these is a FHIRPath Patch.
_FHIR_JSON: Final = ("application/fhir+json", "application/json", "application/json+fhir", "text/json")
_FHIR_XML: Final = ("application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml")
#: What a patch may be sent as (CapabilityStatement.patchFormat).
FORMATS: Final = (JSON_PATCH, XML_PATCH, "application/fhir+json", "application/fhir+xml")

Change = Callable[[bytes], Any]
"""From a resource's JSON to the patched resource as a JSON value. Raises Unprocessable."""


def document(hub: Hub, body: bytes, content_type: str) -> Change:
    """The patch, understood. Raises UnsupportedMediaType and BadRequest."""
    media = content_type.partition(";")[0].strip().lower()
    limits = hub.options.limits
    if media == JSON_PATCH:
        changes = codec.parse_json(body, limits=limits)
        return lambda resource: json_patch.apply(codec.decode(resource), changes)
    if media == XML_PATCH:
        if len(body) > limits.size:
            raise TooLarge(f"The body has {len(body):,} bytes; the most that is taken is {limits.size:,}.")
        return lambda resource: _by_xml(resource, body, limits)
    if media in _FHIR_JSON or media in _FHIR_XML:
        return _by_fhirpath(body if media in _FHIR_JSON else _json_of(body, limits), limits)
    raise UnsupportedMediaType(
        f"A patch is sent as one of {', '.join(FORMATS)}, not {media[:80] or 'without a Content-Type'}.",
        headers={"Accept-Patch": ", ".join(FORMATS)},
    )


def _json_of(body: bytes, limits: Limits) -> bytes:
    from fhir_server.r4b.xml import from_xml

    return from_xml(body, limits=limits)


def _by_xml(resource: bytes, body: bytes, limits: Limits) -> Any:
    # XML is loaded when it is first spoken.
    from fhir_server.interactions import xml_patch
    from fhir_server.r4b.xml import to_xml

    return codec.decode(_json_of(xml_patch.apply(to_xml(resource), body), limits))


def _by_fhirpath(body: bytes, limits: Limits) -> Change:
    from fhir_server.fhirpath.patch import apply_fhirpath_patch

    draft = codec.parse(body, limits=limits)
    if draft.type != "Parameters":
        raise BadRequest(f"A patch is a Parameters resource, not a {draft.type}.", expression="resourceType")
    problems = [issue for issue in validate(draft.data) if issue.severity in ("error", "fatal")]
    if problems:
        raise BadRequest(issues=problems)
    return lambda resource: apply_fhirpath_patch(codec.decode(resource), draft.data)


async def patched(hub: Hub, caller: Caller, current: Version, change: Change) -> Prepared:
    """The resource that `change` makes of `current`, valid and indexed."""
    full = await binaries.complete(hub, current)
    assert full.body is not None
    draft = changed(hub, full.body, current, change)
    return await prepared(hub, caller, current.type, draft, current.id)


def changed(hub: Hub, body: bytes, current: Version, change: Change) -> Draft:
    result = change(body)
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
    change = document(hub, body, content_type)
    async with hub.lock(type, id):
        return await _patch(hub, caller, type, id, change, if_match, guards)


async def _patch(
    hub: Hub, caller: Caller, type: str, id: str, change: Change, if_match: str | None, guards: tuple[Guard, ...]
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
        ready = await patched(hub, caller, current, change)
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
