"""Connections as this store wants them: autocommit, WAL, and every commit on disk before it is acknowledged."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

_CHECKPOINT_PAGES: Final = 8_000
_TICK: Final = 2_000


class OutOfTime(Exception):
    """The budget of the statement was spent."""


def connect(path: Path, *, busy_seconds: float = 30.0, cache_kilobytes: int = 8_000) -> sqlite3.Connection:
    """A connection that any one thread at a time may use."""
    connection = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = OFF",
            "temp_store = MEMORY",
            f"cache_size = -{cache_kilobytes}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_CHECKPOINT_PAGES * 4096}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class Reader:
    """A connection for reading, with a budget of time. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        self.execute = self.connection.execute
        self._deadline = 0.0
        self._ticks = 0
        self.watch()

    def watch(self) -> None:
        """Hold the budget again, after something else has watched the connection."""
        self.connection.set_progress_handler(self.tick, _TICK)

    def tick(self) -> int:
        """Not 0 once the budget is spent."""
        if self._ticks:
            self._ticks -= 1
            if not self._ticks:
                return 1
        return 1 if self._deadline and time.perf_counter() > self._deadline else 0

    def within(self, seconds: float) -> Budget:
        """``with reader.within(s):`` statements raise OutOfTime once s seconds have passed. 0: no limit."""
        return Budget(self, seconds)

    def within_work(self, steps: int) -> Budget:
        """The same, but by the work done: steps of SQLite's machine, some 50 million of which make a second. What ends
        in time does so on a busy machine too."""
        return Budget(self, 0.0, max(1, steps // _TICK))

    def close(self) -> None:
        self.connection.close()


class Budget:
    __slots__ = ("_reader", "_seconds", "_ticks")

    def __init__(self, reader: Reader, seconds: float, ticks: int = 0) -> None:
        self._reader = reader
        self._seconds = seconds
        self._ticks = ticks

    def __enter__(self) -> None:
        self._reader._deadline = time.perf_counter() + self._seconds if self._seconds else 0.0
        self._reader._ticks = self._ticks

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._reader._deadline = 0.0
        self._reader._ticks = 0
        if isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted":
            raise OutOfTime from None


class Readers:
    """One Reader for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: list[Reader] = []
        self._lock = threading.Lock()

    def mine(self) -> Reader:
        try:
            reader: Reader = self._local.reader
            return reader
        except AttributeError:
            reader = self._local.reader = Reader(self._path)
            with self._lock:
                self._all.append(reader)
            return reader

    def close(self) -> None:
        with self._lock:
            for reader in self._all:
                reader.close()
            self._all.clear()
