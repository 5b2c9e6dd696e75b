"""A client's search parameters as a query: parsing, and fetching what the parser needs to know first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_server.interactions import reach, subjects
from fhir_server.interactions.catalogue import answered, catalogue_of
from fhir_server.r4b import codec
from fhir_server.r4b.references import parse_reference
from fhir_server.search.extract import extract_bytes
from fhir_server.search.parse import Need, Parsed, parse_search
from fhir_server.search.query import And, Chain, Everything, Has, Node, Not, Or, Query, Reference, Sort, Text, Uri

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.interactions.values import Parameters
    from fhir_server.security.caller import Caller

#: Levels of a hierarchy of references (Location.partOf ...) that :below and :above follow.
_LEVELS = 32

Answer = Collection[tuple[str, str]] | None


async def parse(
    hub: Hub, caller: Caller, types: Sequence[str], parameters: Parameters, *, now: int | None = None
) -> Parsed:
    """parse_search with every Need answered, as this caller may ask it. now: the moment that `ap` is near to.

    Raises BadRequest for bad values, Forbidden for chains to what is not open to the caller."""
    known: dict[Need, Answer] = {}
    while True:
        parsed = await answered(
            hub,
            lambda: parse_search(
                types,
                parameters,
                registry=hub.registry,
                base_urls=hub.base_urls,
                terminology=hub.terminology,
                known=known or None,
                now=now or hub.now(),
            ),
        )
        fresh = [need for need in parsed.needs if need not in known]
        if not fresh:
            return _asked_by(hub, caller, parsed)
        for need in fresh:
            if need.kind == "list":
                caller.require("List", "r")
            known[need] = await _answer(hub, need)


def _asked_by(hub: Hub, caller: Caller, parsed: Parsed) -> Parsed:
    query = parsed.query
    if query.sort and any(key.via for key in query.sort):
        _sort_allowed(caller, query.sort)
    if not isinstance(query.where, And | Or | Not | Chain | Has | Text):
        return parsed
    where = reach.limited(caller, query.where, full_text=hub.options.full_text)
    return parsed if where is query.where else replace(parsed, query=replace(query, where=where))


def _sort_allowed(caller: Caller, keys: Sequence[Sort]) -> None:
    """An order tells about what it goes by."""
    for key in keys:
        for _, types in key.via:
            subjects.refuse(caller, "an order by other resources")
            for type in types:
                caller.require(type, "s")


def restricted(caller: Caller, type: str, where: Node) -> Node:
    """`where`, and inside the patient's compartment for a caller that is bound to one."""
    if caller.subject is None:
        return where
    inside = subjects.criteria(caller, type)
    return inside if isinstance(where, Everything) else And((where, inside))


async def _answer(hub: Hub, need: Need) -> Answer:
    if need.kind == "list":
        return await list_members(hub, need.key)
    if need.kind == "value_set":
        return await value_set_codes(hub, need.key)
    if need.kind == "below":
        return await _below(hub, need.key, need.via)
    return await _above(hub, need.key, need.via)


async def list_members(hub: Hub, id: str) -> list[tuple[str, str]]:
    """(type, id) of what List/`id` holds; [] when there is no such list."""
    version = await hub.store.read("List", id)
    if version is None or version.body is None:
        return []
    found = []
    for entry in codec.decode(version.body).get("entry") or ():
        if entry.get("deleted") is True:
            continue
        reference = parse_reference((entry.get("item") or {}).get("reference") or "", hub.base_urls)
        if reference.kind == "local" and reference.type and reference.id:
            found.append((reference.type, reference.id))
    return found


async def value_set_codes(hub: Hub, key: str) -> Answer:
    """Codes of a value set by canonical url, or of a ValueSet that is kept here; None when it cannot be told."""
    terminology = hub.terminology
    whole = catalogue_of(hub) is not None
    data: dict[str, Any] | None = None
    reference = parse_reference(key, hub.base_urls)
    if reference.kind == "local" and reference.type == "ValueSet" and reference.id:
        version = await hub.store.read("ValueSet", reference.id)
        data = codec.decode(version.body) if version is not None and version.body is not None else None
        key = (data or {}).get("url") or key
    elif not whole:
        data = await _kept(hub, key)
    if data is not None:
        listed = _listed(data)
        if listed is not None:
            return listed
        if terminology is not None:
            expanded: Answer = await answered(hub, lambda: terminology.expand_resource(data))
            if expanded is not None:
                return expanded
    if terminology is None:
        return None
    found: Answer = await answered(hub, lambda: terminology.expand(key))
    return found


async def _kept(hub: Hub, canonical: str) -> dict[str, Any] | None:
    """The ValueSet resource in the store with this canonical url."""
    url, _, number = canonical.partition("|")
    page = await hub.run(Query(("ValueSet",), Uri("url", "exact", url)), limit=20)
    candidates: list[dict[str, Any]] = [codec.decode(match.body or b"{}") for match in page.matches]
    return next((one for one in reversed(candidates) if not number or one.get("version") == number), None)


def _listed(value_set: dict[str, Any]) -> Answer:
    """The codes of a value set that says them all itself, else None."""
    expansion = value_set.get("expansion")
    if expansion is not None:
        found: list[tuple[str, str]] = []
        waiting = list(expansion.get("contains") or ())
        while waiting:
            item = waiting.pop()
            waiting.extend(item.get("contains") or ())
            if item.get("code") and not item.get("abstract"):
                found.append((item.get("system", ""), item["code"]))
        return found
    compose = value_set.get("compose") or {}
    includes = compose.get("include") or ()
    if not includes or compose.get("exclude"):
        return None
    if any("concept" not in part or part.get("valueSet") or part.get("filter") for part in includes):
        return None
    return [(part.get("system", ""), concept["code"]) for part in includes for concept in part["concept"]]


async def _below(hub: Hub, key: str, via: str) -> Answer:
    type, _, id = key.partition("/")
    found = {(type, id)}
    level = [id]
    for _ in range(_LEVELS):
        if not level:
            break
        nodes: tuple[Node, ...] = tuple(Reference(via, type, each) for each in level)
        query = Query((type,), nodes[0] if len(nodes) == 1 else Or(nodes))
        level = []
        async for version in hub.stream(query):
            if (type, version.id) not in found:
                found.add((type, version.id))
                level.append(version.id)
    return found


async def _above(hub: Hub, key: str, via: str) -> Answer:
    type, _, id = key.partition("/")
    found = {(type, id)}
    waiting = [id]
    for _ in range(_LEVELS):
        if not waiting:
            break
        versions = await hub.store.read_many([(type, each) for each in waiting])
        waiting = []
        for version in versions:
            if version is None or version.body is None:
                continue
            entries = extract_bytes(type, version.body, base_urls=hub.base_urls, registry=hub.registry)
            for param, target_type, target, _ in entries.references:
                if param == via and target_type == type and (type, target) not in found:
                    found.add((type, target))
                    waiting.append(target)
    return found


def narrowed(query: Query, types: Sequence[str], where: Node) -> Query:
    """`query` on other types, and with one more condition."""
    joined = where if isinstance(query.where, Everything) else And((query.where, where))
    return replace(query, types=tuple(types), where=joined)
