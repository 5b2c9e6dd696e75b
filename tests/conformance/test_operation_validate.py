"""$validate: R4B resource-operation-validate, profiling.html."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, observation, patient, refused

Json = dict[str, Any]


def issues(answer: httpx.Response, *severities: str) -> list[tuple[str, str]]:
    """(code, expression) of the issues of those severities (error and fatal unless said)."""
    assert answer.status_code == 200, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return [
        (one["code"], (one.get("expression") or [""])[0])
        for one in outcome["issue"]
        if one["severity"] in (severities or ("error", "fatal"))
    ]


def test_a_valid_resource_has_no_errors(fhir: httpx.Client, mark: str) -> None:
    assert issues(fhir.post("Patient/$validate", json=patient(mark))) == []


def test_all_problems_are_reported_at_once(fhir: httpx.Client, mark: str) -> None:
    found = issues(fhir.post("Patient/$validate", json=patient(mark, gender="zzz", birthDate="soon", nonsense=1)))
    assert {expression for _, expression in found} >= {"Patient.gender", "Patient.birthDate"}
    assert len(found) >= 3


def test_an_invariant_of_the_standard_is_an_error(fhir: httpx.Client, mark: str) -> None:
    resource = patient(mark, contact=[{"gender": "male"}])
    assert [place for _, place in issues(fhir.post("Patient/$validate", json=resource))] == ["Patient.contact[0]"]


def test_nothing_is_kept(fhir: httpx.Client, mark: str) -> None:
    fhir.post("Patient/$validate", json=patient(mark))
    assert fhir.get("Patient", params={"identifier": mark}).json().get("entry", []) == []


def test_parameters_carry_the_resource_and_the_mode(fhir: httpx.Client, mark: str) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": patient(mark)}, {"name": "mode", "valueCode": "create"}],
    }
    assert issues(fhir.post("Patient/$validate", json=body)) == []


def test_an_instance_is_validated_without_a_body(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert issues(fhir.get(f"Patient/{created['id']}/$validate")) == []


def test_an_update_must_carry_the_id_of_the_instance(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": patient(mark, id="other")},
            {"name": "mode", "valueCode": "update"},
        ],
    }
    assert ("invalid", "Patient.id") in issues(fhir.post(f"Patient/{created['id']}/$validate", json=body))


def test_mode_delete_needs_an_instance(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert issues(fhir.get(f"Patient/{created['id']}/$validate", params={"mode": "delete"})) == []
    refused(fhir.get("Patient/$validate", params={"mode": "delete"}), 400)


def test_a_profile_that_is_not_known_is_an_error_when_asked_for(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient/$validate", params={"profile": "http://example.org/none"}, json=patient(mark))
    assert [code for code, _ in issues(answer)] == ["not-found"]


def test_a_profile_of_the_standard_is_known(fhir: httpx.Client, mark: str) -> None:
    profile = "http://hl7.org/fhir/StructureDefinition/heartrate"
    answer = fhir.post("Observation/$validate", params={"profile": profile}, json=observation(mark))
    assert {place for _, place in issues(answer)} >= {"Observation.category", "Observation.subject"}


@pytest.fixture
def profile(fhir: httpx.Client, mark: str) -> str:
    """A profile written as a StructureDefinition without a snapshot: an identifier of system urn:ward, a gender."""
    url = f"http://example.org/StructureDefinition/{mark}"
    create(
        fhir,
        {
            "resourceType": "StructureDefinition",
            "url": url,
            "name": "Ward",
            "status": "active",
            "kind": "resource",
            "abstract": False,
            "type": "Patient",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
            "derivation": "constraint",
            "differential": {
                "element": [
                    {"id": "Patient", "path": "Patient"},
                    {
                        "id": "Patient.identifier",
                        "path": "Patient.identifier",
                        "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"},
                    },
                    {"id": "Patient.identifier:ward", "path": "Patient.identifier", "sliceName": "ward", "min": 1},
                    {
                        "id": "Patient.identifier:ward.system",
                        "path": "Patient.identifier.system",
                        "min": 1,
                        "fixedUri": "urn:ward",
                    },
                    {"id": "Patient.gender", "path": "Patient.gender", "min": 1},
                ]
            },
        },
    )
    return url


def test_a_stored_profile_is_applied_by_parameter(fhir: httpx.Client, mark: str, profile: str) -> None:
    answer = fhir.post("Patient/$validate", params={"profile": profile}, json=patient(mark))
    assert {place for _, place in issues(answer)} == {"Patient.identifier", "Patient.gender"}


def test_a_stored_profile_is_applied_by_meta_profile(fhir: httpx.Client, mark: str, profile: str) -> None:
    resource = patient(mark, meta={"profile": [profile]}, gender="male")
    resource["identifier"].append({"system": "urn:ward", "value": "1"})
    assert issues(fhir.post("Patient/$validate", json=resource)) == []
    del resource["gender"]
    assert issues(fhir.post("Patient/$validate", json=resource)) == [("required", "Patient.gender")]


def test_no_resource_is_refused(fhir: httpx.Client) -> None:
    refused(fhir.post("Patient/$validate", json={"resourceType": "Parameters"}), 400)


def test_an_unknown_mode_is_refused(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.post("Patient/$validate", params={"mode": "guess"}, json=patient(mark)), 400)
