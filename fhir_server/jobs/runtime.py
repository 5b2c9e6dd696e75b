"""Running one Task: claim, run, write. Any number of workers may be told of the same Task: one does it, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fhir_server.jobs import states
from fhir_server.jobs.feed import Feed, OpenTask, open_task
from fhir_server.jobs.job import Job, JobFailed, Outcome, Runner
from fhir_server.jobs.line import ahead_of, first_in_line, is_due
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.provenance import engine_device, labelled, provenance
from fhir_server.r4b.outcome import BadRequest, Conflict, FhirError, Gone, NotFound, PreconditionFailed, Unprocessable
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

log = logging.getLogger(__name__)

MAX_ERRORS: Final = 3
"""Attempts that may end in an error before the job is given up."""
MAX_ATTEMPTS: Final = 20
"""Attempts altogether: a job that kills its worker every time is given up too."""
_ROUNDS: Final = 50
_TURN_SECONDS: Final = 0.02
_UNHELD_SECONDS: Final = 2.0
_HELD_SECONDS: Final = 60.0
_REQUESTERS: Final = 10_000


@dataclass(slots=True)
class Runtime:
    """What a worker needs to run Tasks. is_dead(worker): True when that worker is known to be no more.

    feed: the open Tasks; with it the worker keeps their order and stops a job whose Task was cancelled. time_limit:
    seconds that one attempt may take, None for any. overdue: how many attempts went past it (what they have left
    behind in a thread cannot be stopped).
    """

    hub: Hub
    runners: Mapping[str, Runner]
    names: Names
    settings: Any
    worker: str
    lease: timedelta = timedelta(seconds=60)
    is_dead: Callable[[str], bool] = lambda worker: False
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    feed: Feed | None = None
    time_limit: float | None = None
    overdue: int = 0
    _devices: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _served: dict[str, int] = field(default_factory=dict)
    _working: dict[str, asyncio.Task[Outcome]] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if self.feed is not None:
            self.feed.on_change.append(self._changed)

    def runner_for(self, task: Mapping[str, Any]) -> Runner | None:
        return next((self.runners[code] for code in states.task_codes(task) if code in self.runners), None)

    def is_due(self, task: Mapping[str, Any]) -> bool:
        """True when a worker should take the Task now."""
        known = open_task(task, self.runners)
        return known is not None and is_due(known, self.clock(), self.is_dead)

    def due(self) -> list[OpenTask]:
        """Those of the feed's Tasks that a worker should take now."""
        now = self.clock()
        return [task for task in self.feed.tasks.values() if is_due(task, now, self.is_dead)] if self.feed else []

    async def wake(self, task_id: str) -> bool:
        """A message came that says `task_id` is due: do the Task that is first in line, which may be another one (its
        own message then finds this one, or nothing). True when this call ended a Task."""
        if self.feed is None:
            return await self.run(task_id)
        for _ in range(_ROUNDS):
            await self.feed.refresh()
            next = first_in_line((task for task in self.due() if task.id not in self._taken), self._served)
            if next is None:
                return False
            self._served[next.requester] = max(self._served.values(), default=0) + 1
            if len(self._served) > _REQUESTERS:
                del self._served[min(self._served, key=self._served.__getitem__)]
            self._taken.add(next.id)
            try:
                claimed = await self._claim(next.id)
                if claimed is not None:
                    return await self._work(claimed)
            finally:
                self._taken.discard(next.id)
                # wakes those that wait for their turn
                self._ended.set()
                self._ended = asyncio.Event()
        return False

    async def run(self, task_id: str) -> bool:
        """Do this Task if it is due and nobody else takes it. True when this call ended it, well or not."""
        claimed = await self._claim(task_id)
        return claimed is not None and await self._work(claimed)

    async def _claim(self, task_id: str) -> Json | None:
        """The Task, held by this worker from now on; None when it is not to be had."""
        task = await current(self.hub, "Task", task_id)
        if task is None or not self.is_due(task):
            return None
        claimed = states.claimed(task, self.names, worker=self.worker, now=self.clock(), lease=self.lease)
        return claimed if await self._save(claimed, task) else None

    async def _work(self, claimed: Json) -> bool:
        """Do a Task that this worker holds."""
        runner, held, task_id = self.runner_for(claimed), states.lease_of(claimed), str(claimed["id"])
        assert runner is not None
        assert held is not None
        hold = _Hold(self, task_id, held.attempt)
        if held.attempt > MAX_ATTEMPTS:
            reason = "The job was given up after its worker had been lost too often."
            return await hold.end(
                lambda now, task: states.failed(task, self.names, now=now, code="too-many-attempts", reason=reason)
            )
        try:
            async with hold:
                job = Job(
                    task=claimed,
                    attempt=held.attempt,
                    hub=self.hub,
                    names=self.names,
                    settings=self.settings,
                    clock=self.clock,
                    progress=hold.progress,
                )
                outcome = await self._within_limit(task_id, runner(job))
                if outcome is None:
                    return False
                await self._in_turn(task_id)
            return await self._complete(hold, outcome)
        except JobFailed as error:
            code, reason = error.code, error.reason
            return await hold.end(lambda now, task: states.failed(task, self.names, now=now, code=code, reason=reason))
        except asyncio.CancelledError:
            # the worker stops: give the job back before going
            await asyncio.shield(
                hold.end(lambda now, task: states.released(task, self.names, now=now, again=now, error=False))
            )
            raise
        except Exception as error:
            log.warning("attempt %d at Task/%s went wrong", held.attempt, task_id, exc_info=error)
            return await self._went_wrong(hold, held, permanent=isinstance(error, BadRequest | Unprocessable))

    async def _within_limit(self, task_id: str, work: Coroutine[Any, Any, Outcome]) -> Outcome | None:
        """What the runner gives; None when its Task was cancelled meanwhile. Raises JobFailed past the time limit."""
        running = self._working[task_id] = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({running}, timeout=self.time_limit)
            if done:
                return None if running.cancelled() else running.result()
            self.overdue += 1
            raise JobFailed("time-limit", f"The job took longer than {self.time_limit:g} seconds and was stopped.")
        finally:
            del self._working[task_id]
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    def _changed(self, task_id: str, task: OpenTask | None) -> None:
        """Stop the job of a Task that is no longer this worker's: cancelled, deleted, or taken by another one."""
        running = self._working.get(task_id)
        if running is None:
            return
        if task is None or task.lease is None or task.lease.worker != self.worker:
            log.info("Task/%s is no longer held by this worker; its job is stopped", task_id)
            running.cancel()

    async def _in_turn(self, task_id: str) -> None:
        """Wait until the Tasks that the same requester asked for earlier, of the same kind, have ended: jobs run side
        by side and end in the order in which they arrived. One that nobody does is not waited for for long."""
        if self.feed is None:
            return
        begun = asyncio.get_running_loop().time()
        while True:
            await self.feed.refresh()
            task = self.feed.tasks.get(task_id)
            if task is None:
                return
            ahead = ahead_of(task, self.feed.tasks.values())
            now = self.clock()
            waited = asyncio.get_running_loop().time() - begun
            held = any(other.held and not is_due(other, now, self.is_dead) for other in ahead)
            if not held and (waited > _UNHELD_SECONDS or not any(is_due(other, now, self.is_dead) for other in ahead)):
                return
            if waited > _HELD_SECONDS:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TURN_SECONDS)

    async def _went_wrong(self, hold: _Hold, held: states.Lease, *, permanent: bool) -> bool:
        if permanent or held.errors + 1 >= MAX_ERRORS:
            reason = "The job could not be done because of an internal error."
            return await hold.end(
                lambda now, task: states.failed(task, self.names, now=now, code="internal-error", reason=reason)
            )
        wait = timedelta(seconds=2**held.errors * random.uniform(0.5, 1.0))  # noqa: S311
        await hold.end(lambda now, task: states.released(task, self.names, now=now, again=now + wait, error=True))
        return False

    async def _complete(self, hold: _Hold, outcome: Outcome) -> bool:
        """Everything that the job made, and its completion, in one transaction that holds only while the lease does."""
        device = await self._device(outcome)
        made = [labelled(resource) for resource in outcome.resources]
        targets = [f"{resource['resourceType']}/{resource['id']}" for resource in made]

        def entries(now: datetime, task: Json) -> list[Json]:
            done = states.completed(
                task, self.names, now=now, outputs=outcome.outputs, business_status=outcome.business_status
            )
            if outcome.focus and "focus" not in done:
                done["focus"] = {"reference": outcome.focus}
            written = [*outcome.attached, *made, provenance(task, outcome, targets, device=device, now=now)]
            changed = [put(resource, if_match=version_of(resource)) for resource in outcome.updated]
            return [*(put(resource) for resource in written), *changed, put(done, if_match=version_of(task))]

        return await hold.transact(entries)

    async def _device(self, outcome: Outcome) -> str:
        device = engine_device(outcome.engine, outcome.version, self.names)
        reference = f"Device/{device['id']}"
        if reference not in self._devices:
            there = await current(self.hub, "Device", device["id"])
            if there is None or not same(there, device):
                with contextlib.suppress(PreconditionFailed, Conflict):  # another worker was faster
                    await self.hub.save(SYSTEM, device, if_match=version_of(there) if there is not None else 0)
            self._devices.add(reference)
        return reference

    async def _save(self, changed: Json, task: Json) -> bool:
        """Write the Task if it still is as it was read."""
        try:
            await self.hub.save(SYSTEM, changed, if_match=version_of(task))
        except (PreconditionFailed, Conflict):
            return False
        return True


