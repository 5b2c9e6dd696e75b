"""Writing inside one open transaction of the writer: resources, versions, index rows, in the one order of changes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final, get_args

from fhir_server.search.entries import Entries
from fhir_server.store.protocol import Commit, Delete, Guard, GuardFailed, Method, Version, VersionMismatch
from fhir_server.store.sqlite.names import WritableNames
from fhir_server.store.sqlite.rows import Changes, rows_of, stored_rows

METHODS: Final[tuple[Method, ...]] = get_args(Method)
CODES: Final = {method: code for code, method in enumerate(METHODS)}

GuardCheck = Callable[["Transaction", Guard], bool]

#: (rid, whether the index may hold it already, its row or None when it is to go)
Words = tuple[int, bool, tuple[int, str, str] | None]

_FIND: Final = "SELECT rid, version, live FROM resource WHERE tid = ? AND id = ?"
_IDENTITIES: Final = 100_000
#: Seconds between two looks at whether another process has ended its transaction.
_TURN: Final = 0.001


class Transaction:
    """The writer's state. `begin` and `end` bracket a transaction; `mark` and `undo` one commit within it."""

    def __init__(self, connection: sqlite3.Connection, *, full_text: bool, check_guard: GuardCheck) -> None:
        self.connection = connection
        (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
        self._patience = milliseconds / 1000
        connection.execute("PRAGMA busy_timeout = 0")
        self.names = WritableNames()
        self.full_text = full_text
        self._check_guard = check_guard
        self._identities: dict[tuple[str, str], int] = {}
        self._epoch = -1
        self._seq = self._last_updated = self._rid = 0
        self._seq_at_begin = 0
        self._tally: dict[int, list[int]] = {}
        self._words: list[Words] = []
        self._marked: tuple[dict[int, list[int]], list[Words], int, int] = ({}, [], 0, 0)
        self._learnt = 0

    def begin(self) -> None:
        self._take_turn()
        self._seq, self._last_updated, epoch, rid = self.connection.execute(
            "SELECT seq, last_updated, epoch, (SELECT max(rid) FROM resource) FROM clock"
        ).fetchone()
        self._seq_at_begin = self._seq
        self._rid = rid or 0
        self._tally = {}
        self._words = []
        if epoch != self._epoch:
            # Identities were purged, perhaps by another process.
            self._identities.clear()
            self._epoch = epoch

    def _take_turn(self) -> None:
        """Wait for the processes that write now. SQLite's own waiting sleeps up to a tenth of a second at a time."""
        started = time.monotonic()
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() - started > self._patience:
                    raise
            time.sleep(_TURN)

    def end(self) -> None:
        """Durable when it returns."""
        if self._seq != self._seq_at_begin:
            self.connection.execute("UPDATE clock SET seq = ?, last_updated = ?", (self._seq, self._last_updated))
        self.write_pending()
        self.connection.execute("COMMIT")

    def write_pending(self) -> None:
        """What is put off until the end of the transaction, or until something searches within it."""
        self.write_tally()
        self.write_words()

    def write_tally(self) -> None:
        if self._tally:
            self.connection.executemany(
                "INSERT INTO tally VALUES (?1, ?2, ?3) ON CONFLICT (tid) "
                "DO UPDATE SET live = live + excluded.live, versions = versions + excluded.versions",
                [(tid, live, versions) for tid, (live, versions) in self._tally.items()],
            )
            self._tally = {}

    def abandon(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._forget()

    def mark(self) -> None:
        self.connection.execute("SAVEPOINT one")
        tally = {tid: list(counts) for tid, counts in self._tally.items()}
        self._marked = (tally, self._words, len(self._words), self._learnt)

    def release(self) -> None:
        self.connection.execute("RELEASE one")

    def undo(self) -> None:
        self.connection.execute("ROLLBACK TO one")
        self.connection.execute("RELEASE one")
        # What was written meanwhile for others, because something searched, has gone with the savepoint.
        self._tally, words, count, learnt = self._marked
        self._words = words[:count]
        if learnt != self._learnt:
            self._forget()

    def _forget(self) -> None:
        self.names.forget()
        self._identities.clear()

    def count(self, tid: int, live: int, versions: int) -> None:
        counts = self._tally.setdefault(tid, [0, 0])
        counts[0] += live
        counts[1] += versions

    def bump_epoch(self) -> None:
        """Makes every process forget which resources have an identity, and what it has counted."""
        self._epoch += 1
        self._identities.clear()
        self.connection.execute("UPDATE clock SET epoch = ?", (self._epoch,))

    def identify(self, type: str, id: str) -> int:
        """The rid of a resource or absolute URL (type ''), made when there is none."""
        key = (type, id)
        rid = self._identities.get(key)
        if rid is None:
            self._learnt += 1
            tid = self.names.give_tid(self.connection, type)
            row = self.connection.execute("SELECT rid FROM resource WHERE tid = ? AND id = ?", (tid, id)).fetchone()
            if row is None:
                rid = self._rid = self._rid + 1
                self.connection.execute("INSERT INTO resource VALUES (?, ?, ?, 0, NULL, 0, 0, 0)", (rid, tid, id))
            else:
                rid = int(row[0])
            self._remember(key, rid)
        return rid

    def _remember(self, key: tuple[str, str], rid: int) -> None:
        if len(self._identities) > _IDENTITIES:
            self._identities.clear()
        self._identities[key] = rid
        self._learnt += 1

    def apply(self, commit: Commit) -> Sequence[Version | None]:
        """Raises VersionMismatch or GuardFailed; the caller then undoes."""
        for guard in commit.guards:
            if not self._check_guard(self, guard):
                raise GuardFailed("What the request was decided on has changed meanwhile.")
        self._last_updated = max(self._last_updated, time.time_ns() // 1_000_000 * 1_000)
        results: list[Version | None] = []
        indexed: list[tuple[int, bool, str, Entries]] = []
        gone: list[int] = []
        births: list[tuple[int, int, str, int, int, int, int, int]] = []
        versions: list[tuple[int, int, int, int, int, int, bytes | None]] = []
        for write in commit.writes:
            tid = self.names.tids.get(write.type)
            if tid is None:
                self._learnt += 1
                tid = self.names.give_tid(self.connection, write.type)
            row = self.connection.execute(_FIND, (tid, write.id)).fetchone()
            rid, current, live = row or (0, 0, 0)
            if write.expect is not None and write.expect != (current if live else 0):
                raise VersionMismatch(write.type, write.id, current if live else 0)
            version, at = current + 1, self._last_updated
            method: Method
            body: bytes | None
            if isinstance(write, Delete):
                if not live:
                    results.append(None)
                    continue
                self._seq += 1
                self.connection.execute(
                    "UPDATE resource SET version = ?, seq = ?, last_updated = ?, live = 0 WHERE rid = ?",
                    (version, self._seq, at, rid),
                )
                gone.append(rid)
                self.count(tid, -1, 1)
                method, body = "DELETE", None
            else:
                method, body = write.method, write.render(version, at)
                self._seq += 1
                if not rid:
                    rid = self._rid = self._rid + 1
                    births.append((rid, tid, write.id, version, self._seq, self._seq, at, 1))
                    self._remember((write.type, write.id), rid)
                elif live:
                    self.connection.execute(
                        "UPDATE resource SET version = ?, seq = ?, last_updated = ? WHERE rid = ?",
                        (version, self._seq, at, rid),
                    )
                else:
                    self.connection.execute(
                        "UPDATE resource SET version = ?, seq = ?, born = ?, last_updated = ?, live = 1 WHERE rid = ?",
                        (version, self._seq, self._seq, at, rid),
                    )
                indexed.append((rid, bool(live), write.type, write.entries))
                self.count(tid, 0 if live else 1, 1)
            versions.append((self._seq, rid, tid, version, at, CODES[method], body))
            results.append(Version(write.type, write.id, version, self._seq, at, method, body))
        if births:
            self.connection.executemany("INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)", births)
        if versions:
            self.connection.executemany("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?)", versions)
        self._index(indexed, gone)
        return results

    def _index(self, indexed: Sequence[tuple[int, bool, str, Entries]], gone: Sequence[int]) -> None:
        changes = Changes()
        for rid in gone:
            changes.replace(stored_rows(self.connection, rid), {})
            self.unindex_words(rid)
        for rid, existed, type, entries in indexed:
            rows = rows_of(self.connection, self.names, self.identify, type, rid, entries)
            if existed:
                changes.replace(stored_rows(self.connection, rid), rows)
            else:
                changes.create(rows)
        changes.flush(self.connection)
        self.index_words([(rid, entries) for rid, existed, _, entries in indexed if existed], existed=True)
        self.index_words([(rid, entries) for rid, existed, _, entries in indexed if not existed], existed=False)

    def reindex(self, rid: int, type: str, entries: Entries) -> bool:
        """Makes the index hold exactly `entries` for a live resource; False when it did already."""
        changes = Changes()
        rows = rows_of(self.connection, self.names, self.identify, type, rid, entries)
        differs = changes.replace(stored_rows(self.connection, rid), rows)
        changes.flush(self.connection)
        self.index_words([(rid, entries)], existed=True)
        return differs

    def index_words(self, written: Sequence[tuple[int, Entries]], *, existed: bool) -> None:
        if self.full_text:
            self._words += [
                (rid, existed, (rid, of.narrative, of.content) if of.narrative or of.content else None)
                for rid, of in written
            ]

    def unindex_words(self, rid: int) -> None:
        if self.full_text:
            self._words.append((rid, True, None))

    def write_words(self) -> None:
        """All at once: SQLite's full text writes a piece of its index at every savepoint that comes between."""
        if not self._words:
            return
        last: dict[int, tuple[bool, tuple[int, str, str] | None]] = {}
        for rid, existed, row in self._words:
            last[rid] = (last[rid][0] if rid in last else existed, row)
        self._words = []
        gone = [(rid,) for rid, (existed, _) in last.items() if existed]
        if gone:
            self.connection.executemany("DELETE FROM words WHERE rowid = ?", gone)
        rows = sorted(row for _, row in last.values() if row is not None)
        self.connection.executemany("INSERT INTO words(rowid, narrative, content) VALUES (?, ?, ?)", rows)
