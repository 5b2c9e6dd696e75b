"""_contained and _containedType: searching what is inside other resources. R4B 3.1.1.5.6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fhir_server.interactions import compartments, criteria, pending, subjects
from fhir_server.r4b import codec
from fhir_server.r4b.definitions import definitions
from fhir_server.search.contained import contained_of, marker, on_contained
from fhir_server.search.extract import extract, extract_bytes
from fhir_server.search.parse import Parsed
from fhir_server.search.query import Everything, Or, Query
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


def understood(types: Sequence[str], within: object, parsed: Parsed) -> Parsed:
    """The search without _contained where it cannot be done, which is then among what is unknown."""
    if parsed.contained == "false":
        return parsed
    why = ""
    if len(types) != 1 or within is not None:
        why = "contained resources are searched on one type"
    elif parsed.query.sort:
        why = "results of a search in contained resources cannot be sorted"
    elif on_contained(parsed.query.where, marker(types[0])) is None:
        why = "chains, composites, _lastUpdated and text search do not reach into contained resources"
    if not why:
        return parsed
    applied = tuple(each for each in parsed.applied if not each[0].startswith("_contained"))
    return replace(parsed, contained="false", applied=applied, unknown=(*parsed.unknown, ("_contained", why)))


def plan(caller: Caller, parsed: Parsed, direct: list[Query]) -> list[Query]:
    """The queries on what contains (and on what is not contained, with _contained=both)."""
    (type,) = parsed.query.types
    node = on_contained(parsed.query.where, marker(type))
    assert node is not None
    both = {type: query.where for query in direct for type in query.types} if parsed.contained == "both" else {}
    members = compartments.members("Patient")
    queries = []
    open_types = [each for each in definitions().types if caller.allows(each, "s")]
    if caller.subject is not None:
        for each in open_types:
            if each in members:
                inside = criteria.narrowed(Query((each,), node), (each,), subjects.criteria(caller, each))
                where = inside.where if each not in both else Or((inside.where, both[each]))
                queries.append(Query((each,), where))
        return queries
    if type in both:
        where = both[type]
        queries.append(Query((type,), where if isinstance(where, Everything) else Or((where, node))))
    others = tuple(each for each in open_types if each not in both)
    return [*queries, *([Query(others, node)] if others else [])]


def taken_out(hub: Hub, parsed: Parsed, found: Sequence[Version]) -> list[Version]:
    """For each match the contained resources that match, under ``id#contained``, and itself where it matches."""
    (type,) = parsed.query.types
    query = parsed.query
    result: list[Version] = []
    for version in found:
        body = version.body or b"{}"
        if parsed.contained == "both" and version.type == type:
            entries = extract_bytes(type, body, base_urls=hub.base_urls, registry=hub.registry)
            if pending.matches(query, type, version.id, entries):
                result.append(version)
        for _, inside in contained_of(codec.decode(body), type):
            entries = extract(type, inside, base_urls=hub.base_urls, registry=hub.registry)
            if pending.matches(query, type, inside["id"], entries):
                result.append(replace(version, id=f"{version.id}#{inside['id']}", body=codec.encode(inside)))
    return result