class _Hold:
    """A claimed Task: prolongs the lease while the job runs, and writes its end only if the Task is still held."""

    def __init__(self, runtime: Runtime, task_id: str, attempt: int) -> None:
        self._runtime, self._task_id, self._attempt = runtime, task_id, attempt
        self._beat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._beat = asyncio.create_task(self._heart())

    async def __aexit__(self, *_: object) -> None:
        if self._beat is not None:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError, FhirError):
                await self._beat

    async def _heart(self) -> None:
        while True:
            await asyncio.sleep(self._runtime.lease.total_seconds() / 3)
            await self.progress("")

    async def progress(self, sentence: str) -> None:
        runtime = self._runtime
        await self.end(
            lambda now, task: states.renewed(task, runtime.names, now=now, lease=runtime.lease, progress=sentence)
        )

    async def end(self, change: Callable[[datetime, Json], Json]) -> bool:
        """Change the Task, if it is still held. False when it is not (it was cancelled, or the lease was lost)."""
        return await self.transact(lambda now, task: [put(change(now, task), if_match=version_of(task))])

    async def transact(self, entries: Callable[[datetime, Json], list[Json]]) -> bool:
        """Commit entries made from the Task as it is now. A change by others in between is taken up and tried again."""
        runtime = self._runtime
        for _ in range(20):
            task = await current(runtime.hub, "Task", self._task_id)
            held = states.lease_of(task) if task is not None else None
            if (
                task is None
                or held is None
                or task.get("status") != "in-progress"
                or (held.worker, held.attempt) != (runtime.worker, self._attempt)
            ):
                log.info("Task/%s is no longer held by this worker", self._task_id)
                return False
            try:
                await runtime.hub.transact(SYSTEM, entries(runtime.clock(), task))
            except (PreconditionFailed, Conflict):
                continue
            return True
        raise Conflict(f"Task/{self._task_id} is being changed all the time.")


def put(resource: Json, *, if_match: int | None = None) -> Json:
    """A transaction's entry that writes `resource` under its own id. if_match: the version that must be current, 0 for
    none; None for whatever is there."""
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    if if_match == 0:
        request["ifNoneMatch"] = "*"
    elif if_match is not None:
        request["ifMatch"] = f'W/"{if_match}"'
    return {"resource": resource, "request": request}


def version_of(resource: Mapping[str, Any]) -> int:
    return int(resource["meta"]["versionId"])


async def current(hub: Hub, type: str, id: str) -> Json | None:
    """The resource as it is now, None when there is none."""
    try:
        return await hub.read_resource(SYSTEM, type, id)
    except (NotFound, Gone):
        return None


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal but for meta."""
    return {name: value for name, value in one.items() if name != "meta"} == {
        name: value for name, value in other.items() if name != "meta"
    }
