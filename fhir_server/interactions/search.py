"""search on a type, across types and in a compartment. R4B 3.1.0.10, 3.1.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from fhir_server.interactions import binaries, compartments, criteria, insides, searchset, subjects
from fhir_server.interactions.include import Includer
from fhir_server.interactions.read import shown
from fhir_server.interactions.values import Parameters, SearchSet
from fhir_server.r4b import codec
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Forbidden, Issue
from fhir_server.search.parse import Parsed
from fhir_server.search.query import Query
from fhir_server.store.protocol import Cursor, Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

_KIND = "search"
Total = Literal["none", "bounded", "exact"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page starts. index: which of the plan's queries; total: counted on the first page; now: the moment of
    the first page, for approximate dates."""

    index: int = 0
    after: Cursor | None = None
    snapshot: int | None = None
    total: int | None = None
    backwards: bool = False
    now: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it was addressed. path: ``Patient``, ``Patient/1/Observation`` or '' below the base."""

    path: str
    types: tuple[str, ...]
    within: tuple[str, str] | None = None


async def search(hub: Hub, caller: Caller, asked: Asked, parameters: Parameters, strict: bool) -> SearchSet:
    place, token = Place(), None
    for name, value in parameters:
        if name == "_page":
            token = value
    if token is not None:
        if len(parameters) > 1:
            raise BadRequest("A page link takes no further parameters; start the search again.", code="not-supported")
        parameters, place = _opened(hub, asked, token)
    parsed = await criteria.parse(hub, caller, asked.types, parameters, now=place.now)
    inside = parsed.contained != "false"
    if inside:
        parsed = insides.understood(asked.types, asked.within, parsed)
        inside = parsed.contained != "false"
    parsed, issues = _judged(parsed, strict)
    plan = _plan(hub, caller, asked, parsed)
    if inside:
        plan = insides.plan(caller, parsed, plan)
    if parsed.explain:
        issues += await _explained(hub, caller, plan, parsed)
    if parsed.summary == "count" or parsed.count == 0:
        total = 0
        for query in plan:
            total += await hub.count(query)
        return _set(hub, (), (), total, {"self": address(hub, asked, parsed.applied)}, issues, parsed)
    count = min(parsed.count or hub.options.default_count, hub.options.max_count)
    if parsed.count is not None and parsed.count > count:
        issues.append(Issue("information", "informational", f"_count is at most {count} here; pages hold {count}."))
    reached = await _page(hub, plan, place, count, _total(parsed))
    matches, total_known = reached.matches, reached.total
    if token is None and reached.next is None and parsed.total != "none":
        total_known = len(matches)
    links = _links(hub, asked, parsed, token, place, reached, total_known)
    included: Sequence[Version] = ()
    if parsed.includes or parsed.revincludes:
        includer = Includer(hub, caller, matches)
        await includer.collect(matches, parsed.includes, parsed.revincludes)
        included = includer.found
        issues += includer.issues
    if inside and parsed.contained_type == "contained":
        matches = insides.taken_out(hub, parsed, matches)
        total_known = None if reached.next is not None or token is not None else len(matches)
    return _set(
        hub,
        await binaries.complete_all(hub, matches),
        await binaries.complete_all(hub, included),
        total_known,
        links,
        issues,
        parsed,
    )


def _opened(hub: Hub, asked: Asked, token: str) -> tuple[Parameters, Place]:
    payload: dict[str, Any] = hub.sealer.open(_KIND, token)
    if payload["a"] != asked.path:
        raise BadRequest(f"This page link belongs to {payload['a'] or 'the whole server'}.", code="value")
    after = tuple(payload["c"]) if payload["c"] is not None else None
    place = Place(payload["i"], after, payload["s"], payload["t"], payload["b"], payload["n"])
    return [(name, value) for name, value in payload["p"]], place


def _judged(parsed: Parsed, strict: bool) -> tuple[Parsed, list[Issue]]:
    """What cannot be done as asked: BadRequest under strict handling, else a warning each. R4B 3.1.1.3.3."""
    unknown = list(parsed.unknown)
    if parsed.summary == "text" and (parsed.includes or parsed.revincludes):
        unknown.append(("_include", "it cannot be combined with _summary=text"))
        parsed = replace(parsed, includes=(), revincludes=())
    if strict and unknown:
        raise BadRequest(issues=[Issue("error", "not-supported", f"{name}: {why}", name) for name, why in unknown])
    ignored = [Issue("warning", "not-supported", f"{name} was ignored: {why}", name) for name, why in unknown]
    return parsed, ignored


def _plan(hub: Hub, caller: Caller, asked: Asked, parsed: Parsed) -> list[Query]:
    """The queries that answer, one after the other. Raises Forbidden without the scopes."""
    query = parsed.query
    types = query.types
    if asked.within is not None:
        compartment = asked.within[0]
        members = compartments.members(compartment)
        types = types or members
        caller.require(compartment, "r")
    elif not types and not caller.allows("*", "s"):
        types = definitions().types
    if not types:
        if caller.subject is None:
            return [query]
        types = compartments.members("Patient")
    else:
        explicit = bool(query.types)
        allowed = tuple(type for type in types if caller.allows(type, "s"))
        if (explicit and len(allowed) < len(types)) or not allowed:
            caller.require(next(type for type in types if not caller.allows(type, "s")), "s")
        types = allowed
    if asked.within is None and caller.subject is None:
        return [replace(query, types=types)]
    plan = []
    for type in types:
        where = query.where
        if asked.within is not None:
            inside = compartments.criteria(*asked.within, type)
            if inside is None:
                continue
            where = criteria.narrowed(query, (type,), inside).where
        if caller.subject is not None:
            if type not in compartments.members("Patient"):
                if len(types) == 1:
                    raise Forbidden(f"This key sees one patient only; {type} is in no patient's compartment.")
                continue
            where = criteria.narrowed(replace(query, where=where), (type,), subjects.criteria(caller, type)).where
        plan.append(replace(query, types=(type,), where=where))
    return plan


async def _explained(hub: Hub, caller: Caller, plan: list[Query], parsed: Parsed) -> list[Issue]:
    """How each query of the plan is answered, for those who run the server."""
    if not caller.admin:
        raise Forbidden("_explain needs a key with the admin scope.")
    count = min(parsed.count if parsed.count is not None else hub.options.default_count, hub.options.max_count)
    issues = []
    for query in plan:
        told = await hub.store.explain(query, limit=count)
        issues.append(Issue("information", "informational", codec.encode(told).decode(), "_explain"))
    return issues


def _total(parsed: Parsed) -> Total:
    """Nobody asked: as far as it is cheap. R4B 3.1.1.5.7."""
    if parsed.total is None:
        return "bounded"
    return "none" if parsed.total == "none" else "exact"


@dataclass(frozen=True, slots=True)
class Reached:
    """A page. next: (index of the query, cursor; None for its start) of what follows, previous: cursor to go back
    from; each None when there is nothing."""

    matches: list[Version]
    next: tuple[int, Cursor | None] | None
    previous: Cursor | None
    snapshot: int | None
    total: int | None


async def _page(hub: Hub, plan: list[Query], place: Place, count: int, total: Total) -> Reached:
    first = place.snapshot is None
    if len(plan) == 1:
        page = await hub.run(
            plan[0],
            limit=count,
            after=place.after,
            snapshot=place.snapshot,
            total=total if first else "none",
            backwards=place.backwards,
        )
        before = place.after is not None if not place.backwards else page.next is not None
        following = (0, page.end) if place.backwards and page.end is not None else None
        if not place.backwards and page.next is not None:
            following = (0, page.next)
        counted = page.total if first else place.total
        return Reached(list(page.matches), following, page.start if before else None, page.snapshot, counted)
    return await _across(hub, plan, place, count, total if first else "none")


async def _across(hub: Hub, plan: list[Query], place: Place, count: int, total: Total) -> Reached:
    """A page over several queries, one after the other."""
    counted = place.total
    if total == "exact":
        counted = 0
        for query in plan:
            counted += await hub.count(query)
    matches: list[Version] = []
    index, after, snapshot = place.index, place.after, place.snapshot
    while index < len(plan) and len(matches) < count:
        page = await hub.run(plan[index], limit=count - len(matches), after=after, snapshot=snapshot)
        snapshot = page.snapshot if snapshot is None else snapshot
        matches += page.matches
        if page.next is not None:
            return Reached(matches, (index, page.next), None, snapshot, counted)
        index, after = index + 1, None
    # The page is full and some queries are left: is there anything in them?
    while index < len(plan):
        if (await hub.run(plan[index], limit=1, snapshot=snapshot)).matches:
            return Reached(matches, (index, None), None, snapshot, counted)
        index += 1
    return Reached(matches, None, None, snapshot, counted)


def _links(
    hub: Hub, asked: Asked, parsed: Parsed, token: str | None, place: Place, reached: Reached, total: int | None
) -> dict[str, str]:
    whole = address(hub, asked, parsed.applied)
    links = {"self": whole if token is None else page_address(hub, asked, token)}
    now = place.now or hub.now()

    def sealed(index: int, after: Cursor | None, backwards: bool) -> str:
        payload = {
            "a": asked.path,
            "p": parsed.applied,
            "i": index,
            "c": after,
            "s": reached.snapshot,
            "t": total,
            "b": backwards,
            "n": now,
        }
        return page_address(hub, asked, hub.sealer.seal(_KIND, payload))

    if reached.next is not None or token is not None:
        links["first"] = whole
    if reached.previous is not None:
        links["previous"] = sealed(0, reached.previous, True)
    if reached.next is not None:
        links["next"] = sealed(*reached.next, False)
    return links


def address(hub: Hub, asked: Asked, applied: Parameters) -> str:
    query = _query_string(tuple(applied))
    place = f"{hub.base_url}/{asked.path}" if asked.path else hub.base_url
    return f"{place}?{query}" if query else place


_SAFE = ",|:/$*-_.~"


@lru_cache(maxsize=2048)
def _query_string(applied: tuple[tuple[str, str], ...]) -> str:
    return "&".join(f"{quote(name, safe=':_')}={quote(value, safe=_SAFE)}" for name, value in applied)


def page_address(hub: Hub, asked: Asked, token: str) -> str:
    return f"{hub.base_url}/{asked.path}?_page={token}" if asked.path else f"{hub.base_url}?_page={token}"


def _set(
    hub: Hub,
    matches: Sequence[Version],
    included: Sequence[Version],
    total: int | None,
    links: dict[str, str],
    issues: list[Issue],
    parsed: Parsed,
) -> SearchSet:
    if parsed.summary in ("true", "text", "data") or parsed.elements:
        summary = parsed.summary if not parsed.elements else None
        matches = [replace(m, body=shown(m.body or b"", m.type, summary, parsed.elements)) for m in matches]
        if summary is not None:
            included = [replace(m, body=shown(m.body or b"", m.type, summary, ())) for m in included]
    parts = searchset.entries(hub.base_url, matches, included)
    if issues:
        parts.append(searchset.outcome_entry(issues))
    body = searchset.bundle(b"searchset", parts, now=hub.now(), total=total, links=links)
    return SearchSet(body, matches, included, total, links, tuple(issues))


async def find(hub: Hub, caller: Caller, type: str, parameters: Parameters, limit: int) -> list[Version]:
    """All matches of a strict search, at most `limit`, complete."""
    caller.require(type, "s")
    parsed, _ = _judged(await criteria.parse(hub, caller, (type,), parameters), True)
    query = replace(parsed.query, where=criteria.restricted(caller, type, parsed.query.where))
    found: list[Version] = []
    page_size = min(limit, 500)
    after: Cursor | None = None
    snapshot: int | None = None
    while len(found) < limit:
        page = await hub.run(query, limit=min(page_size, limit - len(found)), after=after, snapshot=snapshot)
        found += page.matches
        if page.next is None:
            break
        after, snapshot = page.next, page.snapshot
    return list(await binaries.complete_all(hub, found))
