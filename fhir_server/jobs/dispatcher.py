"""From the store to the broker: whoever wrote a Task, by whatever door, a worker hears of it.

The dispatcher looks at every Task that waits or is held, as the feed knows them, and publishes the id of each one that
is due: at once when it is new, when its time comes after an attempt that went wrong, when its lease
has run out or its worker has died. Publishing twice does no harm: claiming decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fhir_server.jobs.feed import OpenTask
from fhir_server.jobs.runtime import Runtime

POLL_SECONDS: Final = 0.03
AGAIN_SECONDS: Final = 15.0
"""When a Task that was published is still due, its message is thought lost."""
log = logging.getLogger(__name__)


class Dispatcher:
    """One per worker; of those that share `lock`, one publishes and the others only follow the feed."""

    def __init__(self, runtime: Runtime, publish: Callable[[str], Awaitable[None]], *, lock: Path) -> None:
        self._runtime, self._publish, self._lock = runtime, publish, lock
        assert runtime.feed is not None
        self._feed = runtime.feed
        self._told: dict[str, float] = {}
        self._feed.on_change.append(self._changed)

    async def run(self) -> None:
        """Until cancelled. A store or a broker that fails for a while is tried again."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            first = False
            while True:
                try:
                    await self._feed.refresh()
                    first = first or _locked(handle)
                    if first:
                        await self.publish_due()
                except Exception as error:
                    log.warning("looking for work failed; trying again", exc_info=error)
                    await asyncio.sleep(1)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            os.close(handle)

    async def step(self) -> None:
        """Take up what has changed, publish what is due."""
        await self._feed.refresh()
        await self.publish_due()

    def _changed(self, task_id: str, task: OpenTask | None) -> None:
        self._told.pop(task_id, None)

    async def publish_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for task in sorted(self._runtime.due(), key=lambda task: (-task.priority, task.place)):
            if now >= self._told.get(task.id, 0.0):
                self._told[task.id] = now + AGAIN_SECONDS
                await self._publish(task.id)


def _locked(handle: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
