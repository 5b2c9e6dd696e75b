"""The built terminology index: one read-only SQLite file, memory-mapped and shared by processes."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE systems (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, version TEXT, name TEXT, title TEXT,
  content TEXT NOT NULL, case_sensitive INTEGER NOT NULL);
CREATE TABLE concepts (system INTEGER NOT NULL, code TEXT NOT NULL, display TEXT, definition TEXT,
  position INTEGER NOT NULL, PRIMARY KEY (system, code)) WITHOUT ROWID;
CREATE TABLE edges (system INTEGER NOT NULL, child TEXT NOT NULL, parent TEXT NOT NULL,
  PRIMARY KEY (system, child, parent)) WITHOUT ROWID;
CREATE INDEX children ON edges (system, parent);
CREATE TABLE properties (system INTEGER NOT NULL, code TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (system, code, name, value)) WITHOUT ROWID;
CREATE TABLE value_sets (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, version TEXT, name TEXT, title TEXT,
  compose TEXT, members TEXT);
"""


@dataclass(frozen=True, slots=True)
class System:
    """A code system. content "complete", or "fragment" when only some of its codes are here."""

    id: int
    url: str
    version: str | None
    name: str | None
    title: str | None
    content: str
    case_sensitive: bool


@dataclass(frozen=True, slots=True)
class Concept:
    code: str
    display: str | None
    definition: str | None


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A value set's definition: compose as in the resource (R4B 4.9.4); members: (system, code, display) when HL7 gave
    them, because its definition needs content that is not here."""

    url: str
    version: str | None
    name: str | None
    title: str | None
    compose: dict[str, Any] | None
    members: list[list[str]] | None


def _system(row: tuple[Any, ...]) -> System:
    number, url, version, name, title, content, case_sensitive = row
    return System(number, url, version, name, title, content, bool(case_sensitive))


class Index:
    """Read access to an index file. One connection a thread, opened on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            db.execute("PRAGMA mmap_size=268435456")
            db.execute("PRAGMA cache_size=-512")
            self._local.db = db
        return db

    def system(self, url: str) -> System | None:
        """The code system with this canonical url (without version)."""
        row = self._db().execute("SELECT * FROM systems WHERE url=?", (url,)).fetchone()
        return None if row is None else _system(row)

    def systems(self) -> Iterator[System]:
        for row in self._db().execute("SELECT * FROM systems ORDER BY url"):
            yield _system(row)

    def concept(self, system: System, code: str) -> Concept | None:
        """The concept with this code, in any case when the system says that case does not matter."""
        ask = "SELECT code, display, definition FROM concepts WHERE system=? AND code=?"
        row = self._db().execute(ask, (system.id, code)).fetchone()
        if row is None and not system.case_sensitive:
            row = self._db().execute(f"{ask} COLLATE NOCASE", (system.id, code)).fetchone()
        return None if row is None else Concept(*row)

    def concepts(self, system: System) -> Iterator[Concept]:
        """All concepts, in the order of the definition."""
        ask = "SELECT code, display, definition FROM concepts WHERE system=? ORDER BY position"
        for row in self._db().execute(ask, (system.id,)):
            yield Concept(*row)

    def below(self, system: System, code: str) -> list[str]:
        """`code` and every code under it."""
        ask = (
            "WITH RECURSIVE found(code) AS (VALUES(?) UNION"
            " SELECT child FROM edges JOIN found ON parent=found.code WHERE system=?) SELECT code FROM found"
        )
        return [row[0] for row in self._db().execute(ask, (code, system.id))]

    def above(self, system: System, code: str) -> list[str]:
        """`code` and every code over it."""
        ask = (
            "WITH RECURSIVE found(code) AS (VALUES(?) UNION"
            " SELECT parent FROM edges JOIN found ON child=found.code WHERE system=?) SELECT code FROM found"
        )
        return [row[0] for row in self._db().execute(ask, (code, system.id))]

    def parents(self, system: System, code: str) -> list[str]:
        ask = "SELECT parent FROM edges WHERE system=? AND child=?"
        return [row[0] for row in self._db().execute(ask, (system.id, code))]

    def children(self, system: System, code: str) -> list[str]:
        ask = "SELECT child FROM edges WHERE system=? AND parent=?"
        return [row[0] for row in self._db().execute(ask, (system.id, code))]

    def has_hierarchy(self, system: System) -> bool:
        ask = "SELECT 1 FROM edges WHERE system=? LIMIT 1"
        return self._db().execute(ask, (system.id,)).fetchone() is not None

    def properties(self, system: System, code: str) -> list[tuple[str, str]]:
        """(name, value) pairs, values as text."""
        ask = "SELECT name, value FROM properties WHERE system=? AND code=?"
        return [(row[0], row[1]) for row in self._db().execute(ask, (system.id, code))]

    def with_property(self, system: System, name: str) -> list[tuple[str, str]]:
        """(code, value) of every concept that has the property."""
        ask = "SELECT code, value FROM properties WHERE system=? AND name=?"
        return [(row[0], row[1]) for row in self._db().execute(ask, (system.id, name))]

    def value_set(self, url: str) -> ValueSet | None:
        """The value set with this canonical url (without version)."""
        ask = "SELECT url, version, name, title, compose, members FROM value_sets WHERE url=?"
        row = self._db().execute(ask, (url,)).fetchone()
        if row is None:
            return None
        url, version, name, title, compose, members = row
        return ValueSet(
            url,
            version,
            name,
            title,
            json.loads(compose) if compose else None,
            json.loads(members) if members else None,
        )

    def value_set_urls(self) -> Iterator[str]:
        for row in self._db().execute("SELECT url FROM value_sets ORDER BY url"):
            yield row[0]
