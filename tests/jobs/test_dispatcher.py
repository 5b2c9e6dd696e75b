from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fhir_server.jobs import states
from fhir_server.jobs.dispatcher import Dispatcher

from .memory_hub import MemoryHub
from .test_runtime import NAMES, runtime, task


def dispatcher(hub: MemoryHub, tmp_path: Path, told: list[str], **options: object) -> Dispatcher:
    async def publish(task_id: str) -> None:
        told.append(task_id)

    return Dispatcher(runtime(hub, **options), publish, lock=tmp_path / "lock")


async def test_tasks_that_were_waiting_at_start_are_published(tmp_path: Path) -> None:
    hub, told = MemoryHub(), list[str]()
    await hub.save(None, task(id="a"))
    await hub.save(None, task(id="b", status="completed"))
    await hub.save(None, task(id="c", code={"text": "something else"}))
    looking = dispatcher(hub, tmp_path, told)
    await looking._feed.refresh()
    await looking.step()
    await looking.step()
    assert told == ["a"]


async def test_a_task_written_by_anyone_is_published_once(tmp_path: Path) -> None:
    hub, told = MemoryHub(), list[str]()
    looking = dispatcher(hub, tmp_path, told)
    await looking._feed.refresh()
    await hub.save(None, task(id="a"))
    await looking.step()
    await looking.step()
    assert told == ["a"]


async def test_a_draft_is_published_when_it_is_requested(tmp_path: Path) -> None:
    hub, told = MemoryHub(), list[str]()
    looking = dispatcher(hub, tmp_path, told)
    await looking._feed.refresh()
    await hub.save(None, task(id="a", status="draft"))
    await looking.step()
    assert told == []
    await hub.save(None, task(id="a", status="requested"))
    await looking.step()
    assert told == ["a"]


async def test_a_task_whose_lease_runs_out_is_published(tmp_path: Path) -> None:
    hub, told, now = MemoryHub(), list[str](), [datetime(2026, 1, 1, tzinfo=UTC)]
    looking = dispatcher(hub, tmp_path, told, clock=lambda: now[0])
    await hub.save(None, states.claimed(task(), NAMES, worker="w9", now=now[0], lease=timedelta(seconds=60)))
    await looking._feed.refresh()
    await looking.step()
    assert told == []
    now[0] += timedelta(seconds=61)
    await looking.step()
    assert told == ["t1"]


async def test_a_task_of_a_dead_worker_is_published_at_once(tmp_path: Path) -> None:
    hub, told = MemoryHub(), list[str]()
    looking = dispatcher(hub, tmp_path, told, is_dead=lambda worker: worker == "w9")
    await hub.save(None, states.claimed(task(), NAMES, worker="w9", now=datetime.now(UTC), lease=timedelta(hours=1)))
    await looking._feed.refresh()
    await looking.step()
    assert told == ["t1"]
