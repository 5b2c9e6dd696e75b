"""Several processes on one file, and processes that die."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from fhir_server.search.query import Everything, Query, Token
from fhir_server.store.sqlite import SqliteStore, open_store
from tests.store.building import extract, found, put, save

ROOT = Path(__file__).resolve().parents[2]


def _start(folder: Path, name: str, what: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.worker", str(folder), name, what, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )


async def test_processes_share_one_file_and_one_order_of_changes(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    processes = [_start(tmp_path, name, "conditional", 60) for name in "abc"]
    seen: list[int] = []
    while any(process.poll() is None for process in processes):
        seen += [version.seq async for version in store.changes(seen[-1] if seen else 0)]
        await asyncio.sleep(0.02)
    seen += [version.seq async for version in store.changes(seen[-1] if seen else 0)]
    won = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(won) == 60
    assert await store.count(Query(("Patient",), Everything())) == 60
    assert seen == sorted(set(seen))
    assert len(seen) == 60
    assert await store.get_counter("tried") == 180
    assert await store.check(extract) == []
    await store.close()


async def test_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(50)
    store = await open_store(data_dir=tmp_path)
    acknowledged: dict[str, int] = {}
    deadline = time.monotonic() + 300
    for kill in range(50):
        process = _start(tmp_path, f"k{kill}", "load", 4)
        assert process.stdout is not None
        # The first acknowledgement shows that it is at work; then it dies at any moment.
        first = await asyncio.to_thread(process.stdout.readline)
        await asyncio.sleep(rng.random() * 0.12)
        process.kill()
        lines = (first + process.communicate()[0]).decode().split("\n")
        # A line without its end was cut off by the death of its writer.
        mine = dict(line.split(" ") for line in lines[:-1])
        assert mine
        await _verify(store, mine)
        acknowledged.update({key: int(version) for key, version in mine.items()})
        if kill % 10 == 9:
            assert await store.check(extract) == []
        assert time.monotonic() < deadline
    for key in acknowledged:
        assert len(await found(store, "Patient", Token("transaction", "s", key))) == 3
    await _no_half_transaction(store)
    assert len(acknowledged) > 100
    await store.close()


async def _verify(store: SqliteStore, mine: dict[str, str]) -> None:
    for key, version in mine.items():
        assert len(await found(store, "Patient", Token("transaction", "s", key))) == 3, key
        lane = key.rpartition("-")[0]
        assert await store.read_version("Group", lane, int(version)) is not None, key


async def _no_half_transaction(store: SqliteStore) -> None:
    parts: dict[str, int] = {}
    async for batch in store.scan(types=("Patient",)):
        for version in batch:
            key = version.id.rpartition("-")[0]
            parts[key] = parts.get(key, 0) + 1
    assert set(parts.values()) == {3}


async def test_a_process_that_dies_while_writing_does_not_block_the_others(tmp_path: Path) -> None:
    process = _start(tmp_path, "a", "load", 4)
    assert process.stdout is not None
    process.stdout.readline()
    store = await open_store(data_dir=tmp_path)
    process.kill()
    process.communicate()
    await save(store, put("Device", "d"))
    assert await store.ready()
    await store.close()
