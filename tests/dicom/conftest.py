from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.hub import Hub
from fhir_server.search.registry import default_registry
from fhir_server.store import open_store


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub on an empty store in a folder of its own."""
    store = await open_store("sqlite", data_dir=tmp_path)
    hub = Hub(store, base_url="http://test/fhir", registry=default_registry())
    await hub.start()
    yield hub
    await hub.stop()
    await store.close()
