"""Every current resource, as of one moment, in constant memory: a cursor inside one read transaction of its own."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, Final

from fhir_server.store.protocol import Version
from fhir_server.store.sqlite.connection import connect
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.transaction import METHODS

_BATCH: Final = 500
_MAPPED: Final = 1 << 30


async def scan(
    path: Path, names: Names, types: Sequence[str], snapshot: int | None, since: int | None
) -> AsyncIterator[Sequence[Version]]:
    """As Store.scan. The generator must be closed or run to its end, for it holds a read transaction."""
    connection = await asyncio.to_thread(connect, path)
    try:
        wanted = await asyncio.to_thread(_begin, connection, names, types)
        for type in wanted:
            tid = names.tid(connection, type)
            cursor = await asyncio.to_thread(_open, connection, tid, snapshot, since)
            make = _maker(type)
            while batch := await asyncio.to_thread(_next, cursor, make):
                yield batch
    finally:
        connection.close()


def _begin(connection: sqlite3.Connection, names: Names, types: Sequence[str]) -> list[str]:
    # Worth a quarter of the time when everything is read once; given back when the connection closes.
    connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    connection.execute("BEGIN")
    # The read transaction starts with the first statement that reads.
    connection.execute("SELECT seq FROM clock").fetchone()
    known = names.all_types(connection)
    return [name for name in known if name in types] if types else known


def _open(connection: sqlite3.Connection, tid: int | None, snapshot: int | None, since: int | None) -> sqlite3.Cursor:
    conditions, args = "", []
    if snapshot is not None:
        conditions += " AND r.born <= ?"
        args.append(snapshot)
    if since is not None:
        conditions += " AND r.last_updated >= ?"
        args.append(since)
    return connection.execute(
        "SELECT r.id, r.version, r.seq, r.last_updated, v.method, v.body "
        "FROM resource r INDEXED BY resource_live CROSS JOIN version v ON v.seq = r.seq "
        f"WHERE r.tid = ? AND r.live = 1{conditions} ORDER BY r.rid",
        (tid, *args),
    )


def _maker(type: str) -> Callable[..., Version]:
    methods = METHODS

    def make(id: str, version: int, seq: int, last_updated: int, method: int, body: bytes) -> Version:
        return Version(type, id, version, seq, last_updated, methods[method], body)

    return make


def _next(cursor: sqlite3.Cursor, make: Callable[..., Version]) -> list[Version]:
    rows: list[tuple[Any, ...]] = cursor.fetchmany(_BATCH)
    return list(starmap(make, rows))
