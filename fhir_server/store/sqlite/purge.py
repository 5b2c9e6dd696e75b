"""Removing a resource for good."""

from __future__ import annotations

from fhir_server.store.sqlite.rows import Changes, stored_rows
from fhir_server.store.sqlite.transaction import Transaction


def purge(transaction: Transaction, type: str, id: str) -> int:
    """Number of versions removed. The identity stays, empty, while something refers to it."""
    connection = transaction.connection
    tid = transaction.names.tid(connection, type)
    row = connection.execute("SELECT rid, live, seq FROM resource WHERE tid = ? AND id = ?", (tid, id)).fetchone()
    if row is None or row[2] is None:
        return 0
    assert tid is not None
    rid, live, _ = row
    changes = Changes()
    rows = stored_rows(connection, rid)
    targets = {row[1] for row in rows["ref"]}
    changes.replace(rows, {})
    changes.flush(connection)
    transaction.unindex_words(rid)
    removed = connection.execute("DELETE FROM version WHERE rid = ?", (rid,)).rowcount
    connection.execute(
        "UPDATE resource SET version = 0, seq = NULL, born = 0, last_updated = 0, live = 0 WHERE rid = ?", (rid,)
    )
    transaction.count(tid, -1 if live else 0, -removed)
    for identity in {rid, *targets}:
        _drop_if_unused(transaction, identity)
    transaction.bump_epoch()
    return removed


def _drop_if_unused(transaction: Transaction, rid: int) -> None:
    transaction.connection.execute(
        "DELETE FROM resource WHERE rid = ?1 AND seq IS NULL AND NOT EXISTS ("
        "SELECT 1 FROM param p CROSS JOIN ref f NOT INDEXED ON f.pid = p.pid AND f.target = ?1)",
        (rid,),
    )
