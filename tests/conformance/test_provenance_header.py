"""X-Provenance: a Provenance that comes with a write. R4B Provenance, "Provenance HTTP header"."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.conformance.resources import create, entry, patient, refused, transaction

HEADER = "X-Provenance"


def provenance(mark: str, **more: Any) -> dict[str, str]:
    resource = {
        "resourceType": "Provenance",
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"display": mark}}],
        **more,
    }
    return {HEADER: json.dumps(resource)}


def about(fhir: httpx.Client, target: str) -> list[dict[str, Any]]:
    """The Provenance resources about a resource."""
    bundle = fhir.get("Provenance", params={"target": target}).json()
    return [each["resource"] for each in bundle.get("entry", [])]


def test_a_create_brings_its_provenance(fhir: httpx.Client, mark: str) -> None:
    created = fhir.post("Patient", json=patient(mark), headers=provenance(mark)).json()
    [found] = about(fhir, f"Patient/{created['id']}")
    assert found["target"] == [{"reference": f"Patient/{created['id']}/_history/1"}]
    assert found["agent"] == [{"who": {"display": mark}}]
    assert found["meta"]["versionId"] == "1"


def test_an_update_names_the_version_it_made(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    path = f"Patient/{created['id']}"
    assert fhir.put(path, json={**created, "gender": "male"}, headers=provenance(mark)).status_code == 200
    [found] = about(fhir, path)
    assert found["target"] == [{"reference": f"{path}/_history/2"}]


def test_a_transaction_has_one_for_all(fhir: httpx.Client, mark: str) -> None:
    bundle = transaction(*(entry("POST", "Patient", patient(mark)) for _ in range(2)))
    answer = fhir.post("", json=bundle, headers=provenance(mark))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["entry"]) == 2
    ids = [each["resource"]["id"] for each in fhir.get("Patient", params={"identifier": mark}).json()["entry"]]
    [found] = about(fhir, f"Patient/{ids[0]}")
    assert {target["reference"] for target in found["target"]} == {f"Patient/{id}/_history/1" for id in ids}


def test_a_write_that_is_refused_leaves_none(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.post("Patient", json=patient(mark, gender="zzz"), headers=provenance(mark)), 422)
    assert fhir.get("Provenance", params={"agent:text": mark}).json()["total"] == 0


def test_a_provenance_with_a_target_is_refused(fhir: httpx.Client, mark: str) -> None:
    headers = provenance(mark, target=[{"reference": "Patient/1"}])
    refused(fhir.post("Patient", json=patient(mark), headers=headers), 400)
    assert fhir.get("Patient", params={"identifier": mark}).json()["total"] == 0


def test_a_provenance_that_is_not_valid_is_refused(fhir: httpx.Client, mark: str) -> None:
    headers = {HEADER: json.dumps({"resourceType": "Provenance", "agent": [{"who": {"display": mark}}]})}
    answer = fhir.post("Patient", json=patient(mark), headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert fhir.get("Patient", params={"identifier": mark}).json()["total"] == 0
