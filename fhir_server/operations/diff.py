"""``$diff``: what changed between two versions, as a FHIRPath Patch that leads from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import decode, encode
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Unprocessable
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_STAMPS = frozenset({"versionId", "lastUpdated"})


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """On an instance: `from` (a version id; by default the one before) to `to` (by default the current one).
    On the system: `from` and `to` are references to two resources of one type."""
    given = arguments(request, ("from", "to", "fromVersion", "toVersion", "includeMeta"))
    if request.id:
        newest = await hub.read(caller, request.type, request.id)
        to = given.text("toVersion") or given.text("to") or str(newest.version)
        start = given.text("fromVersion") or given.text("from") or str(int(to) - 1 if to.isdecimal() else to)
        if start == "0":
            raise Unprocessable(
                f"{request.type}/{request.id} has no version before version {to}: there is nothing to compare it with.",
                code="not-found",
            )
        left = await hub.vread(caller, request.type, request.id, start)
        right = await hub.vread(caller, request.type, request.id, to)
        before, after = decode(left.body or b"{}"), decode(right.body or b"{}")
    else:
        before = await _referenced(hub, caller, given.text("from"))
        after = await _referenced(hub, caller, given.text("to"))
    if before.get("resourceType") != after.get("resourceType"):
        raise BadRequest("$diff compares resources of one type.")
    if not given.flag("includeMeta"):
        before, after = _unstamped(before), _unstamped(after)
    operations = difference(before, after)
    return OperationResult(encode({"resourceType": "Parameters", "parameter": operations}))


async def _referenced(hub: Hub, caller: Caller, text: str | None) -> Json:
    parts = (text or "").split("/")
    if len(parts) == 2:
        return await hub.read_resource(caller, parts[0], parts[1])
    if len(parts) == 4 and parts[2] == "_history":
        version = await hub.vread(caller, parts[0], parts[1], parts[3])
        return dict(decode(version.body or b"{}"))
    raise BadRequest("$diff needs 'from' and 'to', each like Patient/1 or Patient/1/_history/2.")


def _unstamped(resource: Json) -> Json:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _STAMPS}
    rest = {name: value for name, value in resource.items() if name not in ("meta", "id")}
    return {**rest, **({"meta": meta} if meta else {})}


def difference(before: Json, after: Json) -> list[Json]:
    """`Parameters.parameter` of a FHIRPath Patch; [] when nothing differs. Pure."""
    type = str(after.get("resourceType"))
    operations: list[Json] = []
    _objects(before, after, type, type, operations)
    return operations


def _objects(before: Json, after: Json, path: str, type: str | None, into: list[Json]) -> None:
    for key in before:
        if key not in after and not key.startswith("_"):
            into.append(_operation("delete", f"{path}.{_name(type, key)[0]}"))
    for key, value in after.items():
        name, inner = _name(type, key)
        if key.startswith("_") or key == "resourceType":
            continue
        here = f"{path}.{name}"
        if key not in before:
            for one in value if isinstance(value, list) else [value]:
                into.append(_operation("add", path, name=name, value=(key, one)))
        elif isinstance(value, list) and isinstance(before[key], list):
            _lists(before[key], value, path, (name, key, inner), into)
        elif isinstance(value, dict) and isinstance(before[key], dict):
            _objects(before[key], value, here, inner, into)
        elif value != before[key]:
            into.append(_operation("replace", here, value=(key, value)))


def _lists(
    before: list[Any], after: list[Any], path: str, names: tuple[str, str, str | None], into: list[Json]
) -> None:
    name, key, inner = names
    for place in reversed(range(len(after), len(before))):
        into.append(_operation("delete", f"{path}.{name}[{place}]"))
    for place, value in enumerate(after):
        here = f"{path}.{name}[{place}]"
        if place >= len(before):
            into.append(_operation("add", path, name=name, value=(key, value)))
        elif isinstance(value, dict) and isinstance(before[place], dict):
            _objects(before[place], value, here, inner, into)
        elif value != before[place]:
            into.append(_operation("replace", here, value=(key, value)))


def _name(type: str | None, key: str) -> tuple[str, str | None]:
    """(FHIRPath name, type of its content) of a JSON property."""
    if type is not None:
        try:
            elements = definitions().elements(type)
        except KeyError:
            return key, None
        for name, element in elements.items():
            reference = element.json_names.get(key)
            if reference is not None:
                return name, element.content or reference.code
    return key, None


def _operation(kind: str, path: str, *, name: str | None = None, value: tuple[str, Any] | None = None) -> Json:
    parts: list[Json] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    if name is not None:
        parts.append({"name": "name", "valueString": name})
    if value is not None:
        parts.append(_value(*value))
    return {"name": "operation", "part": parts}


def _value(key: str, value: Any) -> Json:
    if isinstance(value, dict):
        if "resourceType" in value:
            return {"name": "value", "resource": value}
        return {"name": "value", "part": [_named(name, held) for name, held in _members(value)]}
    if isinstance(value, bool):
        return {"name": "value", "valueBoolean": value}
    if isinstance(value, int):
        return {"name": "value", "valueInteger": value}
    return {"name": "value", "valueString" if isinstance(value, str) else "valueDecimal": value}


def _members(value: Json) -> list[tuple[str, Any]]:
    return [
        (name, item)
        for name, held in value.items()
        if not name.startswith("_")
        for item in (held if isinstance(held, list) else [held])
    ]


def _named(name: str, value: Any) -> Json:
    return {**_value(name, value), "name": name}


register(
    Operation(
        name="diff",
        levels=("system", "instance"),
        types=(),
        affects_state=False,
        handler=handle,
        definition="OperationDefinition/diff",
        documentation="What changed between two versions, as a FHIRPath Patch.",
    )
)
