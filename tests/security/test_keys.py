"""Keys: made, found, refused, revoked; and what is kept of them."""

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.r4b.outcome import Forbidden
from fhir_server.security.keys import KIND, Keys, load_pepper
from fhir_server.store import open_store
from fhir_server.store.protocol import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("sqlite", data_dir=tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def keys(store: Store, tmp_path: Path) -> Keys:
    return Keys(store, b"pepper", marker=tmp_path / "changed")


async def test_a_key_gives_its_caller(keys: Keys) -> None:
    key, text = await keys.create(name="ehr", scopes=["system/Patient.rs"], subject=None, token_limit=5)
    caller = await keys.authenticate(text)
    assert caller is not None
    assert (caller.key_id, caller.name, caller.dialect, caller.token_limit) == (key.id, "ehr", "fhir", 5)
    assert caller.allows("Patient", "r")
    assert not caller.allows("Patient", "c")


async def test_a_fhir_key_without_scopes_may_do_everything_and_is_no_admin(keys: Keys) -> None:
    _, text = await keys.create(name="ehr")
    caller = await keys.authenticate(text)
    assert caller is not None
    assert caller.allows("Observation", "d")
    assert not caller.admin


async def test_another_dialects_key_without_scopes_may_do_nothing_on_fhir(keys: Keys) -> None:
    _, text = await keys.create(name="scribe", dialect="healthsage")
    caller = await keys.authenticate(text)
    assert caller is not None
    assert not caller.allows("Patient", "r")


@pytest.mark.parametrize("text", ["", "x", "fsk_", "fsk_aaaaaaaaaaaa_", "fsk_aaaaaaaaaaaa_bbbb", "f\udce9k_a_b"])
async def test_a_text_that_is_no_key_gives_nobody(keys: Keys, text: str) -> None:
    await keys.create(name="other")
    assert await keys.authenticate(text) is None


async def test_the_right_id_with_a_wrong_secret_gives_nobody(keys: Keys) -> None:
    _, text = await keys.create(name="ehr")
    assert await keys.authenticate(text) is not None
    assert await keys.authenticate(text[:-1] + ("A" if text[-1] != "A" else "B")) is None


async def test_the_store_holds_no_secret(keys: Keys, store: Store) -> None:
    key, text = await keys.create(name="ehr")
    record = await store.get_record(KIND, key.id)
    assert record is not None
    assert text.split("_", 2)[2] not in str(record.data)


async def test_another_pepper_makes_every_key_worthless(keys: Keys, store: Store) -> None:
    _, text = await keys.create(name="ehr")
    assert await Keys(store, b"other").authenticate(text) is None


async def test_an_inactive_key_is_forbidden(keys: Keys) -> None:
    _, text = await keys.create(name="ehr", active=False)
    with pytest.raises(Forbidden):
        await keys.authenticate(text)


async def test_an_expired_key_is_forbidden(keys: Keys) -> None:
    _, text = await keys.create(name="ehr", expires=time.time() - 1)
    with pytest.raises(Forbidden):
        await keys.authenticate(text)


async def test_a_revoked_key_is_forbidden_at_once_in_every_process(keys: Keys, store: Store, tmp_path: Path) -> None:
    key, text = await keys.create(name="ehr")
    other_process = Keys(store, b"pepper", marker=tmp_path / "changed")
    assert await other_process.authenticate(text) is not None
    await keys.revoke(key.id)
    await asyncio.sleep(0.02)
    with pytest.raises(Forbidden):
        await other_process.authenticate(text)


async def test_a_new_key_works_at_once_in_every_process(keys: Keys, store: Store, tmp_path: Path) -> None:
    other_process = Keys(store, b"pepper", marker=tmp_path / "changed")
    assert await other_process.list() == []
    _, text = await keys.create(name="ehr")
    assert await other_process.authenticate(text) is not None


async def test_keys_are_listed_oldest_first(keys: Keys) -> None:
    made = [(await keys.create(name=name))[0].id for name in "abc"]
    assert [key.id for key in await keys.list()] == made


async def test_revoking_what_is_not_there_says_so(keys: Keys) -> None:
    assert await keys.revoke("nobody") is None


async def test_asking_again_does_not_ask_the_store(keys: Keys) -> None:
    _, text = await keys.create(name="ehr")
    await keys.authenticate(text)
    started = time.perf_counter()
    for _ in range(1000):
        await keys.authenticate(text)
    assert (time.perf_counter() - started) / 1000 < 100e-6


def test_the_pepper_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = load_pepper(tmp_path)
    assert len(first) == 64
    assert load_pepper(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600


def test_a_given_pepper_wins_and_leaves_no_file(tmp_path: Path) -> None:
    assert load_pepper(tmp_path, "given") == b"given"
    assert not (tmp_path / "pepper").exists()
