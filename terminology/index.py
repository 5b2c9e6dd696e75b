"""A built terminology index: one read-only SQLite file, memory-mapped and shared by processes.

The shipped content is one such file; each release that an operator loads is another.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

#: Raised when what is written below changes: an index of another layout is not opened.
LAYOUT = 3
SCHEMA = f"""
PRAGMA user_version={LAYOUT};
CREATE TABLE systems (id INTEGER PRIMARY KEY, url TEXT NOT NULL, version TEXT, content TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, hierarchical INTEGER NOT NULL,
  meta BLOB NOT NULL, UNIQUE (url, version));
CREATE TABLE concepts (number INTEGER PRIMARY KEY, system INTEGER NOT NULL, code TEXT NOT NULL, display TEXT,
  definition TEXT, flags INTEGER NOT NULL);
CREATE TABLE edges (child INTEGER NOT NULL, parent INTEGER NOT NULL, PRIMARY KEY (child, parent)) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE properties (number INTEGER NOT NULL, name INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (number, name, value)) WITHOUT ROWID;
CREATE TABLE designations (number INTEGER NOT NULL, place INTEGER NOT NULL, language TEXT, use TEXT,
  value TEXT NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE TABLE value_sets (id INTEGER PRIMARY KEY, url TEXT NOT NULL, version TEXT, resource BLOB NOT NULL);
CREATE TABLE maps (id INTEGER PRIMARY KEY, url TEXT NOT NULL, version TEXT, meta BLOB NOT NULL);
CREATE TABLE map_groups (map INTEGER NOT NULL, place INTEGER NOT NULL, source TEXT, target TEXT, meta BLOB NOT NULL,
  PRIMARY KEY (map, place)) WITHOUT ROWID;
CREATE TABLE mappings (map INTEGER NOT NULL, place INTEGER NOT NULL, source TEXT NOT NULL, target TEXT,
  element BLOB NOT NULL);
CREATE TABLE sets (system INTEGER NOT NULL, name TEXT NOT NULL, code TEXT NOT NULL,
  PRIMARY KEY (system, name, code)) WITHOUT ROWID;
CREATE TABLE nearest (rank INTEGER PRIMARY KEY, number INTEGER NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (text, content='', columnsize=0, detail=none, prefix='2 3',
  tokenize='unicode61 remove_diacritics 2');
"""
# The rowid of words is a rank, by the length of the display, within the same range as the numbers of the system: the
# first matches that the table gives are the shortest, and the search may end with them.
#: Made when the rows are there, which is faster than keeping them up to date.
INDEXES = """
CREATE UNIQUE INDEX concept_codes ON concepts (system, code);
CREATE INDEX edge_parents ON edges (parent, child);
CREATE INDEX property_values ON properties (name, value, number);
CREATE INDEX value_set_urls ON value_sets (url);
CREATE INDEX map_urls ON maps (url);
CREATE INDEX map_sources ON map_groups (source, target);
CREATE INDEX map_targets ON map_groups (target);
CREATE INDEX mapping_sources ON mappings (map, place, source);
CREATE INDEX mapping_targets ON mappings (map, place, target);
"""
ABSTRACT, INACTIVE, DEPRECATED, SAID, NAMED = 1, 2, 4, 8, 16
"""Flags of a concept. SAID: it has properties; NAMED: it has designations."""


def packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), 6)


def unpacked_json(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob))


@dataclass(frozen=True, slots=True)
class SystemRow:
    """A code system in the file. first, last: numbers of its concepts, in the order of the definition."""

    id: int
    url: str
    version: str | None
    content: str
    first: int
    last: int
    count: int
    hierarchical: bool


#: number, code, display, definition, flags
ConceptRow = tuple[int, str, str | None, str | None, int]
_CONCEPT = "SELECT number, code, display, definition, flags FROM concepts"


class Index:
    """Read access to an index file. One connection a thread, opened on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._systems: dict[str, list[SystemRow]] = {}
        self._metas: dict[int, Json] = {}
        if self.one("PRAGMA user_version") != (LAYOUT,):
            raise ValueError(f"{path} is not an index of layout {LAYOUT}; build it anew.")
        for row in self.all("SELECT id, url, version, content, first, last, count, hierarchical FROM systems"):
            number, url, version, content, first, last, count, hierarchical = row
            system = SystemRow(number, url, version, content, first, last, count, bool(hierarchical))
            self._systems.setdefault(system.url, []).append(system)

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            db.execute("PRAGMA mmap_size=4294967296")
            db.execute("PRAGMA cache_size=-512")
            self._local.db = db
        return db

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db().execute(sql, parameters).fetchall()

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self._db().execute(sql, parameters)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db().execute(sql, parameters).fetchone()
        return row

    def systems(self, url: str | None = None) -> list[SystemRow]:
        """The versions of a code system, or all code systems."""
        if url is None:
            return [system for versions in self._systems.values() for system in versions]
        return self._systems.get(url, [])

    def meta(self, system: SystemRow) -> Json:
        """Its CodeSystem resource, without concepts."""
        found = self._metas.get(system.id)
        if found is None:
            row = self.one("SELECT meta FROM systems WHERE id=?", (system.id,))
            assert row is not None
            found = self._metas[system.id] = unpacked_json(row[0])
        return found

    def concept(self, system: SystemRow, code: str) -> ConceptRow | None:
        return self.one(f"{_CONCEPT} WHERE system=? AND code=?", (system.id, code))

    def concept_in_any_case(self, system: SystemRow, code: str) -> ConceptRow | None:
        for variant in (code.upper(), code.lower()):
            row = self.concept(system, variant)
            if row is not None:
                return row
        ask = f"{_CONCEPT} WHERE system=? AND code=? COLLATE NOCASE LIMIT 1"
        return self.one(ask, (system.id, code))

    def concepts(self, system: SystemRow) -> Iterator[ConceptRow]:
        """All of them, in the order of the definition."""
        ask = f"{_CONCEPT} WHERE number BETWEEN ? AND ? ORDER BY number"
        yield from self.each(ask, (system.first, system.last))

    def numbered(self, number: int) -> ConceptRow | None:
        return self.one(f"{_CONCEPT} WHERE number=?", (number,))

    def value_sets(self, url: str) -> list[Json]:
        """The versions of a value set, as ValueSet resources."""
        return [unpacked_json(row[0]) for row in self.all("SELECT resource FROM value_sets WHERE url=?", (url,))]

    def value_set_urls(self) -> Iterator[str]:
        for row in self.each("SELECT DISTINCT url FROM value_sets ORDER BY url"):
            yield row[0]

    def maps(self, url: str) -> list[tuple[int, Json]]:
        """(id, ConceptMap resource without groups) of every version."""
        return [(row[0], unpacked_json(row[1])) for row in self.all("SELECT id, meta FROM maps WHERE url=?", (url,))]

    def map_ids(self, source: str | None, target: str | None) -> list[tuple[int, Json]]:
        """As `maps`, for those with a group between two systems (None: any)."""
        where = (
            " AND ".join(part for part, value in (("source=?", source), ("target=?", target)) if value is not None)
            or "1"
        )
        ask = f"SELECT id, meta FROM maps WHERE id IN (SELECT map FROM map_groups WHERE {where})"  # noqa: S608
        return [
            (row[0], unpacked_json(row[1])) for row in self.all(ask, [v for v in (source, target) if v is not None])
        ]

    def map_groups(self, number: int) -> list[tuple[int, Json]]:
        """(place, group without elements)."""
        ask = "SELECT place, meta FROM map_groups WHERE map=? ORDER BY place"
        return [(row[0], unpacked_json(row[1])) for row in self.all(ask, (number,))]

    def map_elements(self, number: int, place: int, code: str, *, by_target: bool = False) -> list[Json]:
        """The elements of a group that have this source (or target) code."""
        side = "target" if by_target else "source"
        ask = f"SELECT element FROM mappings WHERE map=? AND place=? AND {side}=? ORDER BY rowid"  # noqa: S608
        return [unpacked_json(row[0]) for row in self.all(ask, (number, place, code))]
