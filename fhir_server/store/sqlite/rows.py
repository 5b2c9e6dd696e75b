"""Index entries as rows of the index tables, and what must change from the rows that are there."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from fhir_server.search.entries import Entries
from fhir_server.store.sqlite.names import WritableNames

Row = tuple[Any, ...]
Rows = dict[str, set[Row]]
"""Table -> rows, each with the rid in its place."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "token": ("pid", "sid", "code", "rid", "el"),
    "string": ("pid", "folded", "rid", "original", "el"),
    "date": ("pid", "lo", "rid", "hi", "el"),
    "number": ("pid", "lo", "rid", "hi", "el"),
    "quantity": ("pid", "sid", "code", "lo", "rid", "hi", "el"),
    "ref": ("pid", "target", "rid", "el"),
    "uri": ("pid", "sid", "rid", "version", "el"),
}
_INSERT: Final = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})" for table, columns in COLUMNS.items()
}
_DELETE: Final = {
    table: f"DELETE FROM {table} WHERE {' AND '.join(f'{column} = ?' for column in columns)}"
    for table, columns in COLUMNS.items()
}
_OF_ONE: Final = {
    table: f"SELECT {', '.join(columns)} FROM {table} INDEXED BY {table}_rid WHERE rid = ?"
    for table, columns in COLUMNS.items()
}


def rows_of(
    connection: sqlite3.Connection,
    names: WritableNames,
    identify: Callable[[str, str], int],
    type: str,
    rid: int,
    entries: Entries,
) -> Rows:
    """The rows that `entries` of resource `rid` mean. `identify` gives the rid of a reference's target."""
    pids = names.pids
    sids = names.sids

    def pid_of(code: str) -> int:
        found = pids.get((type, code))
        return found if found is not None else names.give_pid(connection, type, code)

    def sid_of(uri: str) -> int:
        found = sids.get(uri)
        return found if found is not None else names.give_sid(connection, uri)

    rows: Rows = {}
    if entries.tokens:
        tokens = {(pid_of(param), sid_of(system), code, rid, el) for param, system, code, el in entries.tokens}
        names.note_pairs(connection, {row[:2] for row in tokens})
        rows["token"] = tokens
    if entries.strings:
        # :text has no :exact, so the original is not needed there.
        rows["string"] = {
            (pid_of(param), folded, rid, "" if param.endswith(":text") else original, el)
            for param, folded, original, el in entries.strings
        }
    if entries.dates:
        rows["date"] = {(pid_of(param), lo, rid, hi, el) for param, lo, hi, el in entries.dates}
    if entries.numbers:
        rows["number"] = {(pid_of(param), lo, rid, "" if hi == lo else hi, el) for param, lo, hi, el in entries.numbers}
    if entries.quantities:
        quantities = {
            (pid_of(param), sid_of(system), code, lo, rid, "" if hi == lo else hi, el)
            for param, system, code, lo, hi, el in entries.quantities
        }
        names.note_units(connection, {row[:3] for row in quantities})
        rows["quantity"] = quantities
    if entries.references:
        rows["ref"] = {(pid_of(param), identify(kind, id), rid, el) for param, kind, id, el in entries.references}
    if entries.uris:
        rows["uri"] = {(pid_of(param), sid_of(uri), rid, version, el) for param, uri, version, el in entries.uris}
    return rows


def stored_rows(connection: sqlite3.Connection, rid: int) -> Rows:
    """What the index holds for a resource."""
    return {table: set(connection.execute(statement, (rid,))) for table, statement in _OF_ONE.items()}


class Changes:
    """Rows to remove and to add, gathered over many resources, so that each table is visited once, in key order."""

    __slots__ = ("added", "removed")

    def __init__(self) -> None:
        self.added: dict[str, list[Row]] = {}
        self.removed: dict[str, list[Row]] = {}

    def create(self, rows: Rows) -> None:
        for table, new in rows.items():
            self.added.setdefault(table, []).extend(new)

    def replace(self, old: Rows, new: Rows) -> bool:
        """True when anything differs."""
        differs = False
        for table in COLUMNS:
            before, after = old.get(table, _NONE), new.get(table, _NONE)
            if before == after:
                continue
            differs = True
            if before - after:
                self.removed.setdefault(table, []).extend(before - after)
            if after - before:
                self.added.setdefault(table, []).extend(after - before)
        return differs

    def flush(self, connection: sqlite3.Connection) -> None:
        for table, rows in self.removed.items():
            connection.executemany(_DELETE[table], rows)
        for table, rows in self.added.items():
            if len(rows) > 50:
                rows.sort()
            connection.executemany(_INSERT[table], rows)
        self.added.clear()
        self.removed.clear()


_NONE: Final[set[Row]] = set()
