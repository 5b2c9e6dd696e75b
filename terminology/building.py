"""Writes index files (terminology.index): one pass over the content, rows first, indexes after."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.index import ABSTRACT, DEPRECATED, INACTIVE, INDEXES, NAMED, SAID, SCHEMA, packed
from terminology.server.systems import Property, is_abstract, is_inactive, properties_of, status_of

Json = dict[str, Any]
_HIERARCHY = frozenset(("parent", "subsumedBy", "child"))


@dataclass(slots=True)
class Row:
    """A concept as it goes into the file. parents: codes; designations: (language, use, value)."""

    code: str
    display: str | None = None
    definition: str | None = None
    parents: Sequence[str] = ()
    properties: Sequence[Property] = ()
    designations: Sequence[tuple[str | None, Json | None, str]] = ()
    extensions: Sequence[Json] = ()


class Builder:
    """A new index file. Code systems are told apart by url and version; what was written first stays."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA page_size=4096;" + SCHEMA)
        self.db.execute("BEGIN")
        self.systems: dict[tuple[str, str | None], int] = {}
        self.value_sets: set[tuple[str, str | None]] = set()
        self.maps: set[tuple[str, str | None]] = set()
        self._names: dict[str, int] = {}
        self._number = 0

    @property
    def written(self) -> int:
        """Concepts so far."""
        return self._number

    # Code systems

    def code_system(self, resource: Json) -> bool:
        """A CodeSystem resource; False when it has no url, no concepts of its own, or is there already."""
        if not resource.get("url") or resource.get("content") not in ("complete", "fragment"):
            return False
        return self.system({k: v for k, v in resource.items() if k != "concept"}, rows_of(resource))

    def system(self, meta: Json, rows: Iterable[Row]) -> bool:
        """A code system by its resource without concepts, and its concepts, parents before children."""
        key = (meta["url"], meta.get("version"))
        if key in self.systems:
            return False
        number = self.systems[key] = len(self.systems) + 1
        first = self._number + 1
        numbers: dict[str, int] = {}
        waiting: list[tuple[int, Sequence[str]]] = []
        texts: list[tuple[int, int, str]] = []
        for row in rows:
            if row.code in numbers:
                continue
            self._number += 1
            numbers[row.code] = self._number
            texts.append((len(row.display or ""), self._number, self._row(number, self._number, row)))
            if row.parents:
                waiting.append((self._number, row.parents))
        texts.sort(key=lambda one: one[:2])
        self.db.executemany(
            "INSERT INTO nearest VALUES (?,?)", ((first + rank, one) for rank, (_, one, _) in enumerate(texts))
        )
        self.db.executemany(
            "INSERT INTO words (rowid, text) VALUES (?,?)",
            ((first + rank, text) for rank, (_, _, text) in enumerate(texts)),
        )
        edges = [(child, numbers[code]) for child, codes in waiting for code in codes if code in numbers]
        self.db.executemany("INSERT OR IGNORE INTO edges VALUES (?,?)", edges)
        self.db.execute(
            "INSERT INTO systems VALUES (?,?,?,?,?,?,?,?,?)",
            (
                number,
                *key,
                meta.get("content", "complete"),
                first,
                self._number,
                len(numbers),
                bool(edges),
                packed(lean(meta)),
            ),
        )
        return True

    def _row(self, system: int, number: int, row: Row) -> str:
        """Writes a concept; its names, for the search by text."""
        flags = ABSTRACT if is_abstract(row.properties) else 0
        if is_inactive(row.properties, row.extensions):
            flags |= INACTIVE
        if status_of(row.properties, row.extensions) in ("deprecated", "retired"):
            flags |= DEPRECATED
        values = [(number, self._name(p.code), p.kind, _text(p)) for p in row.properties if p.code not in _HIERARCHY]
        if values:
            flags |= SAID
            self.db.executemany("INSERT OR IGNORE INTO properties VALUES (?,?,?,?)", values)
        if row.designations:
            flags |= NAMED
            self.db.executemany(
                "INSERT INTO designations VALUES (?,?,?,?,?)",
                [
                    (number, place, language, json.dumps(use, separators=(",", ":")) if use else None, value)
                    for place, (language, use, value) in enumerate(row.designations)
                ],
            )
        self.db.execute(
            "INSERT INTO concepts VALUES (?,?,?,?,?,?)",
            (number, system, row.code, row.display, row.definition, flags),
        )
        names = dict.fromkeys([row.display or "", *(value for _, _, value in row.designations)])
        return "\n".join(name for name in names if name)

    def _name(self, name: str) -> int:
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = len(self._names) + 1
            self.db.execute("INSERT INTO names VALUES (?,?)", (found, name))
        return found

    def members(self, url: str, version: str | None, name: str, codes: Iterable[str]) -> None:
        """A named set of codes of a system, e.g. a reference set."""
        number = self.systems[(url, version)]
        self.db.executemany("INSERT OR IGNORE INTO sets VALUES (?,?,?)", ((number, name, code) for code in codes))

    # Value sets and maps

    def value_set(self, resource: Json) -> bool:
        key = (resource.get("url", ""), resource.get("version"))
        if not key[0] or key in self.value_sets:
            return False
        self.value_sets.add(key)
        self.db.execute(
            "INSERT INTO value_sets (url, version, resource) VALUES (?,?,?)", (*key, packed(lean(resource)))
        )
        return True

    def concept_map(self, resource: Json) -> bool:
        meta = {key: value for key, value in resource.items() if key != "group"}
        groups = [
            ({key: value for key, value in group.items() if key != "element"}, iter(group.get("element") or ()))
            for group in resource.get("group") or ()
        ]
        return self.map(meta, groups)

    def map(self, meta: Json, groups: Iterable[tuple[Json, Iterable[Json]]]) -> bool:
        """A ConceptMap by its resource without groups, and (group without elements, elements)."""
        key = (meta.get("url", ""), meta.get("version"))
        if not key[0] or key in self.maps:
            return False
        self.maps.add(key)
        number = len(self.maps)
        self.db.execute("INSERT INTO maps VALUES (?,?,?,?)", (number, *key, packed(lean(meta))))
        for place, (group, elements) in enumerate(groups):
            self.db.execute(
                "INSERT INTO map_groups VALUES (?,?,?,?,?)",
                (number, place, group.get("source"), group.get("target"), packed(group)),
            )
            self.db.executemany("INSERT INTO mappings VALUES (?,?,?,?,?)", _mappings(number, place, elements))
        return True

    def close(self) -> None:
        """The indexes, and the file as small as it can be."""
        self.db.execute("INSERT INTO words (words) VALUES ('optimize')")
        self.db.execute("COMMIT")
        self.db.executescript(INDEXES + "ANALYZE; VACUUM;")
        self.db.close()


