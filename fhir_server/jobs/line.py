"""Whose turn it is: pure functions over the open Tasks.

A more urgent Task goes first; then the requesters take turns, so that one with two hundred jobs does not keep another
with one waiting; and each requester's Tasks go in the order in which they arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from fhir_server.jobs.feed import OpenTask


def is_due(task: OpenTask, now: datetime, is_dead: Callable[[str], bool]) -> bool:
    """True when a worker should take the Task now: its time has come, or the worker that holds it is no more."""
    return task.due <= now or (task.lease is not None and bool(task.lease.worker) and is_dead(task.lease.worker))


def first_in_line(tasks: Iterable[OpenTask], served: Mapping[str, int]) -> OpenTask | None:
    """The one of `tasks` (all due) to take next. served: requester -> the ordinal of his last turn."""
    return min(
        tasks, key=lambda task: (-task.priority, served.get(task.requester, 0), task.arrived, task.id), default=None
    )


def ahead_of(task: OpenTask, others: Iterable[OpenTask]) -> list[OpenTask]:
    """Those of the same requester, kind and priority that arrived before `task` and are to end before it. One that
    waits after an attempt that went wrong has lost its place."""
    mine = (task.requester, task.code, task.priority)
    return [
        other
        for other in others
        if (other.requester, other.code, other.priority) == mine
        and other.place < task.place
        and (other.held or other.lease is None or not other.lease.errors)
    ]
