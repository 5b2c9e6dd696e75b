"""$everything of a Patient and an Encounter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.hub import Hub
from fhir_server.operations.registry import OperationRequest, operations
from fhir_server.r4b.outcome import BadRequest, Forbidden, NotFound
from fhir_server.security.caller import SYSTEM, Caller
from tests.interactions.conftest import link, names, observation, page_of, patient, put


async def gathered(hub: Hub, parameters: list[tuple[str, str]], type: str = "Patient", id: str = "a") -> bytes:
    return b"".join([chunk async for chunk in hub.everything(SYSTEM, type, id, parameters)])


@pytest.fixture
async def chart(hub: Hub) -> Hub:
    await put(hub, {"resourceType": "Organization", "id": "org", "name": "O"})
    await put(hub, {"resourceType": "Practitioner", "id": "dr"})
    await put(hub, {"resourceType": "Practitioner", "id": "stranger"})
    location = {"resourceType": "Location", "id": "ward", "managingOrganization": {"reference": "Organization/org"}}
    await put(hub, location)
    for id in ("a", "b"):
        await put(hub, patient(id=id))
        await put(
            hub,
            {
                "resourceType": "Encounter",
                "id": f"e{id}",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": {"reference": f"Patient/{id}"},
                "period": {"start": "2020-05-01"},
                "location": [{"location": {"reference": "Location/ward"}}],
            },
        )
        for number in range(5):
            more: dict[str, Any] = {
                "effectiveDateTime": f"202{number}-01-01",
                "encounter": {"reference": f"Encounter/e{id}"},
            }
            await put(
                hub,
                observation(f"Patient/{id}", id=f"{id}{number}", performer=[{"reference": "Practitioner/dr"}], **more),
            )
    return hub


ALL = {"Patient/a", "Encounter/ea", *(f"Observation/a{number}" for number in range(5))}
AROUND = {"Location/ward", "Organization/org", "Practitioner/dr"}


async def test_everything_is_the_compartment_and_what_it_refers_to(chart: Hub) -> None:
    body = await gathered(chart, [])
    assert names(body)[0] == "Patient/a"
    assert set(names(body)) == ALL
    assert set(names(body, "include")) == AROUND
    assert json.loads(body)["total"] == len(ALL)


async def test_pages_of_everything_are_complete_and_show_nothing_twice(chart: Hub) -> None:
    pages = [await gathered(chart, [("_count", "3")])]
    while (following := link(pages[-1], "next")) is not None:
        pages.append(await gathered(chart, page_of(following)))
    assert [len(names(page)) for page in pages] == [3, 3, 1]
    shown = [name for page in pages for name in names(page) + names(page, "include")]
    assert len(shown) == len(set(shown))
    assert set(shown) == ALL | AROUND


async def test_types_and_dates_narrow_it(chart: Hub) -> None:
    assert set(names(await gathered(chart, [("_type", "Observation")]))) == ALL - {"Patient/a", "Encounter/ea"}
    care = await gathered(chart, [("start", "2021-06-01"), ("end", "2023-06-01"), ("_type", "Observation")])
    assert set(names(care)) == {"Observation/a2", "Observation/a3"}
    moment = (await put(chart, observation("Patient/a", id="a9")))["meta"]["lastUpdated"]
    assert names(await gathered(chart, [("_since", moment)])) == ["Observation/a9"]


async def test_everything_of_an_encounter(chart: Hub) -> None:
    body = await gathered(chart, [], "Encounter", "ea")
    assert set(names(body)) == ALL - {"Patient/a"}
    assert set(names(body, "include")) == AROUND | {"Patient/a"}


async def test_nothing_comes_out_that_is_the_wrong_patient_or_key_or_parameter(chart: Hub) -> None:
    with pytest.raises(NotFound):
        await gathered(chart, [], id="none")
    with pytest.raises(BadRequest):
        await gathered(chart, [("nonsense", "1")])
    bound = Caller("k", scopes={"*": "cruds"}, subject="Patient/b")
    with pytest.raises(Forbidden):
        await anext(chart.everything(bound, "Patient", "a"))


async def test_it_is_a_registered_operation(chart: Hub) -> None:
    assert {"Patient", "Encounter"} == {
        t for operation in operations() if operation.name == "everything" for t in operation.types
    }
    result = await chart.operation(SYSTEM, "everything", OperationRequest("Patient", "a", [("_type", "Patient")]))
    assert not isinstance(result.body, bytes)
    assert names(b"".join([chunk async for chunk in result.body])) == ["Patient/a"]
    with pytest.raises(NotFound):
        await chart.operation(SYSTEM, "everything", OperationRequest("Observation", "a0"))
