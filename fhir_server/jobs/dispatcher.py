"""From the store to the broker: whoever wrote a Task, by whatever door, a worker hears of it.

The dispatcher follows the store's feed of changes, keeps in mind every Task that waits or is held, and publishes the id
of each one that is due: at once when it is new, when its time comes after an attempt that went wrong, when its lease
has run out or its worker has died. Publishing twice does no harm: claiming decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_server.jobs import states
from fhir_server.jobs.runtime import Runtime
from fhir_server.security.caller import SYSTEM

POLL_SECONDS: Final = 0.03
AGAIN_SECONDS: Final = 15.0
"""When a Task that was published is still due, its message is thought lost."""
log = logging.getLogger(__name__)


class Dispatcher:
    """One per worker; of those that share `lock`, one works and the others stand by."""

    def __init__(self, runtime: Runtime, publish: Callable[[str], Awaitable[None]], *, lock: Path) -> None:
        self._runtime, self._publish, self._lock = runtime, publish, lock
        self._open: dict[str, Mapping[str, Any]] = {}
        self._told: dict[str, float] = {}
        self._seq = 0

    async def run(self) -> None:
        """Until cancelled. A store that fails for a while is tried again."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(handle):  # noqa: ASYNC110 (another process holds it)
                await asyncio.sleep(0.5)
            started = False
            while True:
                try:
                    if not started:
                        await self._begin()
                        started = True
                    await self.step()
                except Exception as error:
                    log.warning("looking for work failed; trying again", exc_info=error)
                    started = False
                    await asyncio.sleep(1)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            os.close(handle)

    async def _begin(self) -> None:
        """All Tasks that are open now. What changes meanwhile is in the feed from before."""
        store = self._runtime.hub.store
        self._seq = await store.last_seq()
        self._open.clear()
        self._told.clear()
        wanted = ",".join(sorted(states.WAITING | {"in-progress"}))
        tasks = await self._runtime.hub.find(
            SYSTEM,
            "Task",
            [("code", ",".join(self._runtime.runners)), ("status", wanted), ("_sort", "_lastUpdated")],
            limit=1_000_000,
        )
        for task in tasks:
            self._note(task)

    async def step(self) -> None:
        """Take up what has changed, publish what is due."""
        store = self._runtime.hub.store
        last = await store.last_seq()
        if last != self._seq:
            async for version in store.changes(self._seq, types=("Task",)):
                last = max(last, version.seq)
                if version.body is None:
                    self._drop(version.id)
                else:
                    self._note(msgspec.json.decode(version.body))
            self._seq = last
        now = asyncio.get_running_loop().time()
        for id in [id for id, task in self._open.items() if self._runtime.is_due(task)]:
            if now >= self._told.get(id, 0.0):
                self._told[id] = now + AGAIN_SECONDS
                await self._publish(id)

    def _note(self, task: Mapping[str, Any]) -> None:
        id = str(task["id"])
        if states.due(task) is None or self._runtime.runner_for(task) is None:
            self._drop(id)
        else:
            self._open[id] = {name: task[name] for name in ("id", "status", "code", "extension") if name in task}
            self._told.pop(id, None)

    def _drop(self, id: str) -> None:
        self._open.pop(id, None)
        self._told.pop(id, None)


def _locked(handle: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
