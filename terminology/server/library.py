"""Where code systems, value sets and concept maps are found: what the client sent along, what is kept in the store,
and the index files. The latest version wins unless one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from terminology.content import SNOMED
from terminology.server.listed import Listed
from terminology.server.systems import Supplement, System, is_language_pack, supplement_of
from terminology.server.versions import matches, order

Json = dict[str, Any]
_USABLE = ("complete", "fragment")


@dataclass(frozen=True, slots=True)
class Offered:
    """A code system that a shelf has. open: makes it ready for use, with these supplements."""

    url: str
    version: str | None
    content: str
    open: Callable[[Sequence[Supplement]], System]


class Shelf(Protocol):
    """A place to find content by canonical url (without version). May raise Missing for what it has to fetch first."""

    def systems(self, url: str) -> Sequence[Offered]: ...

    def supplements(self, url: str) -> Sequence[Json]:
        """CodeSystem resources that supplement the system with this url."""
        ...

    def value_sets(self, url: str) -> Sequence[Json]: ...

    def maps(self, url: str) -> Sequence[Json]: ...

    def maps_between(self, source: str | None, target: str | None) -> Sequence[Json]:
        """ConceptMaps with a group from and to these systems; None: any."""
        ...


class Sent:
    """The resources of a request (tx-resource, valueSet, codeSystem)."""

    def __init__(self, resources: Iterable[Json]) -> None:
        self._resources = list(resources)

    def of(self, type: str, url: str) -> list[Json]:
        return [r for r in self._resources if r.get("resourceType") == type and r.get("url") == url]

    def systems(self, url: str) -> Sequence[Offered]:
        return [offered(resource) for resource in self.of("CodeSystem", url)]

    def supplements(self, url: str) -> Sequence[Json]:
        return [r for r in self._resources if str(r.get("supplements", "")).partition("|")[0] == url]

    def value_sets(self, url: str) -> Sequence[Json]:
        return self.of("ValueSet", url)

    def maps(self, url: str) -> Sequence[Json]:
        return self.of("ConceptMap", url)

    def maps_between(self, source: str | None, target: str | None) -> Sequence[Json]:
        return [r for r in self._resources if r.get("resourceType") == "ConceptMap" and maps_systems(r, source, target)]


def offered(resource: Json) -> Offered:
    """A CodeSystem resource as a shelf offers it."""
    return Offered(
        resource["url"],
        resource.get("version"),
        str(resource.get("content", "complete")),
        lambda supplements: Listed(resource, supplements),
    )


def maps_systems(resource: Json, source: str | None, target: str | None) -> bool:
    """True when a ConceptMap has a group between these systems."""
    for group in resource.get("group") or ():
        if source in (None, group.get("source")) and target in (None, group.get("target")):
            return True
    return False


class Library:
    """Shelves in order of precedence; the first is what the client sent."""

    def __init__(self, shelves: Sequence[Shelf], sent: Sequence[Json] = ()) -> None:
        self._sent = Sent(sent) if sent else None
        self._shelves = tuple(shelves)
        self._opened: dict[tuple[str, str, frozenset[str]], System | None] = {}

    def _all(self) -> tuple[Shelf, ...]:
        return self._shelves if self._sent is None else (self._sent, *self._shelves)

    def system(self, url: str, version: str | None = None, supplements: frozenset[str] = frozenset()) -> System | None:
        """The code system to use, or None. version: maybe with wildcards; supplements: those asked for."""
        key = (url, version or "", supplements)
        if key not in self._opened:
            self._opened[key] = self._find(url, version, supplements)
        return self._opened[key]

    def _find(self, url: str, version: str | None, supplements: frozenset[str]) -> System | None:
        chosen = None
        if self._sent is not None:
            chosen = _best(self._sent.systems(url), version, ("complete",))
        if chosen is None:
            chosen = _best([one for shelf in self._shelves for one in shelf.systems(url)], version, _USABLE)
        if chosen is None and self._sent is not None:
            chosen = _best(self._sent.systems(url), version, _USABLE)
        return None if chosen is None else chosen.open(self._supplements(url, chosen.version, supplements))

    def _supplements(self, url: str, version: str | None, named: frozenset[str]) -> list[Supplement]:
        found: dict[str, Supplement] = {}
        for shelf in self._all():
            for resource in shelf.supplements(url):
                wanted = str(resource.get("supplements", "")).partition("|")[2]
                if wanted and version and not matches(wanted, version):
                    continue
                one = supplement_of(resource)
                if is_language_pack(resource) or any(one.named(name) for name in named):
                    found.setdefault(one.canonical, one)
        return list(found.values())

    def supplement(self, url: str, version: str | None = None) -> Json | None:
        """A CodeSystem resource that is a supplement and has this url itself."""
        if self._sent is None:
            return None
        for one in self._sent.of("CodeSystem", url):
            if one.get("content") == "supplement" and (not version or matches(version, one.get("version"))):
                return one
        return None

    def versions(self, url: str) -> list[str]:
        """Known versions of a code system."""
        found = {one.version for shelf in self._all() for one in shelf.systems(url) if one.version}
        return sorted(found, key=order)

    def value_set(self, canonical: str, version: str | None = None) -> Json | None:
        """A ValueSet resource by canonical url (maybe with ``|version``), or one that a url implies."""
        url, _, pinned = canonical.partition("|")
        if "?fhir_vs" in url:
            return implied(url)
        return self._resource([shelf.value_sets(url) for shelf in self._all()], version or pinned or None)

    def map(self, canonical: str, version: str | None = None) -> Json | None:
        url, _, pinned = canonical.partition("|")
        return self._resource([shelf.maps(url) for shelf in self._all()], version or pinned or None)

    def maps_between(self, source: str | None, target: str | None) -> list[Json]:
        """ConceptMaps between two systems, one (the latest version) per url."""
        found: dict[str, Json] = {}
        for number, shelf in enumerate(self._all()):
            for one in shelf.maps_between(source, target):
                url = one.get("url") or f"{number}/{one.get('id')}"
                if url not in found or order(found[url].get("version")) < order(one.get("version")):
                    found[url] = one
        return list(found.values())

    @staticmethod
    def _resource(places: Sequence[Sequence[Json]], version: str | None) -> Json | None:
        first, *others = places
        for candidates in ([*first], [one for place in others for one in place]):
            fitting = [one for one in candidates if version is None or matches(version, one.get("version"))]
            if fitting:
                return max(fitting, key=lambda one: order(one.get("version")))
        return None


def implied(url: str) -> Json | None:
    """The value set of a url ``[system]?fhir_vs``: all of a code system; and for SNOMED CT (maybe with edition and
    version) ``=isa/[code]``, ``=refset/[code]``, ``=refset`` and ``=ecl/[expression]``. None for other urls."""
    base, _, asked = url.partition("?fhir_vs")
    include: Json = {"system": base}
    if base == SNOMED or base.startswith(f"{SNOMED}/"):
        include = {"system": SNOMED}
        if base != SNOMED:
            include["version"] = base
    kind, _, value = asked.removeprefix("=").partition("/")
    if asked and "system" in include and include["system"] != SNOMED:
        return None
    value = unquote(value)
    if kind == "isa" and value:
        include["filter"] = [{"property": "concept", "op": "is-a", "value": value}]
    elif kind == "refset":
        include["filter"] = [{"property": "concept", "op": "in", "value": value}] if value else [_REFERENCE_SETS]
    elif kind == "ecl" and value:
        include["filter"] = [{"property": "constraint", "op": "=", "value": value}]
    elif asked:
        return None
    return {
        "resourceType": "ValueSet",
        "url": url,
        "name": "Implied",
        "title": f"Implied by {url}",
        "status": "active",
        "compose": {"include": [include]},
    }


#: Concepts that are reference sets.
_REFERENCE_SETS: Json = {"property": "concept", "op": "is-a", "value": "900000000000455006"}


def _best(candidates: Sequence[Offered], version: str | None, contents: tuple[str, ...]) -> Offered | None:
    fitting = [
        one for one in candidates if one.content in contents and (version is None or matches(version, one.version))
    ]
    return max(fitting, key=lambda one: order(one.version)) if fitting else None
