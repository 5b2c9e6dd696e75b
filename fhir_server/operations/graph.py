"""``[type]/[id]/$graph``: a resource with what a GraphDefinition says belongs to it (R4B graphdefinition.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fhir_server.fhirpath import FhirPathError, nodes, root_node
from fhir_server.fhirpath.values import Node
from fhir_server.operations.arguments import arguments
from fhir_server.operations.bundles import collection
from fhir_server.operations.following import Key, read_all
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import BadRequest, NotFound, Unprocessable
from fhir_server.r4b.references import parse_reference
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_MOST = 5_000


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """A collection Bundle, the resource first. `graph`: id, name or canonical URL of a GraphDefinition."""
    given = arguments(request, ("graph",))
    wanted = given.text("graph")
    if wanted is None:
        raise BadRequest("$graph needs the parameter graph: the id, name or URL of a GraphDefinition.")
    definition = await _definition(hub, caller, wanted)
    if definition.get("start") != request.type:
        raise Unprocessable(f"The graph '{wanted}' starts at {definition.get('start')}, not at {request.type}.")
    start = await hub.read_resource(caller, request.type, request.id)
    walk = _Walk(hub, caller)
    await walk.links(start, definition.get("link", ()))
    return OperationResult(encode(collection(hub.base_url, [start, *walk.found(start)])))


async def _definition(hub: Hub, caller: Caller, wanted: str) -> Json:
    for name in ("url", "_id", "name:exact"):
        found = await hub.find(
            caller,
            "GraphDefinition",
            [(name, wanted.rsplit("GraphDefinition/", 1)[-1]) if name == "_id" else (name, wanted)],
            limit=1,
        )
        if found:
            return found[0]
    raise NotFound(f"There is no GraphDefinition '{wanted}'.")


class _Walk:
    def __init__(self, hub: Hub, caller: Caller) -> None:
        self.hub, self.caller = hub, caller
        self._found: dict[Key, Json] = {}

    def found(self, start: Json) -> list[Json]:
        return [one for key, one in self._found.items() if key != (start["resourceType"], start["id"])]

    async def links(self, source: Json, links: list[Json]) -> None:
        for link in links:
            targets = link.get("target", ())
            reached = 0
            if "path" in link:
                for resource in await self._by_path(source, str(link["path"])):
                    for target in targets or ({"type": resource["resourceType"]},):
                        if target.get("type") in (resource["resourceType"], "Resource"):
                            reached += 1
                            await self._reach(resource, target)
            else:
                for target in targets:
                    for resource in await self._by_search(source, target):
                        reached += 1
                        await self._reach(resource, target)
            if reached < int(link.get("min", 0)):
                what = link.get("path") or link.get("description") or "a link"
                raise Unprocessable(f"The graph needs at least {link['min']} of '{what}'; there are {reached}.")

    async def _reach(self, resource: Json, target: Json) -> None:
        key = (resource["resourceType"], resource["id"])
        new = key not in self._found
        self._found[key] = resource
        if len(self._found) > _MOST:
            raise Unprocessable(f"The graph holds more than {_MOST} resources.", code="too-costly")
        if new:
            await self.links(resource, target.get("link", ()))

    async def _by_path(self, source: Json, path: str) -> list[Json]:
        try:
            items = nodes(path.removesuffix(".resolve()"), root_node(source))
        except FhirPathError as error:
            raise Unprocessable(f"The path '{path}' of the graph cannot be evaluated: {error}") from None
        keys: dict[Key, None] = {}
        for item in items:
            text = item.value.get("reference") if isinstance(item, Node) and isinstance(item.value, dict) else None
            parsed = parse_reference(text, (self.hub.base_url,)) if isinstance(text, str) else None
            if parsed is not None and parsed.kind == "local" and parsed.type and parsed.id:
                keys[parsed.type, parsed.id] = None
        found, _ = await read_all(self.hub, self.caller, keys)
        return found

    async def _by_search(self, source: Json, target: Json) -> list[Json]:
        query = str(target.get("params", ""))
        if "{ref}" not in query:
            raise Unprocessable("A graph's link without a path needs target.params with {ref}.")
        reference = f"{source['resourceType']}/{source['id']}"
        parameters = parse_qsl(query.replace("{ref}", reference), keep_blank_values=True)
        return await self.hub.find(self.caller, str(target.get("type")), parameters, limit=_MOST)


register(
    Operation(
        name="graph",
        levels=("instance",),
        types=(),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Resource-graph",
        documentation="A resource with all that a GraphDefinition says belongs to it.",
    )
)
