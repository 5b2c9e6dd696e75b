"""``$everything`` for Patient and Encounter: the compartment, and what its resources refer to. R4B Patient operations.

https://hl7.org/fhir/R4B/operation-patient-everything.html, .../operation-encounter-everything.html
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fhir_server.interactions import binaries, compartments, searchset, subjects
from fhir_server.interactions.tokens import Sealer
from fhir_server.interactions.values import Parameters
from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Forbidden
from fhir_server.r4b.times import time_range
from fhir_server.search.entries import MAX_TIME, MIN_TIME
from fhir_server.search.query import And, Date, LastUpdated, Missing, Node, Or, Query
from fhir_server.store.protocol import Cursor, Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

_KIND: Final = "everything"
_NAMES: Final = ("start", "end", "_since", "_type", "_count", "_page")
_PAGE: Final = 250
_ROUNDS: Final = 3
#: The date of care of a resource: the first of these that its type has.
_CARE_DATES: Final = (
    "date",
    "onset-date",
    "started",
    "effective-time",
    "effective",
    "authored",
    "authoredon",
    "authored-on",
    "occurrence",
    "created",
    "whenhandedover",
    "start-date",
    "sent",
    "period",
    "recorded-date",
)
_REFERENCE: Final = re.compile(rb'"reference":"([^"#?\\]*?)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})["/#]')


@dataclass(slots=True)
class _Asked:
    """since: microseconds. care: range of care dates. types: () for all. count: None for all at once."""

    since: int | None = None
    care: tuple[int, int] | None = None
    types: frozenset[str] = frozenset()
    count: int | None = None
    applied: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Place:
    """index: which type of the compartment; after: cursor within it. seen: checksums of what was included so far."""

    index: int = -1
    after: Cursor | None = None
    snapshot: int | None = None
    seen: set[int] = field(default_factory=set)


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    given = arguments(request, _NAMES)
    parameters = [(name, str(value)) for name in _NAMES for value in given.all(name)]
    chunks = stream(hub, caller, request.type, request.id, parameters, strict=request.strict)
    return OperationResult(chunks)


async def stream(
    hub: Hub, caller: Caller, type: str, id: str, parameters: Parameters, *, strict: bool = False
) -> AsyncIterator[bytes]:
    """Chunks of a searchset Bundle. Refusals come before the first chunk."""
    path = f"{type}/{id}/$everything"
    asked, place, token = _understood(hub.sealer, path, parameters)
    asked.count = min(asked.count, hub.options.max_count) if asked.count is not None else None
    caller.require(type, "r")
    if caller.subject is not None and (type != "Patient" or subjects.patient_of(caller) != id):
        raise Forbidden("This key sees one patient only, and this is not that patient.")
    focus = await hub.read(caller, type, id)
    gathering = _Gathering(hub, caller, focus, asked, place)
    first, matched = True, 0
    async for matches, included in gathering.batches():
        parts = searchset.entries(hub.base_url, matches, included)
        if not parts:
            continue
        matched += len(matches)
        head = b'{"resourceType":"Bundle","type":"searchset","entry":[' if first else b","
        first = False
        yield head + b",".join(parts)
    links = _links(hub, path, asked, token, gathering.following)
    start = b'{"resourceType":"Bundle","type":"searchset"' if first else b"]"
    total = b',"total":%d' % matched if token is None and gathering.following is None else b""
    yield start + total + b',"link":' + searchset.links_json(links) + b"}"


def _links(hub: Hub, path: str, asked: _Asked, token: str | None, following: _Place | None) -> dict[str, str]:
    base = f"{hub.base_url}/{path}"
    query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in asked.applied)
    whole = f"{base}?{query}" if query else base
    links = {"self": whole if token is None else f"{base}?_page={token}"}
    if following is not None:
        payload = {
            "h": path,
            "p": asked.applied,
            "i": following.index,
            "c": following.after,
            "s": following.snapshot,
            "x": sorted(following.seen),
        }
        links["next"] = f"{base}?_page={hub.sealer.seal(_KIND, payload)}"
    if token is not None or following is not None:
        links["first"] = whole
    return links


def _understood(sealer: Sealer, path: str, parameters: Parameters) -> tuple[_Asked, _Place, str | None]:
    token = next((value for name, value in parameters if name == "_page"), None)
    place = _Place()
    if token is not None:
        if len(parameters) > 1:
            raise BadRequest("A page link takes no further parameters; start again.", code="not-supported")
        payload: dict[str, Any] = sealer.open(_KIND, token)
        if payload["h"] != path:
            raise BadRequest(f"This page link belongs to {payload['h']}.", code="value")
        parameters = [(name, value) for name, value in payload["p"]]
        after = tuple(payload["c"]) if payload["c"] is not None else None
        place = _Place(payload["i"], after, payload["s"], set(payload["x"]))
    return _asked(parameters), place, token


def _asked(parameters: Parameters) -> _Asked:
    asked = _Asked()
    low, high = MIN_TIME, MAX_TIME
    types: set[str] = set()
    for name, value in parameters:
        if name in ("start", "end", "_since"):
            span = time_range(value, search=True)
            if span is None:
                raise BadRequest(f"{name} is a date such as 2026-01-31, or an instant.", code="value", expression=name)
            if name == "_since":
                asked.since = span[0]
            elif name == "start":
                low = span[0]
            else:
                high = span[1]
        elif name == "_type":
            for type in value.split(","):
                if not definitions().is_resource(type.strip()):
                    raise BadRequest(f"_type: {type[:64]!r} is not a resource type.", code="value", expression=name)
                types.add(type.strip())
        elif name == "_count":
            if not (value.isascii() and value.isdecimal() and 0 < len(value) < 10 and int(value) > 0):
                raise BadRequest("_count is a number of resources, 1 or more.", code="value", expression=name)
            asked.count = int(value)
        else:
            raise BadRequest(
                f"$everything has no parameter '{name[:64]}'; it takes {', '.join(_NAMES[:-1])}.",
                code="not-supported",
                expression=name[:64],
            )
        asked.applied.append((name, value))
    asked.types = frozenset(types)
    if (low, high) != (MIN_TIME, MAX_TIME):
        asked.care = (low, high)
    return asked


class _Gathering:
    """The resources, batch by batch. `following` is where the next page starts, when there is one."""

    def __init__(self, hub: Hub, caller: Caller, focus: Version, asked: _Asked, place: _Place) -> None:
        self._hub, self._caller, self._focus, self._asked = hub, caller, focus, asked
        self._index, self._after, self._snapshot, self._seen = place.index, place.after, place.snapshot, place.seen
        members = compartments.members(focus.type)
        self._types = [type for type in members if self._wanted(type)]
        self._own = frozenset(compartments.members("Patient"))
        self._bases = tuple(f"{base}/".encode() for base in hub.base_urls)
        self.following: _Place | None = None

    def _wanted(self, type: str) -> bool:
        return (not self._asked.types or type in self._asked.types) and self._caller.allows(type, "r")

    async def batches(self) -> AsyncIterator[tuple[Sequence[Version], Sequence[Version]]]:
        left = self._asked.count
        if self._index < 0:
            self._index = 0
            matches = [self._focus] if self._shows(self._focus) else []
            yield matches, await self._supporting([self._focus])
            left = None if left is None else left - len(matches)
        while self._index < len(self._types):
            if left is not None and left <= 0:
                if await self._more():
                    self.following = _Place(self._index, self._after, self._snapshot, self._seen)
                return
            type = self._types[self._index]
            page = await self._hub.run(
                self._query(type),
                limit=min(_PAGE, left) if left is not None else _PAGE,
                after=self._after,
                snapshot=self._snapshot,
            )
            if self._snapshot is None:
                self._snapshot = page.snapshot
            self._after = page.next
            if page.next is None:
                self._index += 1
            matches = [m for m in page.matches if (m.type, m.id) != (self._focus.type, self._focus.id)]
            if left is not None:
                left -= len(matches)
            if matches:
                full = await binaries.complete_all(self._hub, matches)
                yield full, await self._supporting(matches)

    async def _more(self) -> bool:
        """Whether anything is left; passes over types that have nothing."""
        while self._index < len(self._types):
            if self._after is not None:
                return True
            page = await self._hub.run(self._query(self._types[self._index]), limit=2, snapshot=self._snapshot)
            if any((m.type, m.id) != (self._focus.type, self._focus.id) for m in page.matches):
                return True
            self._index += 1
        return False

    def _shows(self, version: Version) -> bool:
        since = self._asked.since
        return self._wanted(version.type) and (since is None or version.last_updated >= since)

    def _query(self, type: str) -> Query:
        where = compartments.criteria(self._focus.type, self._focus.id, type)
        assert where is not None
        nodes: list[Node] = [where]
        if self._asked.since is not None:
            nodes.append(LastUpdated("ge", self._asked.since, self._asked.since))
        if self._asked.care is not None:
            care = self._care(type, *self._asked.care)
            if care is not None:
                nodes.append(care)
        return Query((type,), nodes[0] if len(nodes) == 1 else And(tuple(nodes)))

    def _care(self, type: str, low: int, high: int) -> Node | None:
        """Care within the range, or without a date of care."""
        parameters = self._hub.registry.parameters(type)
        for code in _CARE_DATES:
            if code in parameters and parameters[code].type == "date":
                return Or((Date(code, "ap", low, high), Missing(code, "date", True)))
        return None

    async def _supporting(self, matches: Sequence[Version]) -> list[Version]:
        """What `matches` refer to outside every patient's compartment: practitioners, organizations, medications ..."""
        found: list[Version] = []
        frontier = matches
        for _ in range(_ROUNDS):
            keys: dict[tuple[str, str], None] = {}
            for version in frontier:
                for base, type_, id_ in _REFERENCE.findall(version.body or b""):
                    if base and base not in self._bases:
                        continue
                    key = (type_.decode(), id_.decode())
                    if self._supports(key[0]) and key not in keys:
                        mark = zlib.crc32(b"%s/%s" % (type_, id_))
                        if mark not in self._seen:
                            self._seen.add(mark)
                            keys[key] = None
            if not keys:
                break
            versions = await self._hub.store.read_many(list(keys))
            frontier = [version for version in versions if version is not None and version.body is not None]
            found += [version for version in frontier if self._shows(version)]
        return list(await binaries.complete_all(self._hub, found))

    def _supports(self, type: str) -> bool:
        if self._focus.type == "Encounter" and type == "Patient":
            return True
        return type not in self._own and self._caller.allows(type, "r") and definitions().is_resource(type)


for _type in ("Patient", "Encounter"):
    register(
        Operation(
            name="everything",
            levels=("instance",),
            types=(_type,),
            affects_state=False,
            handler=handle,
            definition=f"http://hl7.org/fhir/OperationDefinition/{_type}-everything",
            documentation=f"All that concerns one {_type}, streamed or paged.",
        )
    )
