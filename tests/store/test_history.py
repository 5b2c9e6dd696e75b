from __future__ import annotations

import asyncio

from fhir_server.store.protocol import Delete, Store
from tests.store.building import put, save


async def _filled(store: Store) -> None:
    for number in range(3):
        await save(store, put("Patient", "a"), put("Group", f"g{number}"))
    await save(store, Delete("Patient", "a"))


async def test_history_of_one_resource_is_newest_first(store: Store) -> None:
    await _filled(store)
    page = await store.history(type="Patient", id="a", limit=10, total=True)
    assert [version.version for version in page.versions] == [4, 3, 2, 1]
    assert (page.next, page.total) == (None, 4)


async def test_history_pages_meet_without_gap_or_overlap(store: Store) -> None:
    await _filled(store)
    seen, after = [], None
    while True:
        page = await store.history(limit=2, after=after)
        seen += [version.seq for version in page.versions]
        if page.next is None:
            break
        after = page.next
        await save(store, put("Patient", "later"))
    assert len(seen) == 7
    assert seen == sorted(set(seen), reverse=True)


async def test_history_of_several_types(store: Store) -> None:
    await _filled(store)
    await save(store, put("Device", "d"))
    page = await store.history(types=("Group", "Device"), limit=10, total=True)
    assert [version.type for version in page.versions] == ["Device", "Group", "Group", "Group"]
    assert page.total == 4


async def test_history_of_the_unknown_is_empty(store: Store) -> None:
    assert (await store.history(type="Patient", id="x", limit=5, total=True)).total == 0
    assert (await store.history(type="Patient", limit=5)).versions == []


async def test_since_leaves_out_what_is_older(store: Store) -> None:
    (first,) = await save(store, put("Patient", "a"))
    await asyncio.sleep(0.005)
    (second,) = await save(store, put("Patient", "b"))
    page = await store.history(limit=9, since=second.last_updated, total=True)
    assert [version.id for version in page.versions] == ["b"]
    assert page.total == 1
    assert len((await store.history(limit=9, since=first.last_updated)).versions) == 2


async def test_at_gives_what_was_current_then(store: Store) -> None:
    stamps = []
    for _ in range(3):
        (version,) = await save(store, put("Patient", "a"))
        stamps.append(version.last_updated)
        await asyncio.sleep(0.005)
    (gone,) = await save(store, Delete("Patient", "a"))
    between = stamps[1] + 1000

    async def versions(lo: int, hi: int) -> list[int]:
        page = await store.history(type="Patient", id="a", at=(lo, hi), limit=9)
        return [version.version for version in page.versions]

    assert await versions(between, between) == [2]
    assert await versions(between, stamps[2]) == [3, 2]
    assert await versions(0, stamps[0] - 1000) == []
    assert await versions(gone.last_updated + 1000, gone.last_updated + 2000) == []


async def test_changes_come_in_order_and_can_be_resumed(store: Store) -> None:
    await _filled(store)
    everything = [version async for version in store.changes(0)]
    assert [version.seq for version in everything] == sorted(version.seq for version in everything)
    assert len(everything) == 7
    rest = [version async for version in store.changes(everything[3].seq)]
    assert rest == everything[4:]


async def test_changes_of_some_types(store: Store) -> None:
    await _filled(store)
    assert [version.id async for version in store.changes(0, types=("Group",))] == ["g0", "g1", "g2"]
    assert [version.id async for version in store.changes(0, types=("Device",))] == []


async def test_changes_pass_their_own_batch_size(store: Store) -> None:
    await save(store, *(put("Patient", str(number)) for number in range(1203)))
    assert len([version async for version in store.changes(0)]) == 1203


async def test_scan_gives_current_resources_by_type_then_age(store: Store) -> None:
    await _filled(store)
    await save(store, put("Patient", "z"), put("Patient", "b"))
    everything = [(version.type, version.id) async for batch in store.scan() for version in batch]
    assert everything == [("Group", "g0"), ("Group", "g1"), ("Group", "g2"), ("Patient", "z"), ("Patient", "b")]


async def test_scan_sees_one_moment(store: Store) -> None:
    await save(store, *(put("Patient", f"p{number:04}") for number in range(1500)))
    seen = 0
    async for batch in store.scan():
        if not seen:
            await save(store, put("Patient", "new"), Delete("Patient", "p1400"))
        seen += len(batch)
    assert seen == 1500


async def test_scan_can_be_given_up(store: Store) -> None:
    await save(store, *(put("Patient", f"p{number:04}") for number in range(1500)))
    async for _ in store.scan():
        break
    await save(store, put("Patient", "after"))


async def test_scan_keeps_to_types_snapshot_and_since(store: Store) -> None:
    (first,) = await save(store, put("Patient", "a"))
    await asyncio.sleep(0.005)
    (second,) = await save(store, put("Patient", "b"))
    await save(store, put("Group", "g"))

    async def scanned(**options: object) -> list[str]:
        return [version.id async for batch in store.scan(**options) for version in batch]  # type: ignore[arg-type]

    assert await scanned(types=("Patient",)) == ["a", "b"]
    assert await scanned(snapshot=first.seq) == ["a"]
    assert await scanned(since=second.last_updated) == ["g", "b"]
