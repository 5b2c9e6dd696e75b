"""Names and their integers: types, index names, URIs. Rows of these tables are never removed, so what was found once
holds for ever; what was not found is asked again, because another process may have written it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


class Names:
    """Lookups for reading. An unknown name is None: nothing can be stored under it."""

    def __init__(self) -> None:
        self.tids: dict[str, int] = {}
        self.types: dict[int, str] = {}
        self.pids: dict[tuple[str, str], int] = {}
        self.sids: dict[str, int] = {}

    def tid(self, connection: sqlite3.Connection, name: str) -> int | None:
        try:
            return self.tids[name]
        except KeyError:
            row = connection.execute("SELECT tid FROM type WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            self._learn(row[0], name)
            return int(row[0])

    def type(self, connection: sqlite3.Connection, tid: int) -> str:
        try:
            return self.types[tid]
        except KeyError:
            name: str = connection.execute("SELECT name FROM type WHERE tid = ?", (tid,)).fetchone()[0]
            self._learn(tid, name)
            return name

    def all_types(self, connection: sqlite3.Connection) -> list[str]:
        """Every type that was ever stored or referred to."""
        for tid, name in connection.execute("SELECT tid, name FROM type WHERE tid > 0"):
            self._learn(tid, name)
        return sorted(name for name in self.tids if name)

    def _learn(self, tid: int, name: str) -> None:
        self.types[tid] = name
        self.tids[name] = tid

    def pid(self, connection: sqlite3.Connection, type: str, code: str) -> int | None:
        try:
            return self.pids[type, code]
        except KeyError:
            row = connection.execute("SELECT pid FROM param WHERE type = ? AND code = ?", (type, code)).fetchone()
            if row is None:
                return None
            self.pids[type, code] = row[0]
            return int(row[0])

    def sid(self, connection: sqlite3.Connection, uri: str) -> int | None:
        try:
            return self.sids[uri]
        except KeyError:
            row = connection.execute("SELECT sid FROM system WHERE uri = ?", (uri,)).fetchone()
            if row is None:
                return None
            # Canonical urls may be as many as there are resources.
            if len(self.sids) > 50_000:
                self.sids.clear()
            self.sids[uri] = row[0]
            return int(row[0])


class WritableNames(Names):
    """The writer's: what is missing is added, inside the open transaction. `forget` after a rollback."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: set[tuple[int, int]] = set()
        self.units: set[tuple[int, int, str]] = set()

    def forget(self) -> None:
        for known in (self.tids, self.types, self.pids, self.sids, self.pairs, self.units):
            known.clear()

    def give_tid(self, connection: sqlite3.Connection, name: str) -> int:
        found = self.tid(connection, name)
        if found is None:
            found = _added(connection, "INSERT INTO type(name) VALUES (?)", (name,))
            self._learn(found, name)
        return found

    def give_pid(self, connection: sqlite3.Connection, type: str, code: str) -> int:
        found = self.pid(connection, type, code)
        if found is None:
            found = _added(connection, "INSERT INTO param(type, code) VALUES (?, ?)", (type, code))
            self.pids[type, code] = found
        return found

    def give_sid(self, connection: sqlite3.Connection, uri: str) -> int:
        found = self.sid(connection, uri)
        if found is None:
            found = _added(connection, "INSERT INTO system(uri) VALUES (?)", (uri,))
            self.sids[uri] = found
        return found

    def note_pairs(self, connection: sqlite3.Connection, pairs: Iterable[tuple[int, int]]) -> None:
        """Which systems occur under which index."""
        new = [pair for pair in pairs if pair not in self.pairs]
        if new:
            if len(self.pairs) > 50_000:
                self.pairs.clear()
            connection.executemany("INSERT OR IGNORE INTO param_system VALUES (?, ?)", new)
            self.pairs.update(new)

    def note_units(self, connection: sqlite3.Connection, units: Iterable[tuple[int, int, str]]) -> None:
        """Which units occur under which index."""
        new = [unit for unit in units if unit not in self.units]
        if new:
            if len(self.units) > 50_000:
                self.units.clear()
            connection.executemany("INSERT OR IGNORE INTO param_unit VALUES (?, ?, ?)", new)
            self.units.update(new)


def _added(connection: sqlite3.Connection, statement: str, values: tuple[str, ...]) -> int:
    row = connection.execute(statement, values).lastrowid
    assert row is not None
    return row
