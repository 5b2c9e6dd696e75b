"""A code system in an index file, however large: nothing of it is kept in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from terminology.index import ABSTRACT, DEPRECATED, INACTIVE, NAMED, SAID, ConceptRow, Index, SystemRow
from terminology.server.designations import Designation
from terminology.server.library import Offered
from terminology.server.systems import Concept, Property, Supplement, System, status_of

Json = dict[str, Any]
_WORD: Final = re.compile(r"[^\W_]+")
#: Matches of a text that are read at a time; the first so many are ranked.
_RANKED: Final = 100
_COLUMNS: Final = "c.number, c.code, c.display, c.definition, c.flags"


class Indexed(System):
    """See System. Concept.key is (number, flags)."""

    def __init__(self, index: Index, row: SystemRow, supplements: Sequence[Supplement] = ()) -> None:
        self._index = index
        self.row = row
        self.meta = index.meta(row)
        self.supplements = tuple(supplements)
        self._range = (row.first, row.last)
        self._has_status = self.declares("status")

    @property
    def hierarchical(self) -> bool:
        return self.row.hierarchical

    def __len__(self) -> int:
        return self.row.count

    def locate(self, code: str) -> Concept | None:
        row = self._index.concept(self.row, code)
        if row is None and not self.case_sensitive:
            row = self._index.concept_in_any_case(self.row, code)
        return None if row is None else _concept(row)

    def concepts(self) -> Iterator[Concept]:
        for row in self._index.concepts(self.row):
            yield _concept(row)

    def _several(self, sql: str, parameters: Sequence[Any]) -> list[Concept]:
        return [_concept(row) for row in self._index.each(sql, parameters)]

    def roots(self) -> list[Concept]:
        ask = f"SELECT {_COLUMNS} FROM concepts c WHERE c.number BETWEEN ? AND ?"  # noqa: S608
        ask += " AND NOT EXISTS (SELECT 1 FROM edges WHERE child=c.number) ORDER BY c.number"
        return self._several(ask, self._range)

    def children(self, concept: Concept) -> list[Concept]:
        if not self.row.hierarchical:
            return []
        ask = f"SELECT {_COLUMNS} FROM edges e JOIN concepts c ON c.number=e.child WHERE e.parent=? ORDER BY 1"  # noqa: S608
        return self._several(ask, (concept.key[0],))

    def parents(self, concept: Concept) -> list[Concept]:
        if not self.row.hierarchical:
            return []
        ask = f"SELECT {_COLUMNS} FROM edges e JOIN concepts c ON c.number=e.parent WHERE e.child=? ORDER BY 1"  # noqa: S608
        return self._several(ask, (concept.key[0],))

    def ancestors(self, code: str) -> set[str]:
        return set(self._reach(code, "parent", "child"))

    def descendants(self, code: str) -> list[str]:
        return self._reach(code, "child", "parent")

    def _reach(self, code: str, far: str, near: str) -> list[str]:
        start = self._index.concept(self.row, code) if self.row.hierarchical else None
        if start is None:
            return []
        ask = (
            f"WITH RECURSIVE found(n) AS (SELECT {far} FROM edges WHERE {near}=? UNION"  # noqa: S608
            f" SELECT {far} FROM edges JOIN found ON {near}=found.n)"
            " SELECT code FROM concepts WHERE number IN (SELECT n FROM found) AND number<>? ORDER BY number"
        )
        return [row[0] for row in self._index.each(ask, (start[0], start[0]))]

    def own_designations(self, concept: Concept) -> Sequence[Designation]:
        number, flags = concept.key
        if not flags & NAMED:
            return ()
        ask = "SELECT language, use, value FROM designations WHERE number=? ORDER BY place"
        return [
            Designation(value, language, json.loads(use) if use else None)
            for language, use, value in self._index.each(ask, (number,))
        ]

    def own_properties(self, concept: Concept) -> Sequence[Property]:
        number, flags = concept.key
        if not flags & SAID:
            return ()
        ask = "SELECT n.name, p.kind, p.value FROM properties p JOIN names n ON n.id=p.name WHERE p.number=?"
        ask += " ORDER BY 1, 3"
        return [
            Property(name, kind, _value(kind, value), self.property_uri(name))
            for name, kind, value in self._index.each(ask, (number,))
        ]

    def members(self, name: str) -> Sequence[str] | None:
        ask = "SELECT code FROM sets WHERE system=? AND name=? ORDER BY code"
        return [row[0] for row in self._index.each(ask, (self.row.id, name))] or None

    def own_extensions(self, concept: Concept) -> Sequence[Json]:
        return ()

    def inactive(self, concept: Concept) -> bool:
        return bool(concept.key[1] & INACTIVE)

    def abstract(self, concept: Concept) -> bool:
        return bool(concept.key[1] & ABSTRACT)

    def deprecated(self, concept: Concept) -> bool:
        return bool(concept.key[1] & DEPRECATED)

    def state(self, concept: Concept) -> str | None:
        flags = concept.key[1]
        if not flags & (INACTIVE | DEPRECATED) and not (flags & SAID and self._has_status):
            return None
        return status_of(self.own_properties(concept))

    def having(self, property: str, op: str, value: str, test: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        ask = (
            "SELECT c.code, p.value, p.kind FROM properties p JOIN concepts c ON c.number=p.number"
            " WHERE p.name=(SELECT id FROM names WHERE name=?)"
        )
        more: list[Any] = []
        if op in ("=", "in"):
            values = [value] if op == "=" else [part.strip() for part in value.split(",") if part.strip()]
            ask += f" AND p.value IN ({','.join('?' * len(values))})"
            more = list(values)
        ask += " AND p.number BETWEEN ? AND ? ORDER BY p.number"
        for code, text, kind in self._index.each(ask, (property, *more, *self._range)):
            if kind == "valueCoding":
                text = str(json.loads(text).get("code", ""))
            if test(text):
                yield code, text
        for supplement in self.supplements:
            for code, said in supplement.concepts.items():
                for one in said.get("property") or ():
                    have = str(next((one[key] for key in one if key.startswith("value")), ""))
                    if one.get("code") == property and test(have):
                        yield code, have

    def search(self, text: str) -> Iterator[Concept]:
        words = [word.lower() for word in _WORD.findall(text)]
        if not words:
            return
        seen: set[str] = set()
        for concept in self._by_code(text.strip()):
            if concept.code not in seen:
                seen.add(concept.code)
                yield concept
        # The beginnings of a single letter or digit are half of the index; only the word being typed needs them.
        whole = [f'"{word}"' if len(word) == 1 else f'"{word}"*' for word in words[:-1]]
        match = " AND ".join([*whole, f'"{words[-1]}"*'])
        folded = text.strip().lower()
        after = self.row.first - 1
        while True:
            chunk = self._shortest(match, after)
            if not chunk:
                return
            concepts = [concept for _, concept in chunk]
            if after < self.row.first:
                concepts.sort(key=lambda one: _rank(one.display or one.code, words, folded))
            after = chunk[-1][0]
            for concept in concepts:
                if concept.code not in seen:
                    seen.add(concept.code)
                    yield concept
            if len(chunk) < _RANKED:
                return

    def _shortest(self, match: str, after: int) -> list[tuple[int, Concept]]:
        """(rank, concept) of the next matches, those with the shortest displays first."""
        ask = (
            f"SELECT w.rank, {_COLUMNS} FROM (SELECT rowid AS rank FROM words WHERE words MATCH ?"  # noqa: S608
            " AND rowid>? AND rowid<=? ORDER BY rowid LIMIT ?) w"
            " JOIN nearest n ON n.rank=w.rank JOIN concepts c ON c.number=n.number ORDER BY w.rank"
        )
        parameters = (match, after, self.row.last, _RANKED)
        return [(row[0], _concept(row[1:])) for row in self._index.each(ask, parameters)]

    def _by_code(self, text: str) -> list[Concept]:
        """Codes that begin with the text, when it looks like one."""
        if " " in text or not any(letter.isdigit() for letter in text):
            return []
        found: list[Concept] = []
        for variant in dict.fromkeys((text, text.upper())):
            ask = f"SELECT {_COLUMNS} FROM concepts c WHERE c.system=? AND c.code>=? AND c.code<?"  # noqa: S608
            ask += " ORDER BY c.code LIMIT 100"
            found += self._several(ask, (self.row.id, variant, variant + "\U0010ffff"))
        return found


def _concept(row: ConceptRow | tuple[Any, ...]) -> Concept:
    number, code, display, definition, flags = row
    return Concept(code, display, definition, (number, flags))


def _value(kind: str, text: str) -> Any:
    if kind == "valueBoolean":
        return text == "true"
    if kind == "valueInteger":
        return int(text)
    if kind == "valueDecimal":
        return float(text)
    if kind == "valueCoding":
        return json.loads(text)
    return text


def _rank(display: str, words: list[str], text: str) -> tuple[int, int]:
    """How near a display is to the text: equal, beginning with it, having its words whole, having them at all."""
    lower = display.lower()
    if lower == text:
        return (0, 0)
    if lower.startswith(text):
        return (1, len(lower))
    have = set(_WORD.findall(lower))
    return (2 if all(word in have for word in words) else 3, len(lower))


class IndexShelf:
    """The content of an index file, as the library asks for it."""

    def __init__(self, index: Index) -> None:
        self.index = index

    def systems(self, url: str) -> Sequence[Offered]:
        return [
            Offered(row.url, row.version, row.content, partial(Indexed, self.index, row))
            for row in self.index.systems(url)
        ]

    def supplements(self, url: str) -> Sequence[Json]:
        return ()

    def value_sets(self, url: str) -> Sequence[Json]:
        return self.index.value_sets(url)

    def maps(self, url: str) -> Sequence[Json]:
        return [IndexedMap(self.index, number, meta) for number, meta in self.index.maps(url)]

    def maps_between(self, source: str | None, target: str | None) -> Sequence[Json]:
        return [IndexedMap(self.index, number, meta) for number, meta in self.index.map_ids(source, target)]


class IndexedMap(dict[str, Any]):
    """A ConceptMap whose groups stay in the file; `groups_for` reads the elements that a code needs."""

    def __init__(self, index: Index, number: int, meta: Json) -> None:
        super().__init__(meta)
        self._index, self._number = index, number

    def groups_for(self, code: str, *, reverse: bool) -> list[Json]:
        """The groups with the elements that have this source (or target) code."""
        return [
            {**group, "element": self._index.map_elements(self._number, place, code, by_target=reverse)}
            for place, group in self._index.map_groups(self._number)
        ]
