"""Is everything as it must be? The index against the resources, the order of changes, and the file itself."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fhir_server.search.entries import Entries
from fhir_server.store.protocol import Problem
from fhir_server.store.sqlite.connection import connect
from fhir_server.store.sqlite.names import Names, WritableNames
from fhir_server.store.sqlite.rows import COLUMNS, rows_of, stored_rows

_SHOWN: Final = 1_000

_RULES: Final = (
    (
        "the current version is not among its versions",
        "SELECT t.name, r.id FROM resource r JOIN type t ON t.tid = r.tid LEFT JOIN version v ON v.seq = r.seq "
        "WHERE r.seq IS NOT NULL AND (v.seq IS NULL OR v.rid <> r.rid OR v.version <> r.version "
        "OR v.last_updated <> r.last_updated OR v.tid <> r.tid OR (v.body IS NOT NULL) <> r.live)",
    ),
    (
        "versions are missing or the newest is not the current one",
        "SELECT t.name, r.id FROM (SELECT rid, count(*) AS n, min(version) AS low, max(version) AS high, "
        "max(seq) AS seq FROM version GROUP BY rid) v LEFT JOIN resource r ON r.rid = v.rid "
        "LEFT JOIN type t ON t.tid = r.tid "
        "WHERE r.rid IS NULL OR r.version IS NOT v.high OR r.seq IS NOT v.seq OR v.low <> 1 OR v.n <> v.high",
    ),
    (
        "a later version has an earlier time",
        "SELECT t.name, r.id FROM (SELECT rid, last_updated, lag(last_updated) OVER (ORDER BY seq) AS before "
        "FROM version) v JOIN resource r ON r.rid = v.rid JOIN type t ON t.tid = r.tid WHERE v.before > v.last_updated",
    ),
    (
        "versions are out of order",
        "SELECT t.name, r.id FROM (SELECT rid, seq, lag(seq) OVER (PARTITION BY rid ORDER BY version) AS before "
        "FROM version) v JOIN resource r ON r.rid = v.rid JOIN type t ON t.tid = r.tid WHERE v.before > v.seq",
    ),
    (
        "a resource that is only referred to is marked as current",
        "SELECT t.name, r.id FROM resource r JOIN type t ON t.tid = r.tid "
        "WHERE r.seq IS NULL AND (r.live OR r.version)",
    ),
    (
        "the order of changes is behind its versions",
        "SELECT '', '' FROM clock WHERE seq < (SELECT max(seq) FROM version) "
        "OR last_updated < (SELECT max(last_updated) FROM version)",
    ),
    (
        "the count of the type is wrong",
        "SELECT t.name, '' FROM type t LEFT JOIN tally c ON c.tid = t.tid "
        "WHERE coalesce(c.live, 0) <> (SELECT count(*) FROM resource r WHERE r.tid = t.tid AND r.live = 1) "
        "OR coalesce(c.versions, 0) <> (SELECT count(*) FROM version v WHERE v.tid = t.tid)",
    ),
)


def check(path: Path, extract: Callable[[str, bytes], Entries], *, full_text: bool) -> Sequence[Problem]:
    """As Store.check, as of one moment. Reads everything; changes nothing."""
    connection = connect(path)
    try:
        connection.execute("BEGIN")
        problems = [
            Problem("", "", f"the file is damaged: {row[0]}")
            for row in connection.execute("PRAGMA integrity_check(20)")
            if row[0] != "ok"
        ]
        for what, statement in _RULES:
            problems += [
                Problem(type or "", id or "", what) for type, id in connection.execute(f"{statement} LIMIT 100")
            ]
        problems += _dangling(connection, full_text)
        for problem in _index(connection, extract):
            problems.append(problem)
            if len(problems) >= _SHOWN:
                break
        return problems
    finally:
        connection.close()


def _dangling(connection: sqlite3.Connection, full_text: bool) -> Iterator[Problem]:
    for table in COLUMNS:
        (count,) = connection.execute(
            f"SELECT count(*) FROM {table} x LEFT JOIN resource r ON r.rid = x.rid WHERE r.live IS NOT 1"
        ).fetchone()
        if count:
            yield Problem("", "", f"index rows of nothing that is current: {table}", {"rows": count})
    (count,) = connection.execute(
        "SELECT count(*) FROM ref x LEFT JOIN resource r ON r.rid = x.target WHERE r.rid IS NULL"
    ).fetchone()
    if count:
        yield Problem("", "", "references to an identity that is not there", {"rows": count})
    for table, columns, statement in (
        ("token", "pid, sid", "SELECT DISTINCT pid, sid FROM token EXCEPT SELECT pid, sid FROM param_system"),
        ("quantity", "pid, sid, code", "SELECT DISTINCT pid, sid, code FROM quantity EXCEPT SELECT * FROM param_unit"),
    ):
        missing = connection.execute(statement).fetchall()
        if missing:
            yield Problem("", "", f"{columns} of {table} that no list names", {"found": missing[:20]})
    if full_text:
        (count,) = connection.execute(
            "SELECT count(*) FROM words w LEFT JOIN resource r ON r.rid = w.rowid WHERE r.live IS NOT 1"
        ).fetchone()
        if count:
            yield Problem("", "", "full text of nothing that is current", {"rows": count})


class _Unknown(WritableNames):
    """Looks names up and adds none: what is not there gets a number that no row has."""

    def give_pid(self, connection: sqlite3.Connection, type: str, code: str) -> int:
        return self.pid(connection, type, code) or -1

    def give_sid(self, connection: sqlite3.Connection, uri: str) -> int:
        return self.sid(connection, uri) or -1

    def note_pairs(self, connection: sqlite3.Connection, pairs: object) -> None:
        return

    def note_units(self, connection: sqlite3.Connection, units: object) -> None:
        return


def _index(connection: sqlite3.Connection, extract: Callable[[str, bytes], Entries]) -> Iterator[Problem]:
    names = _Unknown()
    plain = Names()

    def identify(type: str, id: str) -> int:
        tid = plain.tid(connection, type)
        row = connection.execute("SELECT rid FROM resource WHERE tid = ? AND id = ?", (tid, id)).fetchone()
        return row[0] if row else -1

    for tid, type in connection.execute("SELECT tid, name FROM type WHERE tid > 0 ORDER BY tid").fetchall():
        for rid, id, body in connection.execute(
            "SELECT r.rid, r.id, v.body FROM resource r INDEXED BY resource_live "
            "CROSS JOIN version v ON v.seq = r.seq WHERE r.tid = ? AND r.live = 1 AND v.body IS NOT NULL",
            (tid,),
        ):
            try:
                entries = extract(type, body)
            except Exception as error:
                # One unreadable resource must not hide what is wrong with the rest.
                yield Problem(type, id, f"the resource cannot be indexed: {error}")
                continue
            wanted = rows_of(connection, names, identify, type, rid, entries)
            stored = stored_rows(connection, rid)
            for table in COLUMNS:
                missing, extra = wanted.get(table, set()) - stored[table], stored[table] - wanted.get(table, set())
                if missing or extra:
                    yield Problem(
                        type,
                        id,
                        f"the index differs from the resource: {table}",
                        {"missing": sorted(map(str, missing))[:5], "extra": sorted(map(str, extra))[:5]},
                    )
