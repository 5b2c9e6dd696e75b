"""The dialect on a real server with its worker: from the vendor's request to FHIR and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.jobs.models import model
from tests.conftest import Server

SAMPLE = {
    "note": "67-year-old male with history of paroxysmal atrial fibrillation diagnosed in 2021, hypertension, and "
    "hyperlipidemia. Patient underwent pulmonary vein isolation via catheter ablation in September 2023.",
    "specialty": "Cardiology",
    "letter_date": "2025-03-15",
}


@pytest.fixture(scope="module")
def vendor(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.root, headers={"X-API-Key": server.key}, timeout=30) as client:
        yield client


def finished(vendor: httpx.Client, task_id: str, seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        body: dict[str, Any] = vendor.get(f"/tasks/{task_id}").json()
        if body["status"] != "PENDING":
            return body
        time.sleep(0.02)
    pytest.fail(f"the Task {task_id} did not end")


def submit(vendor: httpx.Client, **changes: Any) -> str:
    response = vendor.post("/generate", json=SAMPLE | changes)
    assert response.status_code == 202, response.text
    return str(response.json()["task_id"])


@pytest.fixture(scope="module")
def sample(vendor: httpx.Client) -> dict[str, Any]:
    """The vendor's own sample note, processed."""
    return finished(vendor, submit(vendor))


def by_code(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["snomed_ct_code"]: each for each in shown["json_data"]["extractions"]}


def condition_of(fhir: httpx.Client, shown: dict[str, Any], code: str) -> dict[str, Any]:
    found: dict[str, Any] = fhir.get(f"Condition/{by_code(shown)[code]['id']}").json()
    return found


def put(fhir: httpx.Client, resource: dict[str, Any]) -> None:
    response = fhir.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert response.status_code in (200, 201), response.text


def test_the_sample_note_gives_what_the_vendor_gives(sample: dict[str, Any]) -> None:
    assert sample["status"] == "SUCCESS"
    found = by_code(sample)
    assert found["282825002"]["date"] == "2021"
    assert found["282825002"]["relative_date"] == "(Y-4)"
    assert found["282825002"]["snomed_ct_term"] == "Paroxysmal atrial fibrillation (disorder)"
    assert found["38341003"]["date"] is None
    assert all(each["status"] == "confirmed" for each in found.values())


def test_every_offset_is_exact(sample: dict[str, Any]) -> None:
    for each in sample["json_data"]["extractions"]:
        assert SAMPLE["note"][each["start"] : each["end"]] == each["source"]


def test_offsets_count_code_points(vendor: httpx.Client) -> None:
    note = "😀 Ärztliche Notiz 𝒳: history of hypertension 🫀."
    shown = finished(vendor, submit(vendor, note=note))
    [found] = shown["json_data"]["extractions"]
    assert note[found["start"] : found["end"]] == found["source"]


def test_a_denied_symptom_is_not_extracted(vendor: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor, note="Patient denies chest pain. Has hypertension."))
    assert list(by_code(shown)) == ["38341003"]


def test_from_post_to_success_in_half_a_second(vendor: httpx.Client, sample: dict[str, Any]) -> None:
    fastest = 9.0
    for _ in range(3):
        started = time.monotonic()
        finished(vendor, submit(vendor))
        fastest = min(fastest, time.monotonic() - started)
    assert fastest < 0.5


def test_the_conditions_are_in_fhir(fhir: httpx.Client, sample: dict[str, Any]) -> None:
    condition = condition_of(fhir, sample, "282825002")
    assert condition["onsetDateTime"] == "2021"
    assert condition["meta"]["security"][0]["code"] == "AIAST"
    found = fhir.get(
        "Condition", params={"code": "http://snomed.info/sct|282825002", "subject": condition["subject"]["reference"]}
    )
    assert [entry["resource"]["id"] for entry in found.json()["entry"]] == [condition["id"]]


def test_the_conditions_are_in_everything_about_the_patient(fhir: httpx.Client, sample: dict[str, Any]) -> None:
    condition = condition_of(fhir, sample, "282825002")
    bundle = fhir.get(f"{condition['subject']['reference']}/$everything", params={"_count": "100"}).json()
    types = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert {"Patient", "Condition", "DocumentReference"} <= types
    assert condition["id"] in {entry["resource"]["id"] for entry in bundle["entry"]}


def test_who_made_it_is_in_the_provenance(fhir: httpx.Client, sample: dict[str, Any]) -> None:
    condition = condition_of(fhir, sample, "282825002")
    bundle = fhir.get("Provenance", params={"target": f"Condition/{condition['id']}"}).json()
    [provenance] = [entry["resource"] for entry in bundle["entry"]]
    device = fhir.get(provenance["agent"][0]["who"]["reference"]).json()
    assert device["resourceType"] == "Device"
    assert any(entity["what"]["reference"].startswith("DocumentReference/") for entity in provenance["entity"])


def test_the_bundle_is_a_collection_for_the_patient_asked_for(vendor: httpx.Client, sample: dict[str, Any]) -> None:
    response = vendor.get(f"/tasks/fhir/{sample['task_id']}", params={"fhir_patient_id": "patient-123"})
    assert response.status_code == 200
    bundle = response.json()
    model("Bundle").model_validate(bundle)
    assert bundle["type"] == "collection"
    assert len(bundle["entry"]) == len(sample["json_data"]["extractions"])
    assert {entry["resource"]["subject"]["reference"] for entry in bundle["entry"]} == {"Patient/patient-123"}


def test_the_bundle_without_a_patient_names_the_vendors_placeholder(
    vendor: httpx.Client, sample: dict[str, Any]
) -> None:
    bundle = vendor.get(f"/tasks/fhir/{sample['task_id']}").json()
    assert {entry["resource"]["subject"]["reference"] for entry in bundle["entry"]} == {"Patient/<subject_id>"}


