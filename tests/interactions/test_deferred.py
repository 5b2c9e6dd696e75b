"""Deferred work: it outlives the process, is done by one only, and what may have written is not done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fhir_server.hub import Hub
from fhir_server.interactions import deferred
from fhir_server.interactions.deferred import Deferred, Work
from fhir_server.security.caller import Caller

ME = Caller(key_id="me", scopes={"*": "cruds"})


async def echo(work: Work) -> AsyncIterator[bytes]:
    yield work.body


async def endless(work: Work) -> AsyncIterator[bytes]:
    work.tell("half done")
    await asyncio.sleep(3600)
    yield b""


async def done(work: Deferred, id: str) -> bytes:
    async with asyncio.timeout(10):
        while True:
            answer = await work.answer(ME, id)
            if isinstance(answer, bytes):
                return answer
            if answer is not None:
                return b"".join([chunk async for chunk in answer])
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "SWEEP", 0.05)
    monkeypatch.setattr(deferred, "BEAT", 0.05)
    monkeypatch.setattr(deferred, "LEASE", 0.3)
    monkeypatch.setattr(deferred, "GRACE", 0.1)


@pytest.mark.parametrize("size", [10, 200_000])
async def test_an_answer_of_any_size_is_kept(hub: Hub, size: int) -> None:
    work = Deferred(hub)
    work.serve(echo)
    id = await work.accept(ME, {}, b"x" * size, repeatable=True)
    assert await done(work, id) == b"x" * size
    await work.stop()


async def test_work_that_nobody_has_begun_is_begun_after_a_restart(hub: Hub) -> None:
    id = await Deferred(hub).accept(ME, {}, b"body", repeatable=False)
    later = Deferred(hub)
    later.serve(echo)
    assert await done(later, id) == b"body"
    await later.stop()


async def test_what_only_reads_is_done_again_after_a_stop(hub: Hub) -> None:
    first = Deferred(hub)
    first.serve(endless)
    id = await first.accept(ME, {}, b"body", repeatable=True)
    await asyncio.sleep(0.1)
    await first.stop()
    second = Deferred(hub)
    second.serve(echo)
    assert await done(second, id) == b"body"
    await second.stop()


async def test_what_may_have_written_is_not_done_again(hub: Hub) -> None:
    first = Deferred(hub)
    first.serve(endless)
    id = await first.accept(ME, {}, b"body", repeatable=False)
    await asyncio.sleep(0.1)
    await first.stop()
    second = Deferred(hub)
    second.serve(echo)
    assert b'"status":"500"' in await done(second, id)
    await second.stop()


async def test_of_two_processes_one_does_it(hub: Hub) -> None:
    runs: list[str] = []

    async def counting(work: Work) -> AsyncIterator[bytes]:
        runs.append(work.id)
        await asyncio.sleep(0.5)
        yield b"done"

    one, other = Deferred(hub), Deferred(hub)
    one.serve(counting)
    other.serve(counting)
    id = await one.accept(ME, {}, b"", repeatable=True)
    assert await done(other, id) == b"done"
    assert runs == [id]
    await one.stop()
    await other.stop()


async def test_progress_is_told_to_everyone(hub: Hub) -> None:
    one, other = Deferred(hub), Deferred(hub)
    one.serve(endless)
    id = await one.accept(ME, {}, b"", repeatable=True)
    await asyncio.sleep(0.3)
    status = await other.status(ME, id)
    assert status is not None
    assert status.progress == "half done"
    await one.stop()


async def test_cancelling_elsewhere_ends_the_work(hub: Hub) -> None:
    one, other = Deferred(hub), Deferred(hub)
    one.serve(endless)
    id = await one.accept(ME, {}, b"", repeatable=True)
    await asyncio.sleep(0.1)
    assert await other.cancel(ME, id)
    async with asyncio.timeout(5):
        while one._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await one.status(ME, id) is None
    await one.stop()


async def test_it_is_nobody_elses(hub: Hub) -> None:
    work = Deferred(hub)
    id = await work.accept(ME, {}, b"", repeatable=True)
    other = Caller(key_id="other", scopes={"*": "cruds"})
    assert await work.status(other, id) is None
    assert not await work.cancel(other, id)
    assert await work.status(Caller(key_id="admin", admin=True), id) is not None
