"""Small things that are not resources: JSON records with a revision, and counters."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from fhir_server.store.protocol import Record, VersionMismatch
from fhir_server.store.sqlite.transaction import Transaction


def put_record(transaction: Transaction, kind: str, id: str, data: Mapping[str, Any], expect: int | None) -> Record:
    connection = transaction.connection
    row = connection.execute("SELECT revision FROM record WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    current = row[0] if row else 0
    if expect is not None and expect != current:
        raise VersionMismatch(kind, id, current)
    text = msgspec.json.encode(data).decode()
    connection.execute(
        "INSERT INTO record VALUES (?, ?, ?, ?) "
        "ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data, revision = excluded.revision",
        (kind, id, text, current + 1),
    )
    return Record(kind, id, msgspec.json.decode(text), current + 1)


def get_record(connection: sqlite3.Connection, kind: str, id: str) -> Record | None:
    row = connection.execute("SELECT data, revision FROM record WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    return Record(kind, id, msgspec.json.decode(row[0]), row[1]) if row else None


def list_records(connection: sqlite3.Connection, kind: str) -> list[Record]:
    """In order of id."""
    rows = connection.execute("SELECT id, data, revision FROM record WHERE kind = ? ORDER BY id", (kind,))
    return [Record(kind, id, msgspec.json.decode(data), revision) for id, data, revision in rows]


def delete_record(transaction: Transaction, kind: str, id: str) -> bool:
    found = transaction.connection.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind, id))
    return found.rowcount > 0


def add_counter(transaction: Transaction, name: str, amount: int, expires_at: int | None) -> int:
    connection = transaction.connection
    value = get_counter(connection, name) + amount
    connection.execute(
        "INSERT INTO counter VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET value = excluded.value, "
        "expires_at = coalesce(excluded.expires_at, CASE WHEN counter.expires_at > ?4 THEN counter.expires_at END)",
        (name, value, expires_at, time.time()),
    )
    if expires_at is not None and value == amount:
        # The first of a new window is the moment to forget the old ones.
        connection.execute("DELETE FROM counter WHERE expires_at <= ?", (time.time(),))
    return value


def get_counter(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value, expires_at FROM counter WHERE name = ?", (name,)).fetchone()
    if row is None or (row[1] is not None and row[1] <= time.time()):
        return 0
    return int(row[0])
