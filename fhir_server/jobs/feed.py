"""The open Tasks, kept in mind: read once, then followed by the store's feed of changes.

The Task in the store is the truth; this is what one process knows of it, at most as old as the last `refresh`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fhir_server.jobs import states
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

PRIORITIES: Final = {"stat": 3, "asap": 2, "urgent": 1, "routine": 0}
"""Task.priority (http://hl7.org/fhir/request-priority); no priority counts as routine."""


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What a worker has to know of a Task that waits or is held.

    requester: who asked for it (states.requester_of), '' when nobody is named. code: what is asked for. arrived: when
    it was asked for, an instant's text that sorts by time. due: when it wants a worker (states.due). lease: who holds
    it, or how its last attempt ended."""

    id: str
    status: str
    requester: str
    code: str
    priority: int
    arrived: str
    due: datetime
    lease: states.Lease | None

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands among those of the same requester: by arrival, then by id."""
        return self.arrived, self.id

    @property
    def held(self) -> bool:
        return self.lease is not None and bool(self.lease.worker)


def open_task(task: Mapping[str, Any], codes: Collection[str]) -> OpenTask | None:
    """The Task as one that is open; None when it is not, or when nobody here runs its code."""
    due = states.due(task)
    code = next((code for code in states.task_codes(task) if code in codes), None)
    if due is None or code is None:
        return None
    return OpenTask(
        id=str(task["id"]),
        status=str(task["status"]),
        requester=states.requester_of(task),
        code=code,
        priority=PRIORITIES.get(str(task.get("priority")), 0),
        arrived=states.arrival_of(task),
        due=due,
        lease=states.lease_of(task),
    )


class Feed:
    """The open Tasks with a code of `codes`. One per process and hub.

    tasks: id -> what is known of it. on_change: called with the id of each Task that was written since, and what it is
    now (None: ended, deleted, or none of ours)."""

    def __init__(self, hub: Hub, codes: Collection[str]) -> None:
        self._hub, self._codes = hub, frozenset(codes)
        self.tasks: dict[str, OpenTask] = {}
        self.on_change: list[Callable[[str, OpenTask | None], None]] = []
        self._seq: int | None = None
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Take up what has changed. Raises what reading the store raises; then the next call begins anew."""
        async with self._lock:
            if self._seq is None:
                await self._begin()
            last = await self._hub.store.last_seq()
            if last == self._seq:
                return
            assert self._seq is not None
            try:
                async for version in self._hub.store.changes(self._seq, types=("Task",)):
                    last = max(last, version.seq)
                    self._note(version.id, None if version.body is None else msgspec.json.decode(version.body))
            except BaseException:
                self._seq = None
                raise
            self._seq = last

    async def _begin(self) -> None:
        """All Tasks that are open now. What changes meanwhile is in the feed from before."""
        seq = await self._hub.store.last_seq()
        wanted = ",".join(sorted(states.WAITING | {"in-progress"}))
        criteria = [("code", ",".join(sorted(self._codes))), ("status", wanted)]
        found = await self._hub.find(SYSTEM, "Task", criteria, limit=1_000_000) if self._codes else []
        for gone in self.tasks.keys() - {str(task["id"]) for task in found}:
            self._note(gone, None)
        for task in found:
            self._note(str(task["id"]), task)
        self._seq = seq

    def _note(self, id: str, task: Mapping[str, Any] | None) -> None:
        now = open_task(task, self._codes) if task is not None else None
        if now is None:
            self.tasks.pop(id, None)
        else:
            self.tasks[id] = now
        for listener in self.on_change:
            listener(id, now)
