"""One worker with several slots, and the open Tasks it has in mind: order, cancelling, limits of time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from fhir_server.jobs import Job, JobFailed, Outcome
from fhir_server.jobs.book import JobBook
from fhir_server.jobs.feed import Feed

from .memory_hub import MemoryHub
from .test_runtime import NAMES, runtime, task


def asked(id: str, key: str = "k1", n: int = 0, **changes: Any) -> dict[str, Any]:
    requester = {"identifier": {"system": "http://keys", "value": key}}
    return task(id=id, requester=requester, authoredOn=f"2026-01-01T00:00:00.{n:03d}Z", **changes)


def ended(hub: MemoryHub) -> list[str]:
    """Ids of the Tasks in the order in which they were completed."""
    return [v.id for v in hub.store.versions if v.type == "Task" and b'"completed"' in (v.body or b"")]


async def slow(job: Job) -> Outcome:
    await asyncio.sleep(random.Random(job.id).uniform(0, 0.01))
    return Outcome(engine="rules", version="1")


async def test_jobs_run_side_by_side_and_end_in_order_of_arrival_per_key() -> None:
    hub = MemoryHub()
    for n in range(40):
        await hub.save(None, asked(f"t{n:02d}", key=f"k{n % 3}", n=n))
    running = seen = 0

    async def watched(job: Job) -> Outcome:
        nonlocal running, seen
        running += 1
        seen = max(seen, running)
        try:
            return await slow(job)
        finally:
            running -= 1

    worker = runtime(hub, watched)
    slots = asyncio.Semaphore(4)

    async def message(id: str) -> None:
        async with slots:
            await worker.wake(id)

    ids = [f"t{n:02d}" for n in range(40)]
    random.Random(1).shuffle(ids)  # whatever order the broker has
    await asyncio.gather(*map(message, ids))
    order = ended(hub)
    assert sorted(order) == sorted(ids)
    assert seen > 1
    for key in range(3):
        mine = [id for id in order if int(id[1:]) % 3 == key]
        assert mine == sorted(mine)


async def test_two_workers_keep_the_order_too() -> None:
    hub = MemoryHub()
    for n in range(20):
        await hub.save(None, asked(f"t{n:02d}", n=n))
    workers = [runtime(hub, slow, worker=f"w{n}") for n in range(2)]
    slots = [asyncio.Semaphore(2) for _ in workers]

    async def message(n: int) -> None:
        async with slots[n % 2]:
            await workers[n % 2].wake(f"t{n:02d}")

    await asyncio.gather(*(message(n) for n in range(20)))
    assert ended(hub) == [f"t{n:02d}" for n in range(20)]


async def test_the_more_urgent_job_goes_first() -> None:
    hub = MemoryHub()
    await hub.save(None, asked("calm", n=1))
    await hub.save(None, asked("stat", n=2, priority="stat"))
    worker = runtime(hub, slow)
    await worker.wake("calm")
    await worker.wake("stat")
    assert ended(hub) == ["stat", "calm"]


async def test_a_message_for_which_nothing_is_left_does_nothing() -> None:
    hub = MemoryHub()
    await hub.save(None, asked("a"))
    worker = runtime(hub, slow)
    assert await worker.wake("a")
    assert not await worker.wake("a")


async def test_a_job_is_stopped_when_its_task_is_cancelled() -> None:
    hub, stopped = MemoryHub(), asyncio.Event()

    async def endless(job: Job) -> Outcome:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()
        raise AssertionError

    await hub.save(None, asked("a"))
    worker = runtime(hub, endless)
    running = asyncio.create_task(worker.wake("a"))
    while not worker._working:  # noqa: ASYNC110
        await asyncio.sleep(0)
    now = await hub.read_resource(None, "Task", "a")
    await hub.save(None, now | {"status": "cancelled"})
    assert worker.feed is not None
    await worker.feed.refresh()
    assert not await asyncio.wait_for(running, 5)
    assert stopped.is_set()
    assert hub.current["Task", "a"]["status"] == "cancelled"  # type: ignore[index]


async def test_a_job_past_its_time_limit_fails_with_a_reason() -> None:
    async def endless(job: Job) -> Outcome:
        await asyncio.sleep(3600)
        raise AssertionError

    hub = MemoryHub()
    await hub.save(None, asked("a"))
    worker = runtime(hub, endless, time_limit=0.05)
    assert await worker.wake("a")
    failed = hub.current["Task", "a"]
    assert failed is not None
    assert failed["status"] == "failed"
    assert failed["statusReason"]["coding"][0]["code"] == "time-limit"
    assert failed["businessStatus"]["coding"][0]["code"] == "time-limit"
    assert worker.overdue == 1


async def test_one_bad_job_does_not_hold_up_those_behind_it() -> None:
    async def picky(job: Job) -> Outcome:
        if job.id == "a":
            raise JobFailed("note-missing", "There is no note.")
        if job.id == "b":
            raise RuntimeError
        return await slow(job)

    hub = MemoryHub()
    for n, id in enumerate("abc"):
        await hub.save(None, asked(id, n=n))
    worker = runtime(hub, picky)
    await asyncio.wait_for(asyncio.gather(*(worker.wake(id) for id in "abc")), 2)
    assert ended(hub) == ["c"]
    assert hub.current["Task", "b"]["status"] == "ready"  # type: ignore[index]


async def test_how_many_of_a_requester_wait_is_known() -> None:
    hub = MemoryHub()
    book = JobBook(hub, ["work"])  # type: ignore[arg-type]
    for n in range(3):
        await hub.save(None, asked(f"a{n}", n=n))
    await hub.save(None, asked("b", key="k2"))
    assert await book.waiting("http://keys|k1") == 3
    await runtime(hub, slow).run("a0")
    await hub.save(None, asked("a1", status="cancelled"))
    assert await book.waiting("http://keys|k1") == 1
    assert await book.waiting("http://keys|nobody") == 0


async def test_the_feed_begins_anew_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MemoryHub()
    feed = Feed(hub, ["work"])  # type: ignore[arg-type]
    await feed.refresh()
    await hub.save(None, asked("a"))

    async def broken(*_: object, **__: object) -> Any:
        raise OSError
        yield

    with monkeypatch.context() as patched:
        patched.setattr(hub.store, "changes", broken)
        with pytest.raises(OSError):  # noqa: PT011
            await feed.refresh()
    await hub.save(None, asked("b"))
    await feed.refresh()
    assert set(feed.tasks) == {"a", "b"}


async def test_progress_keeps_the_dialects_own_word() -> None:
    word = {"coding": [{"system": NAMES.code_system("case-status"), "code": "processing"}]}
    seen = []

    async def reports(job: Job) -> Outcome:
        await job.progress("Half of it is done")
        seen.append((await hub.read_resource(None, "Task", "a"))["businessStatus"])
        return Outcome(engine="rules", version="1", business_status=word)

    hub = MemoryHub()
    await hub.save(None, asked("a", businessStatus=word))
    await runtime(hub, reports).run("a")
    assert seen == [word | {"text": "Half of it is done"}]
    assert hub.current["Task", "a"]["businessStatus"] == word  # type: ignore[index]
