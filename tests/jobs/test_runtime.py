from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.jobs import Job, JobFailed, Outcome, states
from fhir_server.jobs.feed import Feed
from fhir_server.jobs.names import Names
from fhir_server.jobs.runtime import MAX_ATTEMPTS, MAX_ERRORS, Runtime
from fhir_server.r4b.outcome import Unprocessable

from .memory_hub import MemoryHub

NAMES = Names(MemoryHub.base_url)


def task(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": "t1",
        "status": "requested",
        "intent": "order",
        "code": NAMES.concept("task-code", "work"),
        "authoredOn": "2026-01-01T00:00:00Z",
    } | changes


async def works(job: Job) -> Outcome:
    await asyncio.sleep(0)
    return Outcome(
        engine="rules",
        version="1",
        resources=[{"resourceType": "Condition", "id": f"c-{job.id}", "subject": {"reference": "Patient/p"}}],
        outputs=[{"type": {"text": "made"}, "valueReference": {"reference": f"Condition/c-{job.id}"}}],
        derived_from=["DocumentReference/d"],
    )


def runtime(hub: MemoryHub, runner: Any = works, *, worker: str = "w1", **options: Any) -> Runtime:
    return Runtime(
        hub=hub,  # type: ignore[arg-type]
        runners={"work": runner},
        names=NAMES,
        settings=None,
        worker=worker,
        feed=Feed(hub, ["work"]),  # type: ignore[arg-type]
        **options,
    )


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


async def test_a_task_is_completed_with_its_outputs(hub: MemoryHub) -> None:
    await hub.save(None, task())
    assert await runtime(hub).run("t1")
    done = hub.current["Task", "t1"]
    assert done is not None
    assert done["status"] == "completed"
    assert done["output"][0]["valueReference"] == {"reference": "Condition/c-t1"}
    assert states.lease_of(done) is None
    assert done["executionPeriod"].keys() == {"start", "end"}
    assert done["lastModified"] >= done["authoredOn"]


async def test_what_an_engine_made_is_labelled_and_has_a_provenance(hub: MemoryHub) -> None:
    await hub.save(None, task())
    await runtime(hub).run("t1")
    assert hub.of("Condition")[0]["meta"]["security"][0]["code"] == "AIAST"
    [provenance] = hub.of("Provenance")
    assert provenance["target"] == [{"reference": "Condition/c-t1"}]
    assert provenance["agent"][0]["who"]["reference"] == "Device/engine-rules-1"
    assert {"reference": "DocumentReference/d"} in [entity["what"] for entity in provenance["entity"]]
    assert hub.of("Device")[0]["version"] == [{"value": "1"}]


async def test_outputs_and_completion_are_one_transaction(hub: MemoryHub) -> None:
    await hub.save(None, task())
    before = len(hub.store.versions)
    transactions = []
    transact = hub.transact

    async def counted(caller: Any, entries: Any) -> Any:
        transactions.append([entry["request"]["url"] for entry in entries])
        return await transact(caller, entries)

    hub.transact = counted  # type: ignore[method-assign]
    await runtime(hub).run("t1")
    assert len(hub.store.versions) > before
    assert len(transactions) == 1
    assert "Task/t1" in transactions[0]
    assert "Condition/c-t1" in transactions[0]


async def test_many_workers_told_of_one_task_do_it_once(hub: MemoryHub) -> None:
    await hub.save(None, task())
    runs = await asyncio.gather(*(runtime(hub, worker=f"w{n}").run("t1") for n in range(10)))
    assert sum(runs) == 1
    assert [v.id for v in hub.store.versions if v.type == "Condition"] == ["c-t1"]


async def test_a_task_that_ended_is_left_alone(hub: MemoryHub) -> None:
    for status in sorted(states.ENDED | {"draft", "on-hold"}):
        await hub.save(None, task(id=status, status=status))
        assert not await runtime(hub).run(status)
        assert hub.numbers["Task", status] == 1


async def test_a_task_of_an_unknown_code_is_left_alone(hub: MemoryHub) -> None:
    await hub.save(None, task(code=NAMES.concept("task-code", "other")))
    assert not await runtime(hub).run("t1")


async def test_a_code_of_a_foreign_system_is_not_ours(hub: MemoryHub) -> None:
    await hub.save(None, task(code={"coding": [{"system": "http://elsewhere", "code": "work"}]}))
    assert not await runtime(hub).run("t1")


async def test_a_code_without_a_system_is_ours(hub: MemoryHub) -> None:
    await hub.save(None, task(code={"coding": [{"code": "work"}]}))
    assert await runtime(hub).run("t1")


async def test_a_job_that_cannot_be_done_fails_with_its_reason(hub: MemoryHub) -> None:
    async def refuses(job: Job) -> Outcome:
        raise JobFailed("note-missing", "There is no note.")

    await hub.save(None, task())
    assert await runtime(hub, refuses).run("t1")
    failed = hub.current["Task", "t1"]
    assert failed is not None
    assert failed["status"] == "failed"
    assert failed["statusReason"]["text"] == "There is no note."
    assert failed["statusReason"]["coding"][0]["code"] == "note-missing"


