"""Versions in the one order of changes. `last_updated` never falls as `seq` rises: a time is a place in that order."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from fhir_server.store.protocol import Cursor, HistoryPage, Version
from fhir_server.store.sqlite.fragments import Sql, all_of
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.transaction import METHODS

_END: Final = 2**62
_COLUMNS: Final = "r.tid, r.id, v.version, v.seq, v.last_updated, v.method, v.body"


def seq_at(connection: sqlite3.Connection, moment: int) -> int:
    """The seq of the last version with last_updated <= moment, 0 when there is none: by bisection."""
    low, high = 0, int(connection.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()[0])
    while low < high:
        middle = (low + high + 1) // 2
        # Gaps are skipped downwards.
        row = connection.execute(
            "SELECT seq, last_updated FROM version WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (middle,)
        ).fetchone()
        if row is None or row[1] <= moment:
            low = middle
        else:
            high = row[0] - 1
    return low


def history(
    connection: sqlite3.Connection,
    names: Names,
    *,
    type: str | None,
    id: str | None,
    types: Sequence[str],
    among: Sequence[tuple[str, str]] | None = None,
    since: int | None,
    at: tuple[int, int] | None,
    limit: int,
    after: Cursor | None,
    total: bool,
) -> HistoryPage:
    """As Store.history."""
    scope = _scope(connection, names, type, id, types) if among is None else _among(connection, names, among)
    if scope is None:
        return HistoryPage([], None, 0 if total else None)
    window = _window(connection, since, at)
    started = Sql("v.seq < ?", (after[0] if after is not None else _END,))
    found: list[Version] = []
    for condition in scope:
        rows = connection.execute(*_statement(condition, (window, started), limit + 1))
        found += [
            Version(names.type(connection, tid), id_, version, seq, updated, METHODS[method], body)
            for tid, id_, version, seq, updated, method, body in rows
        ]
    found.sort(key=lambda version: -version.seq)
    more = len(found) > limit
    found = found[:limit]
    count = sum(_count(connection, condition, window) for condition in scope) if total else None
    return HistoryPage(found, (found[-1].seq,) if more and found else None, count)


def _statement(condition: Sql, windows: Sequence[Sql], limit: int) -> Sql:
    where = all_of((condition, *windows))
    text = (
        f"SELECT {_COLUMNS} FROM version v CROSS JOIN resource r ON r.rid = v.rid WHERE {where.text} "
        "ORDER BY v.seq DESC LIMIT ?"
    )
    return Sql(text, (*where.args, limit))


def _count(connection: sqlite3.Connection, condition: Sql, window: Sql) -> int:
    if window.text == "1" and condition.text in ("1", "v.tid = ?"):
        where = Sql("1") if condition.text == "1" else Sql("tid = ?", condition.args)
        row = connection.execute(f"SELECT coalesce(sum(versions), 0) FROM tally WHERE {where.text}", where.args)
    else:
        where = all_of((condition, window))
        row = connection.execute(f"SELECT count(*) FROM version v WHERE {where.text}", where.args)
    return int(row.fetchone()[0])


def _scope(
    connection: sqlite3.Connection, names: Names, type: str | None, id: str | None, types: Sequence[str]
) -> list[Sql] | None:
    """One condition for each ordered stream; None when there can be nothing."""
    if id is not None:
        assert type is not None
        tid = names.tid(connection, type)
        row = connection.execute("SELECT rid FROM resource WHERE tid = ? AND id = ?", (tid, id)).fetchone()
        return [Sql("v.rid = ?", (row[0],))] if row else None
    wanted = [type] if type is not None else list(dict.fromkeys(types))
    if not wanted:
        return [Sql("1")]
    tids = [tid for tid in (names.tid(connection, name) for name in wanted) if tid is not None]
    return [Sql("v.tid = ?", (tid,)) for tid in tids] or None


def _among(connection: sqlite3.Connection, names: Names, keys: Sequence[tuple[str, str]]) -> list[Sql] | None:
    """Some resources by type and id."""
    rids = []
    for type, id in keys:
        tid = names.tid(connection, type)
        row = connection.execute("SELECT rid FROM resource WHERE tid = ? AND id = ?", (tid, id)).fetchone()
        if row is not None:
            rids.append(row[0])
    return [Sql("v.rid IN (SELECT value FROM json_each(?))", (json.dumps(rids),))] if rids else None


def _window(connection: sqlite3.Connection, since: int | None, at: tuple[int, int] | None) -> Sql:
    parts: list[Sql] = []
    if since is not None:
        parts.append(Sql("v.seq > ?", (seq_at(connection, since - 1),)))
    if at is not None:
        before, last = seq_at(connection, at[0]), seq_at(connection, at[1])
        parts.append(Sql("v.seq <= ?", (last,)))
        # What was there when the period began, unless it was a deletion: then nothing was.
        parts.append(
            Sql(
                "(v.seq > ? OR (v.body IS NOT NULL AND NOT EXISTS (SELECT 1 FROM version n INDEXED BY version_rid "
                "WHERE n.rid = v.rid AND n.version = v.version + 1 AND n.seq <= ?)))",
                (before, before),
            )
        )
    return all_of(parts)


def changes(
    connection: sqlite3.Connection, names: Names, after: int, types: Sequence[str], last: int, limit: int
) -> list[Version]:
    """Versions with after < seq <= last, in order of seq."""
    tids = [tid for tid in (names.tid(connection, name) for name in types) if tid is not None]
    if types and not tids:
        return []
    rows: list[tuple[Any, ...]] = []
    for condition in [Sql("v.tid = ?", (tid,)) for tid in tids] or [Sql("1")]:
        rows += connection.execute(
            f"SELECT {_COLUMNS} FROM version v CROSS JOIN resource r ON r.rid = v.rid "
            f"WHERE {condition.text} AND v.seq > ? AND v.seq <= ? ORDER BY v.seq LIMIT ?",
            (*condition.args, after, last, limit),
        ).fetchall()
    rows.sort(key=lambda row: row[3])
    return [
        Version(names.type(connection, tid), id, version, seq, updated, METHODS[method], body)
        for tid, id, version, seq, updated, method, body in rows[:limit]
    ]
