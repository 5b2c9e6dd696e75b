"""The CodeSystems, ValueSets and ConceptMaps that this server keeps, as the terminology engine asks for them.

The engine is synchronous: what it needs from the store it says by raising Missing; `answered` fetches that and asks
again. What was fetched is kept until this process writes such a resource, or for a few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from fhir_server.search.query import Query, Uri
from fhir_server.security.caller import SYSTEM
from terminology.building import Builder
from terminology.index import Index
from terminology.server.indexed import Indexed
from terminology.server.library import Offered
from terminology.server.listed import Listed
from terminology.server.problems import Missing
from terminology.server.systems import Supplement, System

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.store.protocol import Version
    from terminology.service import Terminology

Json = dict[str, Any]
T = TypeVar("T")
TYPES: Final = frozenset(("CodeSystem", "ValueSet", "ConceptMap"))
#: Seconds within which a process notices what another one has written.
KEEP: Final = 3.0
_MOST: Final = 4096
_ROUNDS: Final = 200
#: Concepts above which a kept code system is put into an index file instead of memory.
LARGE: Final = 5000
_OPENED: Final = 128


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    resources: tuple[Json, ...]


class Catalogue:
    """A Shelf of the library (terminology.server.library) over one hub."""

    def __init__(self, hub: Hub, terminology: Terminology) -> None:
        self._hub = hub
        self._terminology = terminology
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._systems: OrderedDict[tuple[str, str], Listed | Index] = OrderedDict()
        hub.on_commit(self._committed)
        terminology.stored = self

    def _committed(self, versions: Sequence[Version]) -> None:
        if any(version.type in TYPES for version in versions):
            self._kept.clear()
            self._terminology.changed()

    def _get(self, type: str, url: str) -> tuple[Json, ...]:
        kept = self._kept.get((type, url))
        if kept is None or kept.until < time.monotonic():
            raise Missing(type, url)
        return kept.resources

    # Shelf

    def systems(self, url: str) -> Sequence[Offered]:
        return [
            Offered(url, one.get("version"), str(one.get("content")), partial(self._open, one))
            for one in self._get("CodeSystem", url)
        ]

    def _open(self, resource: Json, supplements: Sequence[Supplement]) -> System:
        found = self._systems.get(_key(resource))
        if found is None:
            found = self._systems[_key(resource)] = Listed(resource)
        if isinstance(found, Index):
            return Indexed(found, found.systems()[0], supplements)
        return found.supplemented(supplements) if supplements else found

    def supplements(self, url: str) -> Sequence[Json]:
        return [one for one in self._get("supplement", "") if str(one.get("supplements", "")).partition("|")[0] == url]

    def value_sets(self, url: str) -> Sequence[Json]:
        return self._get("ValueSet", url)

    def maps(self, url: str) -> Sequence[Json]:
        return self._get("ConceptMap", url)

    def maps_between(self, source: str | None, target: str | None) -> Sequence[Json]:
        return self._get("mapping", f"{source or ''}\t{target or ''}")

    # Fetching

    async def fetch(self, need: Missing) -> None:
        """Get from the store what the engine asked for."""
        found = await self._found(need)
        for resource in found:
            if resource["resourceType"] == "CodeSystem" and _key(resource) not in self._systems:
                await self._file_large(resource)
        key = (need.type, need.url)
        before = self._kept.get(key)
        if before is not None and [_key(one) for one in before.resources] != [_key(one) for one in found]:
            self._terminology.changed()
        self._kept[key] = _Kept(time.monotonic() + KEEP, tuple(found))
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        while len(self._systems) > _OPENED:
            self._systems.popitem(last=False)

    async def _found(self, need: Missing) -> list[Json]:
        if need.type == "supplement":
            return await self._hub.find(SYSTEM, "CodeSystem", [("content-mode", "supplement")])
        if need.type == "mapping":
            source, _, target = need.url.partition("\t")
            asked = [(name, value) for name, value in (("source-system", source), ("target-system", target)) if value]
            return await self._hub.find(SYSTEM, "ConceptMap", asked)
        page = await self._hub.run(Query((need.type,), Uri("url", "exact", need.url)), limit=100)
        from fhir_server.r4b import codec

        return [codec.decode(match.body or b"{}") for match in page.matches]

    async def _file_large(self, resource: Json) -> None:
        """A large code system goes into a file beside the index, and is not kept in memory."""
        cache = self._terminology.cache
        if cache is None or _count(resource, LARGE) < LARGE:
            return
        id, version = _key(resource)
        path = cache / "stored" / f"{id}-{version}.sqlite"
        if not path.exists():
            await asyncio.to_thread(_write, resource, path)
        self._systems[_key(resource)] = Index(path)


def _write(resource: Json, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    builder = Builder(part)
    builder.code_system(resource)
    builder.close()
    part.replace(path)


def _key(resource: Json) -> tuple[str, str]:
    return str(resource.get("id", "")), str((resource.get("meta") or {}).get("versionId", ""))


def _count(resource: Json, limit: int) -> int:
    """Concepts of a CodeSystem resource, counted up to `limit`."""
    found = 0
    waiting = list(resource.get("concept") or ())
    while waiting and found < limit:
        concept = waiting.pop()
        found += 1
        waiting.extend(concept.get("concept") or ())
    return found


_CATALOGUES: WeakKeyDictionary[Hub, Catalogue] = WeakKeyDictionary()


def catalogue_of(hub: Hub) -> Catalogue | None:
    """The catalogue of a hub, made on first use; None for a hub without terminology."""
    found = _CATALOGUES.get(hub)
    if found is None and hub.terminology is not None and hasattr(hub.terminology, "stored"):
        found = _CATALOGUES[hub] = Catalogue(hub, hub.terminology)
    return found


async def answered(hub: Hub, work: Callable[[], T], *, heavy: bool = False) -> T:
    """What `work` gives, when everything it needs from the store has been fetched. heavy: in a thread of its own."""
    catalogue = catalogue_of(hub)
    for _ in range(_ROUNDS):
        try:
            return await asyncio.to_thread(work) if heavy else work()
        except Missing as need:
            if catalogue is None:
                raise
            await catalogue.fetch(need)
    raise RuntimeError("a terminology question needs too much from the store")


__all__ = ["answered", "catalogue_of"]
