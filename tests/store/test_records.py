from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fhir_server.store.protocol import Store, VersionMismatch


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_record_is_kept_with_its_revision(store: Store) -> None:
    first = await store.put_record("key", "k", {"a": [1, {"b": None}]})
    assert (first.revision, await store.get_record("key", "k")) == (1, first)
    second = await store.put_record("key", "k", {"a": 2}, expect=1)
    assert second.revision == 2


@pytest.mark.parametrize("expect", [0, 2])
async def test_a_record_refuses_another_revision(store: Store, expect: int) -> None:
    await store.put_record("key", "k", {})
    with pytest.raises(VersionMismatch) as caught:
        await store.put_record("key", "k", {}, expect=expect)
    assert caught.value.current == 1


async def test_records_are_listed_and_deleted_by_kind(store: Store) -> None:
    for kind, id in (("key", "b"), ("key", "a"), ("job", "j")):
        await store.put_record(kind, id, {})
    assert [record.id for record in await store.list_records("key")] == ["a", "b"]
    assert await store.delete_record("key", "a")
    assert not await store.delete_record("key", "a")
    assert await store.get_record("key", "a") is None
    assert [record.id for record in await store.list_records("key")] == ["b"]


async def test_counters_add_up_under_concurrency(store: Store) -> None:
    values = await asyncio.gather(*(store.add_counter("tokens", 2) for _ in range(50)))
    assert sorted(values) == list(range(2, 102, 2))
    assert await store.get_counter("tokens") == 100
    assert await store.get_counter("other") == 0


async def test_an_expired_counter_starts_again(store: Store) -> None:
    now = int(time.time())
    await store.add_counter("minute", 5, expires_at=now - 1)
    assert await store.get_counter("minute") == 0
    assert await store.add_counter("minute", 1, expires_at=now + 60) == 1
    assert await store.add_counter("minute", 1, expires_at=now + 60) == 2


async def test_a_blob_is_read_back_whole_and_in_part(store: Store) -> None:
    content = bytes(range(256)) * 3000
    blob = await store.put_blob(_chunks(content[:1000], content[1000:]))
    assert blob.size == len(content)
    assert b"".join([chunk async for chunk in store.open_blob(blob.id)]) == content
    assert (
        b"".join([chunk async for chunk in store.open_blob(blob.id, start=300_000, end=600_010)])
        == (content[300_000:600_010])
    )
    assert await store.blob_size(blob.id) == len(content)


async def test_the_same_content_is_the_same_blob(store: Store) -> None:
    assert await store.put_blob(_chunks(b"ab", b"c")) == await store.put_blob(_chunks(b"abc"))


async def test_an_unknown_blob_is_a_key_error(store: Store) -> None:
    for id in ("0" * 64, "../../etc/passwd"):
        with pytest.raises(KeyError):
            [chunk async for chunk in store.open_blob(id)]
        assert await store.blob_size(id) is None


async def test_a_deleted_blob_is_gone(store: Store) -> None:
    blob = await store.put_blob(_chunks(b"abc"))
    await store.delete_blob(blob.id)
    await store.delete_blob(blob.id)
    assert await store.blob_size(blob.id) is None


async def test_an_upload_that_breaks_off_leaves_nothing(store: Store, tmp_path) -> None:  # type: ignore[no-untyped-def]
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await store.put_blob(broken())
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("new-")]


async def test_ready_while_open(store: Store) -> None:
    assert await store.ready()
