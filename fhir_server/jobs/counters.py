"""Counters that do not make a request wait for the disk: added up here, written twice a second."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from fhir_server.store.protocol import Store

FLUSH_SECONDS: Final = 0.5
log = logging.getLogger(__name__)


class BufferedCounters:
    """Counts of this process on their way to the store. `close` writes what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[str, int] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def add(self, name: str, amount: int = 1) -> None:
        self._pending[name] = self._pending.get(name, 0) + amount
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._soon())

    async def get(self, name: str) -> int:
        await self.flush()
        return await self._store.get_counter(name)

    async def flush(self) -> None:
        async with self._lock:
            while self._pending:
                name, amount = next(iter(self._pending.items()))
                await self._store.add_counter(name, amount)
                left = self._pending[name] - amount
                if left:
                    self._pending[name] = left
                else:
                    del self._pending[name]

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        await self.flush()

    async def _soon(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        try:
            await self.flush()
        except Exception:
            log.exception("counters could not be written; they are kept and tried again")
