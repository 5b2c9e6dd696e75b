from __future__ import annotations

from fhir_server.jobs.counters import BufferedCounters
from fhir_server.jobs.usage import TokenMeter

from .memory_hub import MemoryHub
from .test_runtime import NAMES, task


def done(id: str, key: str, tokens: int, **changes: object) -> dict[str, object]:
    return task(
        id=id,
        status="completed",
        requester={"identifier": {"system": NAMES.identifiers("api-key"), "value": key}},
        output=[{"type": NAMES.concept("task-parameter", "usage-output-tokens"), "valueInteger": tokens}],
        **changes,
    )


async def test_tokens_are_summed_by_key() -> None:
    hub = MemoryHub()
    meter = TokenMeter(hub.store)  # type: ignore[arg-type]
    await hub.save(None, done("a", "k1", 10))
    await hub.save(None, done("b", "k1", 5))
    await hub.save(None, done("c", "k2", 7))
    assert [await meter.tokens_used(key) for key in ("k1", "k2", "k3")] == [15, 7, 0]


async def test_editing_a_completed_task_costs_nothing() -> None:
    hub = MemoryHub()
    meter = TokenMeter(hub.store)  # type: ignore[arg-type]
    await hub.save(None, done("a", "k1", 10))
    await hub.save(None, done("a", "k1", 10, description="edited"))
    assert await meter.tokens_used("k1") == 10


async def test_another_process_and_a_restart_see_the_same_sum() -> None:
    hub = MemoryHub()
    first = TokenMeter(hub.store)  # type: ignore[arg-type]
    await hub.save(None, done("a", "k1", 10))
    assert await first.tokens_used("k1") == 10
    await hub.save(None, done("b", "k1", 1))
    second = TokenMeter(hub.store)  # type: ignore[arg-type]
    assert await second.tokens_used("k1") == 11
    assert await first.tokens_used("k1") == 11


async def test_a_counter_is_exact_in_its_own_process_and_written_at_the_end() -> None:
    hub = MemoryHub()
    counters = BufferedCounters(hub.store)  # type: ignore[arg-type]
    for _ in range(5):
        await counters.add("n")
    assert await counters.get("n") == 5
    await counters.add("n", 2)
    await counters.close()
    assert hub.store.counters["n"] == 7
