"""A hub over a real store in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.hub import Hub, HubOptions
from fhir_server.search.registry import Registry
from fhir_server.security.caller import SYSTEM
from fhir_server.store import open_store
from fhir_server.store.protocol import Store

BASE = "http://test.example/fhir"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("sqlite", data_dir=tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def hub(store: Store) -> AsyncIterator[Hub]:
    opened = hub_over(store)
    yield opened
    await opened.stop()


def hub_over(store: Store, **options: Any) -> Hub:
    return Hub(store, base_url=BASE, registry=Registry(), options=HubOptions(secret=b"secret", **options))


def raw(resource: dict[str, Any]) -> bytes:
    return json.dumps(resource).encode()


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


def identified(value: str, **elements: Any) -> dict[str, Any]:
    return patient(identifier=[{"system": "http://ids", "value": value}], **elements)


def observation(subject: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
        "subject": {"reference": subject},
        **elements,
    }


async def add(hub: Hub, resource: dict[str, Any]) -> str:
    """Create; the new id."""
    return (await hub.create(SYSTEM, resource["resourceType"], raw(resource))).version.id


async def put(hub: Hub, resource: dict[str, Any]) -> dict[str, Any]:
    written = await hub.update(SYSTEM, resource["resourceType"], resource["id"], raw(resource))
    return dict(json.loads(written.version.body or b""))


def names(bundle: bytes, mode: str = "match") -> list[str]:
    """``Type/id`` of a searchset's entries in order."""
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in json.loads(bundle).get("entry", ())
        if entry["search"]["mode"] == mode
    ]


def link(bundle: bytes, relation: str) -> str | None:
    return next((each["url"] for each in json.loads(bundle)["link"] if each["relation"] == relation), None)


def page_of(url: str) -> list[tuple[str, str]]:
    """The parameters of a page link."""
    return [("_page", url.partition("?_page=")[2])]
