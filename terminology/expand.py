"""Value set definitions -> their codes (R4B 4.9.8), against an index. Pure but for reading the index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from terminology.content import ICD10CM, SNOMED
from terminology.index import Concept, Index, System

Json = dict[str, Any]
Pair = tuple[str, str]
Members = dict[Pair, str | None]
"""(system, code) -> display, in the order of the definition."""


class Unknown(LookupError):
    """The expansion needs a value set, system or filter that is not here; the message says which."""


class Expander:
    """Expands value sets. `find` gives the definition (a ValueSet resource) of a canonical url that the index lacks."""

    def __init__(self, index: Index, find: Callable[[str], Json | None] | None = None) -> None:
        self._index = index
        self._find = find

    def by_url(self, canonical: str, seen: frozenset[str] = frozenset()) -> Members:
        """The members of the value set with this canonical url (maybe with ``|version``). Raises Unknown."""
        url, _, version = canonical.partition("|")
        if url in seen:
            raise Unknown(f"The value set {url} includes itself.")
        found = self._find(canonical) if self._find else None
        if found is not None:
            return self.resource(found, seen | {url})
        stored = self._index.value_set(url)
        if stored is None or (version and stored.version and not _same(version, stored.version)):
            raise Unknown(f"The value set {canonical} is not known here.")
        if stored.members is not None:
            return {(system, code): display or None for system, code, display in stored.members}
        return self.compose(stored.compose or {}, seen | {url})

    def resource(self, value_set: Json, seen: frozenset[str] = frozenset()) -> Members:
        """The members of a ValueSet resource; its stored expansion when it has no definition. Raises Unknown."""
        if value_set.get("compose"):
            return self.compose(value_set["compose"], seen)
        members: Members = {}

        def walk(items: Iterable[Json]) -> None:
            for item in items:
                if item.get("code") and not item.get("abstract"):
                    members[(item.get("system", ""), item["code"])] = item.get("display")
                walk(item.get("contains", ()))

        walk(value_set.get("expansion", {}).get("contains", ()))
        return members

    def compose(self, compose: Json, seen: frozenset[str] = frozenset()) -> Members:
        members: Members = {}
        for include in compose.get("include", ()):
            for pair, display in self._include(include, seen).items():
                members.setdefault(pair, display)
        for exclude in compose.get("exclude", ()):
            for pair in self._include(exclude, seen):
                members.pop(pair, None)
        return members

    def _include(self, include: Json, seen: frozenset[str]) -> Members:
        """One include: what its system part and every one of its value sets have in common."""
        parts: list[Members] = []
        if include.get("system"):
            parts.append(self._system(include))
        parts += [self.by_url(url, seen) for url in include.get("valueSet", ())]
        if not parts:
            return {}
        first, *others = parts
        return {pair: display for pair, display in first.items() if all(pair in other for other in others)}

    def _system(self, include: Json) -> Members:
        url = include["system"]
        if "concept" in include:
            return {(url, concept["code"]): concept.get("display") for concept in include["concept"]}
        system = self._index.system(url)
        if system is None:
            raise Unknown(f"The code system {url} is not known here.")
        filters = include.get("filter", ())
        if url == SNOMED and [f.get("value") for f in filters] == ["gps"]:
            filters = ()
        elif system.content != "complete":
            raise Unknown(f"Only a part of the code system {url} is known here.")
        concepts = {concept.code: concept for concept in self._index.concepts(system)}
        chosen = list(concepts)
        for item in filters:
            allowed = self._filtered(system, item, concepts)
            chosen = [code for code in chosen if code in allowed]
        if url == ICD10CM and not filters:
            chosen = list(concepts)
        return {(url, code): concepts[code].display for code in chosen}

    def _filtered(self, system: System, item: Json, concepts: dict[str, Concept]) -> set[str]:
        """The codes that one filter leaves (R4B 4.9.8.3)."""
        name, op, value = item["property"], item["op"], str(item["value"])
        index = self._index
        if name in ("concept", "code") or op in ("is-a", "descendent-of", "is-not-a", "generalizes"):
            match op:
                case "is-a":
                    return set(index.below(system, value))
                case "descendent-of":
                    return set(index.below(system, value)) - {value}
                case "is-not-a":
                    return set(concepts) - set(index.below(system, value))
                case "generalizes":
                    return set(index.above(system, value))
                case "=":
                    return {value}
                case "in":
                    return set(_list(value))
                case "not-in":
                    return set(concepts) - set(_list(value))
                case "regex":
                    pattern = _pattern(value)
                    return {code for code in concepts if pattern.fullmatch(code)}
        if name in ("parent", "child"):
            wanted = _list(value) if op in ("in", "not-in") else [value]
            step = index.children if name == "parent" else index.parents
            found = {code for one in wanted for code in step(system, one)}
            return set(concepts) - found if op == "not-in" else found
        if name == "display":
            values = [(code, concept.display or "") for code, concept in concepts.items()]
        else:
            values = index.with_property(system, name)
        match op:
            case "=":
                return {code for code, have in values if have == value}
            case "in":
                return {code for code, have in values if have in _list(value)}
            case "not-in":
                return set(concepts) - {code for code, have in values if have in _list(value)}
            case "regex":
                pattern = _pattern(value)
                return {code for code, have in values if pattern.fullmatch(have)}
            case "exists":
                having = {code for code, _ in values}
                return having if value == "true" else set(concepts) - having
        raise Unknown(f"The filter {name} {op} {value} on {system.url} is not supported.")


def _pattern(value: str) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except re.error as wrong:
        raise Unknown(f"The filter value {value!r} is not a regular expression: {wrong}.") from wrong


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _same(asked: str, have: str) -> bool:
    return asked == have or have.startswith(f"{asked}.")
