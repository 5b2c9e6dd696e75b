"""Building the index anew from the resources' bytes, a small batch at a time, so that others get a turn to write."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.search.entries import Entries
from fhir_server.store.sqlite.connection import Readers
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.transaction import Transaction
from fhir_server.store.sqlite.writer import Writer

_BATCH: Final = 100

Item = tuple[int, int, Entries]
"""rid, seq of the version that was looked at, its entries"""


async def reindex(
    writer: Writer,
    readers: Readers,
    names: Names,
    extract: Callable[[str, bytes], Entries],
    types: Sequence[str],
    progress: Callable[[int, int], None],
) -> int:
    """As Store.reindex."""
    connection = readers.mine().connection
    wanted = [name for name in names.all_types(connection) if not types or name in types]
    counts = dict(connection.execute("SELECT tid, live FROM tally"))
    total = sum(counts.get(names.tid(connection, name), 0) for name in wanted)
    done = 0
    progress(0, total)
    for type in wanted:
        tid = names.tid(connection, type)
        assert tid is not None
        after = 0
        while True:
            items, after = await asyncio.to_thread(_look, readers, extract, type, tid, after)
            if not items:
                break
            await writer.do(lambda transaction, type=type, items=items: _write(transaction, type, items))  # type: ignore[misc]
            done += len(items)
            progress(min(done, total), total)
    return done


def _look(
    readers: Readers, extract: Callable[[str, bytes], Entries], type: str, tid: int, after: int
) -> tuple[list[Item], int]:
    connection: sqlite3.Connection = readers.mine().connection
    rows = connection.execute(
        "SELECT r.rid, r.seq, v.body FROM resource r INDEXED BY resource_live CROSS JOIN version v ON v.seq = r.seq "
        "WHERE r.tid = ? AND r.live = 1 AND r.rid > ? ORDER BY r.rid LIMIT ?",
        (tid, after, _BATCH),
    ).fetchall()
    return [(rid, seq, extract(type, body)) for rid, seq, body in rows], rows[-1][0] if rows else after


def _write(transaction: Transaction, type: str, items: Sequence[Item]) -> None:
    differs = False
    for rid, seq, entries in items:
        row = transaction.connection.execute("SELECT seq, live FROM resource WHERE rid = ?", (rid,)).fetchone()
        # A newer version was indexed by the commit that brought it.
        if row == (seq, 1):
            differs = transaction.reindex(rid, type, entries) or differs
    if differs:
        transaction.bump_epoch()