def test_what_is_edited_over_fhir_shows_at_once(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor))
    condition = condition_of(fhir, shown, "282825002")
    condition["onsetDateTime"] = "2019-05"
    condition["verificationStatus"]["coding"][0]["code"] = "differential"
    put(fhir, condition)
    changed = by_code(vendor.get(f"/tasks/{shown['task_id']}").json())["282825002"]
    assert (changed["date"], changed["status"], changed["relative_date"]) == ("2019-05", "differential", "(M-70)")


def test_what_is_refuted_or_deleted_over_fhir_is_gone(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor))
    condition = condition_of(fhir, shown, "282825002")
    condition["verificationStatus"]["coding"][0]["code"] = "refuted"
    put(fhir, condition)
    fhir.delete(f"Condition/{by_code(shown)['38341003']['id']}")
    left = by_code(vendor.get(f"/tasks/{shown['task_id']}").json())
    assert "282825002" not in left
    assert "38341003" not in left
    assert "55822004" in left


def test_a_condition_derived_from_the_note_joins(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor))
    condition = condition_of(fhir, shown, "38341003")
    condition.pop("id")
    condition["code"]["coding"] = [
        {"system": "http://snomed.info/sct", "code": "90560007", "display": "Gout (disorder)"}
    ]
    created = fhir.post("Condition", json=condition)
    assert created.status_code == 201, created.text
    joined = by_code(vendor.get(f"/tasks/{shown['task_id']}").json())["90560007"]
    assert joined["id"] == created.json()["id"]


def test_a_condition_added_to_the_tasks_outputs_joins(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor))
    task = fhir.get(f"Task/{shown['task_id']}").json()
    condition = {
        "resourceType": "Condition",
        "subject": task["for"],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "90560007"}], "text": "gout"},
    }
    id = fhir.post("Condition", json=condition).json()["id"]
    extraction = next(each["type"] for each in task["output"] if "valueReference" in each)
    task["output"].append({"type": extraction, "valueReference": {"reference": f"Condition/{id}"}})
    put(fhir, task)
    assert by_code(vendor.get(f"/tasks/{shown['task_id']}").json())["90560007"]["id"] == id


def test_a_task_written_by_a_fhir_client_does_the_same(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = finished(vendor, submit(vendor))
    task = fhir.get(f"Task/{shown['task_id']}").json()
    copy = {name: task[name] for name in ("resourceType", "intent", "code", "focus", "for", "authoredOn", "input")} | {
        "status": "requested"
    }
    created = fhir.post("Task", json=copy)
    assert created.status_code == 201, created.text
    again = finished(vendor, created.json()["id"])
    assert again["status"] == "SUCCESS"
    assert set(by_code(again)) == set(by_code(shown))
    assert fhir.get(f"Task/{again['task_id']}").json()["status"] == "completed"


def test_a_task_with_the_note_in_itself_does_too(vendor: httpx.Client, fhir: httpx.Client) -> None:
    patient = fhir.post("Patient", json={"resourceType": "Patient"}).json()["id"]
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"code": "cdt-extraction"}]},
        "for": {"reference": f"Patient/{patient}"},
        "input": [{"type": {"coding": [{"code": "note"}]}, "valueString": SAMPLE["note"]}],
    }
    shown = finished(vendor, fhir.post("Task", json=task).json()["id"])
    assert shown["status"] == "SUCCESS"
    assert condition_of(fhir, shown, "282825002")["subject"] == {"reference": f"Patient/{patient}"}
    assert fhir.get(f"Task/{shown['task_id']}").json()["focus"]["reference"].startswith("DocumentReference/")


def test_a_task_without_a_note_fails_with_a_reason(vendor: httpx.Client, fhir: httpx.Client) -> None:
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"code": "cdt-extraction"}]},
    }
    shown = finished(vendor, fhir.post("Task", json=task).json()["id"])
    assert shown["status"] == "FAILURE"
    failed = fhir.get(f"Task/{shown['task_id']}").json()
    assert failed["status"] == "failed"
    assert failed["statusReason"]["coding"][0]["code"] == "note-missing"
    refused = vendor.get(f"/tasks/fhir/{shown['task_id']}")
    assert refused.status_code == 400
    assert isinstance(refused.json()["detail"], str)


def test_usage_rises_by_the_output_tokens(vendor: httpx.Client) -> None:
    before = vendor.get("/auth/usage").json()
    shown = finished(vendor, submit(vendor))
    after = vendor.get("/auth/usage").json()
    assert after["tokens_used"] - before["tokens_used"] == shown["usage"]["output_tokens"]
    assert after["remaining_tokens"] == after["token_limit"] - after["tokens_used"]
    assert after["total_requests"] > before["total_requests"]


def test_the_extensions_are_published(fhir: httpx.Client, sample: dict[str, Any]) -> None:
    condition = condition_of(fhir, sample, "282825002")
    for extension in condition["extension"]:
        if "hl7.org" not in extension["url"]:
            assert httpx.get(extension["url"], headers=fhir.headers).json()["url"] == extension["url"]


def test_the_documentation_shows_the_dialect(vendor: httpx.Client) -> None:
    assert vendor.get("/docs").status_code == 200
    assert "/generate" in vendor.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/tasks/zzz", 404), ("GET", "/generate", 405), ("POST", "/generate", 400), ("GET", "/tasks/a/b/c", 404)],
)
def test_errors_have_the_vendors_form(vendor: httpx.Client, method: str, path: str, status: int) -> None:
    response = vendor.request(method, path)
    assert response.status_code == status
    assert isinstance(response.json()["detail"], str)
