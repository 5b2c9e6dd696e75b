"""The codes of a value set, and nothing else of it: for searches and bindings (R4B 4.9.8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from terminology.server.asked import Asked
from terminology.server.filters import all_of, filter_of
from terminology.server.library import Library
from terminology.server.problems import Refused
from terminology.server.session import Session
from terminology.server.systems import Concept, System

Json = dict[str, Any]
Pair = tuple[str, str]
Members = dict[Pair, str | None]
"""(system, code) -> display, in the order of the definition."""


class Unknown(LookupError):
    """The expansion needs a value set, system or filter that is not here; the message says which."""


class Expander:
    """Expands value sets that a library has. Raises Missing for what is to be fetched first."""

    def __init__(self, library: Library) -> None:
        self._session = Session(library, Asked())

    def by_url(self, canonical: str, seen: frozenset[str] = frozenset(), source: Json | None = None) -> Members:
        """The members of the value set with this canonical url (maybe with ``|version``). Raises Unknown."""
        url = canonical.partition("|")[0]
        if url in seen:
            raise Unknown(f"The value set {url} includes itself.")
        found = self._session.value_set(canonical, source)
        if found is None:
            raise Unknown(f"The value set {canonical} is not known here.")
        return self.resource(found, seen | {url})

    def resource(self, value_set: Json, seen: frozenset[str] = frozenset()) -> Members:
        """The members of a ValueSet resource; its stored expansion when it has no definition. Raises Unknown."""
        compose = value_set.get("compose")
        stored = value_set.get("expansion", {}).get("contains", ())
        if not compose:
            return _listed(stored)
        try:
            return self._compose(compose, seen, value_set)
        except Unknown:
            if not stored:
                raise
            # Whoever stored the expansion had the content that is not here.
            return _listed(stored)

    def _compose(self, compose: Json, seen: frozenset[str], value_set: Json) -> Members:
        members: Members = {}
        for include in compose.get("include", ()):
            for pair, display in self._include(include, seen, value_set).items():
                members.setdefault(pair, display)
        for exclude in compose.get("exclude", ()):
            for pair in self._include(exclude, seen, value_set):
                members.pop(pair, None)
        return members

    def _include(self, include: Json, seen: frozenset[str], value_set: Json) -> Members:
        """One include: what its system part and every one of its value sets have in common."""
        parts: list[Members] = []
        if include.get("system"):
            parts.append(self._system(include))
        parts += [self.by_url(url, seen, value_set) for url in include.get("valueSet", ())]
        if not parts:
            return {}
        first, *others = parts
        return {pair: display for pair, display in first.items() if all(pair in other for other in others)}

    def _system(self, include: Json) -> Members:
        url = include["system"]
        if "concept" in include:
            return {(url, concept["code"]): concept.get("display") for concept in include["concept"]}
        system = self._session.system(url, include.get("version"))
        if system is None:
            raise Unknown(f"The code system {url} is not known here.")
        if system.open_ended:
            raise Unknown(f"The codes of {url} are made by rules and cannot be listed.")
        if not system.complete and (include.get("filter") or not include.get("version")):
            raise Unknown(f"Only a part of the code system {url} is known here.")
        return {(url, concept.code): concept.display for concept in self._chosen(system, include.get("filter") or ())}

    @staticmethod
    def _chosen(system: System, filters: Iterable[Json]) -> Iterable[Concept]:
        try:
            tests = [filter_of(system, one["property"], one["op"], str(one["value"]), "") for one in filters]
        except Refused as refused:
            raise Unknown(str(refused)) from refused
        return all_of(system, tests) if tests else system.concepts()


def _listed(items: Iterable[Json]) -> Members:
    found: Members = {}
    waiting = list(items)[::-1]
    while waiting:
        item = waiting.pop()
        if item.get("code") and not item.get("abstract"):
            found[(item.get("system", ""), item["code"])] = item.get("display")
        waiting.extend(reversed(item.get("contains", ())))
    return found
