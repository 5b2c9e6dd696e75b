"""_contained, _containedType, and chains into contained resources. R4B 3.1.1.5.6."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, found, matches, patient, refused

CODES = "http://example.org/drugs"


def medication(id: str, code: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": id, "code": {"coding": [{"system": CODES, "code": code}]}, **more}


def request(fhir: httpx.Client, mark: str, *contained: dict[str, Any]) -> dict[str, Any]:
    """A MedicationRequest that contains `contained` and asks for the first of them."""
    subject = create(fhir, patient(mark))
    further = [{"reference": f"#{each['id']}"} for each in contained[1:]]
    return create(
        fhir,
        {
            "resourceType": "MedicationRequest",
            "identifier": [{"value": mark}],
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{subject['id']}"},
            "contained": list(contained),
            "medicationReference": {"reference": f"#{contained[0]['id']}"},
            **({"supportingInformation": further} if further else {}),
        },
    )


def test_contained_resources_are_no_results_by_default(fhir: httpx.Client, mark: str) -> None:
    request(fhir, mark, medication("m", mark))
    assert found(fhir, "Medication", {"code": mark}) == []


def test_contained_true_finds_the_container(fhir: httpx.Client, mark: str) -> None:
    made = request(fhir, mark, medication("m", mark))
    create(fhir, {key: value for key, value in medication("", mark).items() if key != "id"})
    assert found(fhir, "Medication", {"code": mark, "_contained": "true"}) == [made["id"]]


def test_contained_both_finds_what_stands_alone_too(fhir: httpx.Client, mark: str) -> None:
    made = request(fhir, mark, medication("m", mark))
    alone = create(fhir, {key: value for key, value in medication("", mark).items() if key != "id"})
    assert set(found(fhir, "Medication", {"code": mark, "_contained": "both"})) == {made["id"], alone["id"]}


def test_the_contained_resource_itself_may_be_the_result(fhir: httpx.Client, mark: str) -> None:
    made = request(fhir, mark, medication("m", mark), medication("other", f"x{mark}"))
    parameters = {"code": f"{CODES}|{mark}", "_contained": "true", "_containedType": "contained"}
    [match] = matches(fhir.get("Medication", params=parameters).json())
    assert match["resource"] == medication("m", mark)
    assert match["fullUrl"].endswith(f"/MedicationRequest/{made['id']}#m")


def test_criteria_meet_on_one_contained_resource(fhir: httpx.Client, mark: str) -> None:
    request(fhir, mark, medication("a", mark, status="active"), medication("b", f"x{mark}", status="inactive"))
    both = {"_contained": "true", "code": mark}
    assert len(found(fhir, "Medication", {**both, "status": "active"})) == 1
    assert found(fhir, "Medication", {**both, "status": "inactive"}) == []
    assert found(fhir, "Medication", {**both, "status:not": "active"}) == []
    assert len(found(fhir, "Medication", {**both, "status:not": "inactive"})) == 1
    assert found(fhir, "Medication", {**both, "status:missing": "true"}) == []


def test_a_chain_leads_into_contained_resources(fhir: httpx.Client, mark: str) -> None:
    made = request(fhir, mark, medication("m", mark, status="active"))
    assert found(fhir, "MedicationRequest", {"medication.code": mark}) == [made["id"]]
    assert found(fhir, "MedicationRequest", {"medication:Medication.code": f"{CODES}|{mark}"}) == [made["id"]]
    assert found(fhir, "MedicationRequest", {"medication.code": f"{mark}x"}) == []


def test_a_chain_leads_only_where_the_reference_points(fhir: httpx.Client, mark: str) -> None:
    request(fhir, mark, medication("m", f"b{mark}"), medication("unused", f"c{mark}"))
    assert found(fhir, "MedicationRequest", {"medication.code": f"c{mark}"}) == []


def test_a_has_follows_a_chain_into_contained_resources(fhir: httpx.Client, mark: str) -> None:
    made = request(fhir, mark, medication("m", mark))
    subject = made["subject"]["reference"].partition("/")[2]
    assert found(fhir, "Patient", {"_has:MedicationRequest:patient:medication.code": mark}) == [subject]


@pytest.mark.parametrize("query", ["_contained=maybe", "_contained=true&_containedType=both"])
def test_other_values_are_refused(fhir: httpx.Client, query: str) -> None:
    refused(fhir.get(f"Medication?{query}"), 400)
