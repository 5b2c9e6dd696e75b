"""The tables, and how an older file becomes a newer one.

Everything that repeats is an integer: types, index names (`param`), URIs (`system`), resources (`rid`). A resource that
is only referred to has a `resource` row too (seq NULL), and so has an absolute URL (tid 0, id = the URL): a reference
is then always one integer, and it needs no change when its target appears.

Each index table is clustered by value, so that one value's resources stream in order of rid; its second index (rid,
pid) gives a resource's own values, for probes, sorting and deletion, and grows only at its end. What is deleted has no
index rows: whatever an index names is current.
"""

# Text put into statements is this package's own.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

DAY: Final = 86_400_000_000
"""Microseconds. Date ranges wider than this are few; they alone have an index by their end."""

_TABLES: Final = f"""
CREATE TABLE clock(one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, last_updated INTEGER NOT NULL,
    epoch INTEGER NOT NULL);
INSERT INTO clock VALUES (1, 0, 0, 0);

CREATE TABLE type(tid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO type VALUES (0, '');
CREATE TABLE param(pid INTEGER PRIMARY KEY, type TEXT NOT NULL, code TEXT NOT NULL, UNIQUE (type, code));
CREATE TABLE system(sid INTEGER PRIMARY KEY, uri TEXT NOT NULL UNIQUE);
CREATE TABLE param_system(pid INTEGER NOT NULL, sid INTEGER NOT NULL, PRIMARY KEY (pid, sid)) WITHOUT ROWID;
CREATE TABLE param_unit(pid INTEGER NOT NULL, sid INTEGER NOT NULL, code TEXT NOT NULL,
    PRIMARY KEY (pid, sid, code)) WITHOUT ROWID;
CREATE TABLE tally(tid INTEGER PRIMARY KEY, live INTEGER NOT NULL, versions INTEGER NOT NULL);

CREATE TABLE resource(rid INTEGER PRIMARY KEY, tid INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    seq INTEGER, born INTEGER NOT NULL, last_updated INTEGER NOT NULL, live INTEGER NOT NULL, UNIQUE (tid, id));
CREATE INDEX resource_live ON resource(tid) WHERE live = 1;
CREATE INDEX resource_updated ON resource(tid, last_updated) WHERE live = 1;
CREATE TABLE version(seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, tid INTEGER NOT NULL, version INTEGER NOT NULL,
    last_updated INTEGER NOT NULL, method INTEGER NOT NULL, body BLOB);
CREATE INDEX version_rid ON version(rid, version);
CREATE INDEX version_tid ON version(tid);

CREATE TABLE token(pid INTEGER NOT NULL, sid INTEGER NOT NULL, code TEXT NOT NULL, rid INTEGER NOT NULL,
    el INTEGER NOT NULL, PRIMARY KEY (pid, sid, code, rid, el)) WITHOUT ROWID;
CREATE INDEX token_rid ON token(rid, pid, sid, code, el);
CREATE TABLE string(pid INTEGER NOT NULL, folded TEXT NOT NULL, rid INTEGER NOT NULL, original TEXT NOT NULL,
    el INTEGER NOT NULL, PRIMARY KEY (pid, folded, rid, original, el)) WITHOUT ROWID;
CREATE INDEX string_rid ON string(rid, pid, folded, original, el);
CREATE TABLE date(pid INTEGER NOT NULL, lo INTEGER NOT NULL, rid INTEGER NOT NULL, hi INTEGER NOT NULL,
    el INTEGER NOT NULL, PRIMARY KEY (pid, lo, rid, hi, el)) WITHOUT ROWID;
CREATE INDEX date_rid ON date(rid, pid, lo, hi, el);
CREATE INDEX date_wide ON date(pid, hi) WHERE hi - lo > {DAY};
CREATE TABLE number(pid INTEGER NOT NULL, lo TEXT NOT NULL, rid INTEGER NOT NULL, hi TEXT NOT NULL,
    el INTEGER NOT NULL, PRIMARY KEY (pid, lo, rid, hi, el)) WITHOUT ROWID;
CREATE INDEX number_rid ON number(rid, pid, lo, hi, el);
CREATE INDEX number_wide ON number(pid, hi) WHERE hi <> '';
CREATE TABLE quantity(pid INTEGER NOT NULL, sid INTEGER NOT NULL, code TEXT NOT NULL, lo TEXT NOT NULL,
    rid INTEGER NOT NULL, hi TEXT NOT NULL, el INTEGER NOT NULL,
    PRIMARY KEY (pid, sid, code, lo, rid, hi, el)) WITHOUT ROWID;
CREATE INDEX quantity_rid ON quantity(rid, pid, sid, code, lo, hi, el);
CREATE INDEX quantity_wide ON quantity(pid, sid, code, hi) WHERE hi <> '';
CREATE TABLE ref(pid INTEGER NOT NULL, target INTEGER NOT NULL, rid INTEGER NOT NULL, el INTEGER NOT NULL,
    PRIMARY KEY (pid, target, rid, el)) WITHOUT ROWID;
CREATE INDEX ref_rid ON ref(rid, pid, target, el);
CREATE TABLE uri(pid INTEGER NOT NULL, sid INTEGER NOT NULL, rid INTEGER NOT NULL, version TEXT NOT NULL,
    el INTEGER NOT NULL, PRIMARY KEY (pid, sid, rid, version, el)) WITHOUT ROWID;
CREATE INDEX uri_rid ON uri(rid, pid, sid, version, el);

CREATE TABLE record(kind TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL, expires_at INTEGER) WITHOUT ROWID;
"""

FULL_TEXT: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(narrative, content, tokenize='unicode61 remove_diacritics 2')"
)
"""Made only when asked for; rowid is the rid."""

FULL_TEXT_INCOMPLETE: Final = ("store", "full-text-incomplete")
"""The record (kind, id) that is there while `words` lacks resources that were written before it was made."""


def add_full_text(connection: sqlite3.Connection) -> None:
    """Make the full-text index; in a store that holds something it is incomplete until a reindex."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(FULL_TEXT)
    if connection.execute("SELECT 1 FROM version LIMIT 1").fetchone() is not None:
        connection.execute("INSERT OR IGNORE INTO record VALUES (?, ?, '{}', 1)", FULL_TEXT_INCOMPLETE)
    connection.execute("COMMIT")


def _first(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_first,)
"""Step n takes a file from user_version n to n + 1."""


def migrate(connection: sqlite3.Connection, migrations: tuple[Callable[[sqlite3.Connection], None], ...]) -> None:
    """Takes the file forward, in one transaction. RuntimeError when a newer program wrote it."""
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited.
        version = _version(connection)
        if version > len(migrations):
            raise RuntimeError(
                f"The store's schema version is {version}, but this program knows only {len(migrations)}. "
                "Use the newer version of fhir-server."
            )
        for step in migrations[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
