"""history of a resource, a type and the server."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.hub import Hub
from fhir_server.r4b.outcome import BadRequest, NotFound
from fhir_server.security.caller import SYSTEM
from tests.interactions.conftest import add, link, observation, page_of, patient, put


async def test_history_of_an_instance_is_newest_first_with_requests(hub: Hub) -> None:
    id = await add(hub, patient())
    await put(hub, patient(id=id, active=True))
    await hub.delete(SYSTEM, "Patient", id)
    bundle = json.loads((await hub.history(SYSTEM, type="Patient", id=id)).body)
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    told = [(entry["request"]["method"], entry["request"]["url"]) for entry in bundle["entry"]]
    assert told == [("DELETE", f"Patient/{id}"), ("PUT", f"Patient/{id}"), ("POST", "Patient")]
    assert "resource" not in bundle["entry"][0]
    assert [entry["response"]["etag"] for entry in bundle["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert bundle["entry"][2]["response"]["status"].startswith("201")


async def test_history_of_what_never_was_is_not_found(hub: Hub) -> None:
    with pytest.raises(NotFound):
        await hub.history(SYSTEM, type="Patient", id="none")


async def test_history_pages_of_a_type_are_complete_while_others_write(hub: Hub) -> None:
    for number in range(7):
        await put(hub, patient(id=f"p{number}"))
    await put(hub, observation("Patient/p0", id="o"))
    seen = []
    page = await hub.history(SYSTEM, [("_count", "3")], type="Patient")
    while True:
        seen += [version.id for version in page.matches]
        following = link(page.body, "next")
        if following is None:
            break
        await put(hub, patient(id="late"))
        page = await hub.history(SYSTEM, page_of(following), type="Patient")
    assert seen == [f"p{number}" for number in reversed(range(7))]


async def test_since_and_at(hub: Hub) -> None:
    first = await put(hub, patient(id="a"))
    await asyncio.sleep(0.01)
    second = await put(hub, patient(id="a", active=True))
    since = await hub.history(SYSTEM, [("_since", second["meta"]["lastUpdated"])], type="Patient", id="a")
    assert [version.version for version in since.matches] == [2]
    at = await hub.history(SYSTEM, [("_at", first["meta"]["lastUpdated"])])
    assert [version.version for version in at.matches] == [1]
    for wrong in ([("_since", "soon")], [("_count", "x")], [("_since", "2020"), ("_since", "2021")]):
        with pytest.raises(BadRequest):
            await hub.history(SYSTEM, wrong)
    with pytest.raises(BadRequest):
        await hub.history(SYSTEM, [("nonsense", "1")], strict=True)
