"""history of a resource, a type or the whole server. R4B 3.1.0.13."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from fhir_server.interactions import binaries, criteria, searchset, subjects
from fhir_server.interactions.read import missing
from fhir_server.interactions.values import Parameters, SearchSet
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Issue
from fhir_server.r4b.times import time_range
from fhir_server.store.protocol import Cursor

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

_KIND = "history"


@dataclass(slots=True)
class _Asked:
    count: int
    since: int | None = None
    at: tuple[int, int] | None = None
    after: Cursor | None = None
    total: int | None = None
    token: str | None = None
    lists: tuple[str, ...] = ()


async def history(
    hub: Hub, caller: Caller, type: str | None, id: str | None, parameters: Parameters, strict: bool
) -> SearchSet:
    types = _allowed(caller, type, id)
    path = "/".join(filter(None, (type, id, "_history")))
    if caller.subject is not None and id is None:
        subjects.refuse(caller, "the history of a type or of the server")
    asked, applied, issues = _asked(hub, parameters, path, strict)
    page = await hub.store.history(
        type=type,
        id=id,
        types=types,
        among=await _among(hub, caller, type, asked.lists, types),
        since=asked.since,
        at=asked.at,
        limit=max(asked.count, 1),
        after=asked.after,
        total=asked.token is None,
    )
    versions = page.versions if asked.count else ()
    if id is not None and type is not None and asked.token is None and not versions:
        known = await hub.store.read(type, id)
        if known is None:
            raise missing(type, id)
    if caller.subject is not None:
        for version in page.versions:
            if version.body is not None:
                subjects.require_inside(hub, caller, version)
    total = page.total if asked.token is None else asked.total
    whole = f"{hub.base_url}/{path}"
    if applied:
        whole += "?" + "&".join(f"{name}={quote(value, safe=':')}" for name, value in applied)
    links = {"self": whole if asked.token is None else f"{hub.base_url}/{path}?_page={asked.token}"}
    if asked.count and page.next is not None:
        payload = {"h": path, "c": page.next, "t": total, "p": applied}
        links["next"] = f"{hub.base_url}/{path}?_page={hub.sealer.seal(_KIND, payload)}"
    if asked.token is not None or "next" in links:
        links["first"] = whole
    full = await binaries.complete_all(hub, versions)
    # What was ignored is left out of the self link; a history's entries are versions only (bdl-2, bdl-3).
    parts = [searchset.history_entry(hub.base_url, version) for version in full]
    body = searchset.bundle(b"history", parts, now=hub.now(), total=total, links=links)
    return SearchSet(body, full, (), total, links, tuple(issues))


async def _among(
    hub: Hub, caller: Caller, type: str | None, lists: tuple[str, ...], types: tuple[str, ...]
) -> list[tuple[str, str]] | None:
    """What is on the lists, as far as it was asked for and is open; None when no list was named. R4B 3.1.0.13.1"""
    if not lists:
        return None
    caller.require("List", "r")
    keys: dict[tuple[str, str], None] = {}
    for id in lists:
        keys.update(dict.fromkeys(await criteria.list_members(hub, id)))
    return [key for key in keys if type in (None, key[0]) and (not types or key[0] in types)]


def _allowed(caller: Caller, type: str | None, id: str | None) -> tuple[str, ...]:
    """The types to ask for when it is the whole server and not every type is open; () otherwise."""
    if type is not None:
        caller.require(type, "r" if id is not None else "s")
        return ()
    if caller.allows("*", "s"):
        return ()
    types = tuple(each for each in definitions().types if caller.allows(each, "s"))
    if not types:
        caller.require("*", "s")
    return types


def _asked(
    hub: Hub, parameters: Parameters, path: str, strict: bool
) -> tuple[_Asked, list[tuple[str, str]], list[Issue]]:
    tokens = [value for name, value in parameters if name == "_page"]
    token = tokens[0] if tokens else None
    payload = None
    if token is not None:
        if len(parameters) > 1:
            raise BadRequest("A page link takes no further parameters; start again.", code="not-supported")
        payload = hub.sealer.open(_KIND, token)
        if payload["h"] != path:
            raise BadRequest(f"This page link belongs to {payload['h']}.", code="value")
        parameters = [(name, value) for name, value in payload["p"]]
    asked = _Asked(hub.options.default_count)
    issues: list[Issue] = []
    applied: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in parameters:
        if name in seen:
            raise BadRequest(f"{name} is given twice; give it once.", expression=name)
        if name == "_count":
            if not (value.isascii() and value.isdecimal() and len(value) < 10):
                raise BadRequest("_count is a number of resources, 0 or more.", expression=name)
            asked.count = min(int(value), hub.options.max_count)
        elif name in ("_since", "_at"):
            span = time_range(value, search=True)
            if span is None:
                raise BadRequest(f"{name} is a date or an instant such as 2026-01-01T00:00:00Z.", expression=name)
            if name == "_since":
                asked.since = span[0]
            else:
                asked.at = span
        elif name == "_list" and path.count("/") < 2:
            asked.lists = tuple(part.strip().removeprefix("List/") for part in value.split(","))
            if not all(asked.lists):
                raise BadRequest("_list is the id of a List.", expression=name)
        elif strict:
            raise BadRequest(f"{name[:64]} means nothing on a history.", code="not-supported", expression=name[:64])
        else:
            text = f"{name[:64]} was ignored: it means nothing on a history."
            issues.append(Issue("warning", "not-supported", text, name[:64]))
            continue
        seen.add(name)
        applied.append((name, value))
    if payload is not None:
        asked.after, asked.total, asked.token = tuple(payload["c"]), payload["t"], token
    return asked, applied, issues