async def test_a_passing_error_is_tried_again_and_then_given_up_without_its_words(hub: MemoryHub) -> None:
    attempts = []

    async def breaks(job: Job) -> Outcome:
        attempts.append(job.attempt)
        raise RuntimeError("John Smith has a secret")

    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    await hub.save(None, task())
    for n in range(MAX_ERRORS):
        await runtime(hub, breaks, clock=lambda n=n: now + timedelta(minutes=n)).run("t1")
    failed = hub.current["Task", "t1"]
    assert failed is not None
    assert attempts == [1, 2, 3]
    assert failed["status"] == "failed"
    assert "Smith" not in str(failed)


async def test_a_retry_waits_for_its_time(hub: MemoryHub) -> None:
    async def breaks(job: Job) -> Outcome:
        raise RuntimeError

    await hub.save(None, task())
    await runtime(hub, breaks).run("t1")
    waiting = hub.current["Task", "t1"]
    assert waiting is not None
    assert waiting["status"] == "ready"
    assert not await runtime(hub).run("t1")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert await runtime(hub, clock=lambda: later).run("t1")


async def test_an_output_that_is_not_valid_is_not_tried_again(hub: MemoryHub) -> None:
    async def bad(job: Job) -> Outcome:
        raise Unprocessable("no")

    await hub.save(None, task())
    await runtime(hub, bad).run("t1")
    assert hub.current["Task", "t1"]["status"] == "failed"  # type: ignore[index]


async def test_a_lease_that_ran_out_is_taken_over(hub: MemoryHub) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    held = states.claimed(task(), NAMES, worker="dead", now=now, lease=timedelta(seconds=60))
    await hub.save(None, held)
    assert not await runtime(hub, clock=lambda: now + timedelta(seconds=59)).run("t1")
    assert await runtime(hub, clock=lambda: now + timedelta(seconds=61)).run("t1")


async def test_a_worker_known_to_be_dead_is_not_waited_for(hub: MemoryHub) -> None:
    held = states.claimed(task(), NAMES, worker="dead", now=datetime.now(UTC), lease=timedelta(hours=1))
    await hub.save(None, held)
    assert not await runtime(hub).run("t1")
    assert await runtime(hub, is_dead=lambda worker: worker == "dead").run("t1")


async def test_a_job_that_kills_its_worker_every_time_is_given_up(hub: MemoryHub) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    held = task()
    for _ in range(MAX_ATTEMPTS):
        held = states.claimed(held, NAMES, worker="dead", now=now, lease=timedelta(seconds=1))
    await hub.save(None, held)
    assert await runtime(hub).run("t1")
    failed = hub.current["Task", "t1"]
    assert failed is not None
    assert failed["statusReason"]["coding"][0]["code"] == "too-many-attempts"


async def test_a_worker_that_lost_its_lease_writes_nothing(hub: MemoryHub) -> None:
    async def slow(job: Job) -> Outcome:
        other = await hub.read_resource(None, "Task", "t1")
        taken = states.claimed(other, NAMES, worker="w2", now=datetime.now(UTC), lease=timedelta(seconds=60))
        await hub.save(None, taken)
        return await works(job)

    await hub.save(None, task())
    assert not await runtime(hub, slow).run("t1")
    assert hub.of("Condition") == []


async def test_a_task_cancelled_while_it_runs_stays_cancelled(hub: MemoryHub) -> None:
    async def slow(job: Job) -> Outcome:
        now = await hub.read_resource(None, "Task", "t1")
        await hub.save(None, now | {"status": "cancelled"})
        return await works(job)

    await hub.save(None, task())
    assert not await runtime(hub, slow).run("t1")
    assert hub.current["Task", "t1"]["status"] == "cancelled"  # type: ignore[index]
    assert hub.of("Condition") == []


async def test_what_a_client_adds_to_a_running_task_is_kept(hub: MemoryHub) -> None:
    async def slow(job: Job) -> Outcome:
        now = await hub.read_resource(None, "Task", "t1")
        await hub.save(None, now | {"note": [{"text": "please hurry"}]})
        return await works(job)

    await hub.save(None, task())
    assert await runtime(hub, slow).run("t1")
    done = hub.current["Task", "t1"]
    assert done is not None
    assert done["status"] == "completed"
    assert done["note"] == [{"text": "please hurry"}]


async def test_the_lease_is_prolonged_while_the_job_runs(hub: MemoryHub) -> None:
    async def slow(job: Job) -> Outcome:
        await asyncio.sleep(0.3)
        return await works(job)

    await hub.save(None, task())
    first = asyncio.create_task(runtime(hub, slow, lease=timedelta(seconds=0.15)).run("t1"))
    await asyncio.sleep(0.2)
    assert not await runtime(hub, worker="w2").run("t1")
    assert await first


async def test_progress_shows_in_the_task(hub: MemoryHub) -> None:
    seen = []

    async def reports(job: Job) -> Outcome:
        await job.progress("Half of it is done")
        seen.append((await hub.read_resource(None, "Task", "t1"))["businessStatus"])
        return await works(job)

    await hub.save(None, task())
    await runtime(hub, reports).run("t1")
    assert seen == [{"text": "Half of it is done"}]


async def test_a_worker_that_stops_gives_the_task_back(hub: MemoryHub) -> None:
    started = asyncio.Event()

    async def endless(job: Job) -> Outcome:
        started.set()
        await asyncio.sleep(3600)
        raise AssertionError

    await hub.save(None, task())
    running = asyncio.create_task(runtime(hub, endless).run("t1"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await runtime(hub).run("t1")
