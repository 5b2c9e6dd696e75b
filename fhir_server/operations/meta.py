"""``$meta``, ``$meta-add``, ``$meta-delete``: profiles, tags and security labels (R4B resource-operation-meta*)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Level, Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import decode, encode
from fhir_server.r4b.outcome import BadRequest
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_LISTS: Final = ("profile", "security", "tag")


def _same(left: Any, right: Any) -> bool:
    """A profile is its text; a tag or label is its system and code (R4B resource.html#tags)."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.get("system") == right.get("system") and left.get("code") == right.get("code")
    return bool(left == right)


def added(meta: Json, more: Json) -> Json:
    """`meta` with what it lacks of `more`."""
    result = dict(meta)
    for name in _LISTS:
        items = list(meta.get(name, ()))
        items += [one for one in more.get(name, ()) if not any(_same(one, item) for item in items)]
        if items:
            result[name] = items
    return result


def removed(meta: Json, less: Json) -> Json:
    """`meta` without what `less` names."""
    result = dict(meta)
    for name in _LISTS:
        items = [item for item in meta.get(name, ()) if not any(_same(item, one) for one in less.get(name, ()))]
        result.pop(name, None)
        if items:
            result[name] = items
    return result


async def read_meta(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """The meta of one resource; on a type or the system, all that is in use there."""
    arguments(request, ())
    if request.id:
        resource = await hub.read_resource(caller, request.type, request.id)
        return _answer(resource.get("meta", {}))
    caller.require(request.type or "*", "s")
    found: Json = {}
    async for batch in hub.store.scan(types=(request.type,) if request.type else ()):
        for version in batch:
            if version.body is not None and b'"meta"' in version.body:
                found = added(found, decode(version.body).get("meta", {}))
    return _answer(found)


async def add_meta(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    return await _change(hub, caller, request, remove=False)


async def delete_meta(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    return await _change(hub, caller, request, remove=True)


async def _change(hub: Hub, caller: Caller, request: OperationRequest, *, remove: bool) -> OperationResult:
    meta = arguments(request, ("meta",)).one("meta")
    if not isinstance(meta, dict):
        raise BadRequest("The operation needs a parameter 'meta' with valueMeta.", expression="Parameters.parameter")
    caller.require(request.type, "u")
    resource = await hub.read_resource(caller, request.type, request.id)
    before = resource.get("meta", {})
    after = removed(before, meta) if remove else added(before, meta)
    if after != before:
        resource["meta"] = after
        version = await hub.save(caller, resource, if_match=int(before["versionId"]))
        after = decode(version.body or b"{}").get("meta", {})
    return _answer(after)


def _answer(meta: Json) -> OperationResult:
    value = {name: held for name, held in meta.items() if held}
    return OperationResult(
        encode({"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": value}]})
    )


def _declare(name: str, levels: tuple[Level, ...], affects: bool, handler: Any, text: str) -> None:
    definition = f"http://hl7.org/fhir/OperationDefinition/Resource-{name}"
    register(Operation(name, levels, (), affects, handler, definition, text))


_declare("meta", ("system", "type", "instance"), False, read_meta, "Profiles, tags and security labels in use.")
_declare("meta-add", ("instance",), True, add_meta, "Adds profiles, tags and security labels to a resource.")
_declare("meta-delete", ("instance",), True, delete_meta, "Removes profiles, tags and security labels.")
