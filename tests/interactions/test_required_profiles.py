"""Profiles that the operator made mandatory: every way of writing keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.hub import Hub
from fhir_server.r4b.outcome import Unprocessable
from fhir_server.security.caller import SYSTEM
from fhir_server.store.protocol import Store
from tests.interactions.conftest import hub_over, patient, raw

URL = "http://example.org/StructureDefinition/with-birth-date"
PROFILE: dict[str, Any] = {
    "resourceType": "StructureDefinition",
    "url": URL,
    "name": "WithBirthDate",
    "status": "active",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "derivation": "constraint",
    "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]},
}
GOOD = patient(birthDate="1970-01-01")


@pytest.fixture
async def strict(store: Store) -> Hub:
    hub = hub_over(store, required_profiles={"Patient": (URL,)})
    await hub.save(SYSTEM, PROFILE)
    return hub


async def test_a_resource_that_keeps_the_profile_is_taken(strict: Hub) -> None:
    assert (await strict.create(SYSTEM, "Patient", raw(GOOD))).created


async def test_a_create_that_breaks_the_profile_is_refused(strict: Hub) -> None:
    with pytest.raises(Unprocessable):
        await strict.create(SYSTEM, "Patient", raw(patient(gender="male")))


async def test_a_patch_that_breaks_the_profile_is_refused(strict: Hub) -> None:
    version = (await strict.create(SYSTEM, "Patient", raw(GOOD))).version
    patch = json.dumps([{"op": "remove", "path": "/birthDate"}]).encode()
    with pytest.raises(Unprocessable):
        await strict.patch(SYSTEM, "Patient", version.id, patch, "application/json-patch+json")


async def test_a_transaction_that_breaks_the_profile_is_refused(strict: Hub) -> None:
    entry = {"request": {"method": "POST", "url": "Patient"}, "resource": patient(gender="male")}
    with pytest.raises(Unprocessable):
        await strict.transact(SYSTEM, [entry])


async def test_a_profile_that_is_not_here_refuses_every_write(store: Store) -> None:
    hub = hub_over(store, required_profiles={"Patient": (URL,)})
    with pytest.raises(Unprocessable):
        await hub.create(SYSTEM, "Patient", raw(GOOD))


async def test_a_profile_that_changes_counts_at_once(strict: Hub) -> None:
    await strict.create(SYSTEM, "Patient", raw(GOOD))
    (held,) = await strict.find(SYSTEM, "StructureDefinition", [("url", URL)])
    held["differential"]["element"].append({"id": "Patient.gender", "path": "Patient.gender", "min": 1})
    await strict.save(SYSTEM, held)
    with pytest.raises(Unprocessable):
        await strict.create(SYSTEM, "Patient", raw(GOOD))


async def test_other_types_are_not_concerned(strict: Hub) -> None:
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    assert (await strict.create(SYSTEM, "Basic", raw(basic))).created