def _mappings(map: int, place: int, elements: Iterable[Json]) -> Iterator[tuple[Any, ...]]:
    for element in elements:
        if not element.get("code"):
            continue
        blob = packed(element)
        targets = dict.fromkeys(target.get("code") for target in element.get("target") or ()) or {None: None}
        for number, target in enumerate(targets):
            # One row a target, so that it is found backwards; the element itself is under the first alone.
            alone = {**element, "target": [t for t in element.get("target") or () if t.get("code") == target]}
            yield map, place, element["code"], target, blob if len(targets) == 1 and number == 0 else packed(alone)


def rows_of(resource: Json) -> Iterator[Row]:
    """The concepts of a CodeSystem resource."""
    parents: dict[str, list[str]] = {}
    waiting = [(concept, "") for concept in reversed(resource.get("concept") or ())]
    ordered: list[Json] = []
    while waiting:
        concept, above = waiting.pop()
        ordered.append(concept)
        code = concept["code"]
        if above:
            parents.setdefault(code, []).append(above)
        for item in concept.get("property") or ():
            if item.get("code") in ("parent", "subsumedBy") and item.get("valueCode"):
                parents.setdefault(code, []).append(item["valueCode"])
            elif item.get("code") == "child" and item.get("valueCode"):
                parents.setdefault(item["valueCode"], []).append(code)
        waiting.extend((child, code) for child in reversed(concept.get("concept") or ()))
    for concept in ordered:
        yield Row(
            concept["code"],
            (concept.get("display") or "").strip() or None,
            concept.get("definition"),
            parents.get(concept["code"], ()),
            properties_of(concept, resource),
            [(d.get("language"), d.get("use"), d["value"]) for d in concept.get("designation") or () if d.get("value")],
            concept.get("extension") or (),
        )


def lean(resource: Json) -> Json:
    """A resource without its narrative."""
    return {key: value for key, value in resource.items() if key not in ("text", "meta", "id")}


def _text(one: Property) -> str:
    if isinstance(one.value, dict):
        return json.dumps(one.value, separators=(",", ":"))
    return one.text
