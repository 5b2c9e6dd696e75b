"""Rate limits as the vendor words them, per key and per route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException

from fhir_server.store.protocol import Record, VersionMismatch
from mappers.sporo.limits import RateLimits
from tests.conftest import Server
from tests.mappers.sporo.conftest import new_key, serving

P = "/api/v1/pcr"


class Records:
    def __init__(self) -> None:
        self.kept: dict[str, Record] = {}

    async def get_record(self, kind: str, id: str) -> Record | None:
        await asyncio.sleep(0)
        return self.kept.get(id)

    async def put_record(self, kind: str, id: str, data: Any, *, expect: int | None = None) -> Record:
        await asyncio.sleep(0)
        there = self.kept.get(id)
        if (there.revision if there else 0) != expect:
            raise VersionMismatch(kind, id, 0)
        self.kept[id] = Record(kind, id, data, expect + 1)
        return self.kept[id]


class Site:
    def __init__(self) -> None:
        self.now, self.records = datetime(2026, 1, 1, tzinfo=UTC), Records()

    def limits(self) -> RateLimits:
        """As another process would have them."""
        rules = {"upload": (10, "hour"), "status": (5, "minute")}
        hub = SimpleNamespace(store=self.records)
        return RateLimits(hub, rules, lambda: self.now)  # type: ignore[arg-type]


async def refused(limits: RateLimits, route: str = "upload", key: str = "k") -> HTTPException:
    with pytest.raises(HTTPException) as raised:
        await limits.take(route, key)
    return raised.value


async def test_the_window_slides() -> None:
    site = Site()
    limits = site.limits()
    for _ in range(10):
        await limits.take("upload", "k")
        site.now += timedelta(minutes=5)
    error = await refused(limits)
    assert error.status_code == 429
    assert error.headers == {"Retry-After": "600"}
    site.now += timedelta(seconds=601)
    await limits.take("upload", "k")
    await refused(limits)


async def test_words() -> None:
    site = Site()
    for _ in range(10):
        await site.limits().take("upload", "k")
    for _ in range(5):
        await site.limits().take("status", "k")
    assert (await refused(site.limits())).detail == (
        "Rate limit of 10 requests per hour exceeded. Please try again after an hour."
    )
    assert (await refused(site.limits(), "status")).detail == "Rate limit of 5 requests per minute exceeded"


async def test_keys_and_routes_are_apart() -> None:
    site = Site()
    for _ in range(10):
        await site.limits().take("upload", "k")
    await site.limits().take("upload", "other")
    await site.limits().take("status", "k")
    await site.limits().take("no such rule", "k")


async def test_processes_at_once_share_one_limit() -> None:
    site = Site()
    found = await asyncio.gather(*(site.limits().take("upload", "k") for _ in range(40)), return_exceptions=True)
    assert sum(each is None for each in found) == 10


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder: Path = tmp_path_factory.mktemp("limited")
    with serving(folder) as server:
        yield server, new_key(server, "--dialect", "sporo")


def test_a_status_may_be_asked_for_five_times_a_minute(limited: tuple[Server, str]) -> None:
    server, key = limited
    url = f"{server.root}{P}/{'0' * 24}"
    answers = [httpx.get(url, headers={"X-API-KEY": key}) for _ in range(6)]
    assert [each.status_code for each in answers] == [404] * 5 + [429]
    assert answers[-1].json() == {"detail": "Rate limit of 5 requests per minute exceeded"}
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


@pytest.mark.parametrize("path", ["upload/", "upload/text/"])
def test_ten_uploads_an_hour(limited: tuple[Server, str], path: str) -> None:
    server, key = limited
    slashes = (path, path.rstrip("/"))
    answers = [httpx.post(f"{server.root}{P}/{slashes[n % 2]}", headers={"X-API-KEY": key}) for n in range(11)]
    assert [each.status_code == 429 for each in answers] == [False] * 10 + [True]
    assert answers[-1].json() == {
        "detail": "Rate limit of 10 requests per hour exceeded. Please try again after an hour."
    }
    assert 3500 <= int(answers[-1].headers["retry-after"]) <= 3600


def test_other_routes_have_no_limit(limited: tuple[Server, str]) -> None:
    server, key = limited
    for _ in range(15):
        response = httpx.get(f"{server.root}{P}/templates/community", headers={"X-API-KEY": key})
        assert response.status_code == 200
