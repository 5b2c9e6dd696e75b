"""The one thread of a process that writes. What waits when it turns to the queue shares one transaction and one fsync.

Each piece of work runs under its own savepoint, so one that fails leaves no trace and the rest goes on. Nobody is
answered before COMMIT has returned, which with synchronous=FULL means that it is on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from fhir_server.store.protocol import StoreError
from fhir_server.store.sqlite.transaction import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], Any]

#: Seconds after which a transaction takes no more work in, so that the first to come is not kept waiting.
_LONG: Final = 0.05


class Writer:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._queue: SimpleQueue[tuple[Work, asyncio.Future[Any]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self.fsyncs = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a transaction; returns what it returns once that is durable, or raises what it raises."""
        if self._closed:
            raise StoreError("The store is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def close(self) -> None:
        """Finishes what is queued."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            first = self._queue.get()
            if first is None:
                return
            going = self._group(first)

    def _group(self, item: tuple[Work, asyncio.Future[Any]] | None) -> bool:
        """One transaction; False when the queue was closed."""
        answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        transaction = self._transaction
        going = True
        try:
            transaction.begin()
            started = time.monotonic()
            while item is not None:
                work, future = item
                answers.append(self._one(work, future))
                if time.monotonic() - started > _LONG:
                    break
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
            else:
                going = False
            transaction.end()
            self.fsyncs += 1
        except BaseException as error:
            transaction.abandon()
            failure = StoreError(f"The store could not write: {error}")
            failure.__cause__ = error
            if item is not None and all(future is not item[1] for future, _, _ in answers):
                answers.append((item[1], None, None))
            answers = [(future, None, failure) for future, _, _ in answers]
        self._tell(answers)
        return going

    def _one(self, work: Work, future: asyncio.Future[Any]) -> tuple[asyncio.Future[Any], Any, BaseException | None]:
        self._transaction.mark()
        try:
            result = work(self._transaction)
        except sqlite3.OperationalError:
            # Disk full and the like: nothing in this transaction can be relied upon.
            raise
        except BaseException as error:
            self._transaction.undo()
            return future, None, error
        self._transaction.release()
        return future, result, None

    def _tell(self, answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, answers)
        except RuntimeError:
            # The loop is closed, so nobody waits any more.
            return


def _resolve(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
