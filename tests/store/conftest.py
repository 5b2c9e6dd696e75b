"""Stores under test. One suite for all of them: a new kind of store is one more factory here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fhir_server.store import open_store
from fhir_server.store.protocol import Store

Open = Callable[[Path], Awaitable[Store]]


async def open_sqlite(folder: Path) -> Store:
    return await open_store("sqlite", data_dir=folder, text=True)


FACTORIES: dict[str, Open] = {"sqlite": open_sqlite}


@pytest.fixture(params=sorted(FACTORIES))
def factory(request: pytest.FixtureRequest) -> Open:
    return FACTORIES[request.param]


@pytest.fixture
async def store(factory: Open, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await factory(tmp_path)
    yield opened
    await opened.close()
