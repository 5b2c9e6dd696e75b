"""What a FHIR client writes shows on the vendor's routes, and the other way round: every field of the mapping."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.jobs.names import Names
from fhir_server.security.caller import SYSTEM
from mappers.medmitra.words import CONFIDENCE, USER

from .conftest import FILES, Json, Site

NAMES = Names("http://test/fhir")


async def case(site: Site) -> str:
    return str((await site.done(files=FILES, case_summary="Tired."))["case"]["case_id"])


async def output(site: Site, case_id: str, name: str) -> Json:
    task = await site.fhir("Task", case_id)
    item = next(each for each in task["output"] if each["type"]["coding"][0]["code"] == name)
    return await site.fhir(*item["valueReference"]["reference"].split("/"))


async def insights(site: Site, case_id: str) -> Json:
    found: Json = (await site.get(f"/cases/{case_id}"))["ai_insights"]
    return found


# From the vendor's route to FHIR


async def test_the_vendors_fields_are_where_the_mapping_says(site: Site) -> None:
    case_id = await case(site)
    task = await site.fhir("Task", case_id)
    assert task["code"]["coding"][0] == {
        "system": NAMES.code_system("task-code"),
        "code": "medmitra-case",
        "display": "MedMitra case",
    }
    assert task["description"] == "Tired."
    assert task["status"] == "completed"
    assert task["businessStatus"]["coding"][0]["code"] == "completed"
    assert task["input"][0]["valueUnsignedInt"] == 45
    practitioner = await site.fhir(*task["requester"]["reference"].split("/"))
    assert practitioner["identifier"] == [{"system": USER, "value": "asha"}]
    patient = await site.fhir(*task["for"]["reference"].split("/"))
    assert patient["name"] == [{"text": "John Doe", "family": "Doe", "given": ["John"]}]
    assert patient["gender"] == "male"
    assert "birthDate" not in patient


async def test_the_files_are_where_the_mapping_says(site: Site) -> None:
    task = await site.fhir("Task", await case(site))
    lab, radiology = [
        await site.fhir(*item["valueReference"]["reference"].split("/"))
        for item in task["input"]
        if "valueReference" in item
    ]
    assert (lab["category"][0]["coding"][0]["code"], radiology["category"][0]["coding"][0]["code"]) == ("LAB", "RAD")
    assert (lab["type"]["coding"][0]["code"], radiology["type"]["coding"][0]["code"]) == ("11502-2", "18748-4")
    assert lab["subject"] == task["for"]
    attachment = lab["content"][0]["attachment"]
    binary = await site.fhir(*attachment["url"].split("/"))
    assert base64.b64decode(binary["data"]) == FILES[0][1][1]
    assert (binary["contentType"], attachment["title"]) == ("text/csv", "cbc.csv")
    found = await site.hub.find(SYSTEM, "DocumentReference", [("relatesto", f"DocumentReference/{lab['id']}")])
    assert [each["relatesTo"][0]["code"] for each in found] == ["transforms"]


async def test_the_insights_are_where_the_mapping_says(site: Site) -> None:
    case_id = await case(site)
    note = await output(site, case_id, "soap-note")
    codes = [section["code"]["coding"][0]["code"] for section in note["section"]]
    assert (note["resourceType"], note["type"]["coding"][0]["code"]) == ("Composition", "11506-3")
    assert codes == ["61150-9", "61149-1", "51848-0", "18776-5"]
    impression = await output(site, case_id, "case-summary")
    assert impression["summary"] == "Tired.\nGlucose is high."
    assert impression["finding"][0]["itemCodeableConcept"]["text"] == "Glucose 180"
    report = await output(site, case_id, "lab-summary")
    assert (report["conclusion"], report["category"][0]["coding"][0]["code"]) == ("Glucose 180", "LAB")
    condition = await output(site, case_id, "primary-diagnosis")
    assert condition["verificationStatus"]["coding"][0]["code"] == "provisional"
    assert condition["code"]["coding"][0]["code"] == "E11.9"
    assert condition["evidence"][0]["code"][0]["text"] == "Glucose,180,mg/dL"
    assert condition["note"][0]["text"].startswith("Type 2")
    for resource in (note, impression, condition):
        assert any(extension["url"] == CONFIDENCE for extension in resource["extension"])


@pytest.mark.parametrize(
    ("word", "gender", "said"),
    [
        ("Male", "male", None),
        ("Female", "female", None),
        ("female", "female", "female"),
        ("Transgender", "other", "Transgender"),
        ("Non-binary", "other", "Non-binary"),
    ],
)
async def test_a_gender_keeps_its_word(site: Site, word: str, gender: str, said: str | None) -> None:
    made = await site.create(patient_gender=word)
    task = await site.fhir("Task", made["case"]["case_id"])
    patient = await site.fhir(*task["for"]["reference"].split("/"))
    assert patient["gender"] == gender
    own = [each for each in patient.get("extension", ()) if each["url"] == NAMES.extension("original-gender")]
    assert [each["valueString"] for each in own] == ([said] if said else [])
    assert made["case"]["patient_gender"] == word


# From FHIR to the vendor's route

Change = Callable[[Json], Any]


def on(resource: str, change: Change, field: str, value: object) -> Any:
    return pytest.param(resource, change, field, value, id=f"{resource}-{field}")


TASK_CHANGES = [
    on("Task", lambda r: r.update(description="Better."), "case_summary", "Better."),
    on("Task", lambda r: r.pop("description"), "case_summary", None),
    on("Task", lambda r: r["input"][0].update(valueUnsignedInt=50), "patient_age", 50),
    on("Task", lambda r: r.update(authoredOn="2020-05-04T10:30:00+02:00"), "created_at", "2020-05-04T08:30:00Z"),
    on("Task", lambda r: r.update(lastModified="2027-05-04T10:30:00Z"), "updated_at", "2027-05-04T10:30:00Z"),
    on("Task", lambda r: r.update(status="failed"), "status", "failed"),
    on("Task", lambda r: r.update(status="cancelled"), "status", "failed"),
    on("Task", lambda r: r.update(status="in-progress"), "status", "processing"),
    on("Task", lambda r: r.update(status="on-hold"), "status", "pending"),
    on("Task", lambda r: r["businessStatus"]["coding"][0].update(code="archived"), "status", "archived"),
    on("Patient", lambda r: r["name"][0].update(text="Jane Roe"), "patient_name", "Jane Roe"),
    on("Patient", lambda r: r.update(name=[{"family": "Roe", "given": ["Jane", "M."]}]), "patient_name", "Jane M. Roe"),
    on("Patient", lambda r: r.pop("name"), "patient_name", None),
    on("Patient", lambda r: r.update(gender="female"), "patient_gender", "Female"),
    on("Patient", lambda r: r.update(gender="unknown"), "patient_gender", "Unknown"),
    on("Patient", lambda r: r.pop("gender"), "patient_gender", None),
]


@pytest.mark.parametrize(("resource", "change", "field", "value"), TASK_CHANGES)
async def test_a_fhir_clients_change_shows_in_the_case(
    site: Site, resource: str, change: Change, field: str, value: object
) -> None:
    case_id = await case(site)
    task = await site.fhir("Task", case_id)
    changed = task if resource == "Task" else await site.fhir(*task["for"]["reference"].split("/"))
    change(changed)
    await site.save(changed)
    shown = await site.get(f"/cases/{case_id}")
    assert shown["case"][field] == value
    assert (await site.get("/cases"))["cases"] == [shown["case"]]


async def test_without_an_age_it_is_counted_from_the_birth_date(site: Site) -> None:
    case_id = await case(site)
    task = await site.fhir("Task", case_id)
    patient = await site.fhir(*task["for"]["reference"].split("/"))
    await site.save(patient | {"birthDate": "1980-06-15"})
    assert (await site.get(f"/cases/{case_id}"))["case"]["patient_age"] == 45
    await site.save(task | {"input": task["input"][1:], "authoredOn": "2020-06-14T00:00:00Z"})
    assert (await site.get(f"/cases/{case_id}"))["case"]["patient_age"] == 39


INSIGHT_CHANGES = [
    on(
        "soap-note",
        lambda r: r["section"][0]["text"].update(
            div='<div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>Two</p></div>'
        ),
        "soap_note.subjective",
        "One\nTwo",
    ),
    on("soap-note", lambda r: r["section"].pop(3), "soap_note.plan", ""),
    on("soap-note", lambda r: r.update(date="2027-01-01T00:00:00Z"), "generated_at", "2027-01-01T00:00:00Z"),
    on("case-summary", lambda r: r.update(summary="Short."), "case_summary.comprehensive_summary", "Short."),
    on(
        "case-summary",
        lambda r: r["finding"].append({"itemCodeableConcept": {"text": "New"}}),
        "case_summary.key_findings",
        ["Glucose 180", "Tired", "New"],
    ),
    on("lab-summary", lambda r: r.update(conclusion="Normal."), "case_summary.lab_summary", "Normal."),
    on("lab-summary", lambda r: r.update(status="entered-in-error"), "case_summary.lab_summary", ""),
    on("primary-diagnosis", lambda r: r["code"].update(text="Gout"), "primary_diagnosis.primary_diagnosis", "Gout"),
    on(
        "primary-diagnosis",
        lambda r: r["code"]["coding"][0].update(code="M10.9"),
        "primary_diagnosis.icd_code",
        "M10.9",
    ),
    on(
        "primary-diagnosis",
        lambda r: r["note"][0].update(text="Gout, unspecified"),
        "primary_diagnosis.description",
        "Gout, unspecified",
    ),
    on(
        "primary-diagnosis",
        lambda r: r.update(evidence=[{"code": [{"text": "Toe"}]}]),
        "primary_diagnosis.supporting_evidence",
        ["Toe"],
    ),
    on(
        "primary-diagnosis",
        lambda r: r["verificationStatus"]["coding"][0].update(code="refuted"),
        "primary_diagnosis",
        None,
    ),
    on("primary-diagnosis", lambda r: r["extension"][0].update(valueDecimal=1), "overall_confidence_score", 0.7),
    on("soap-note", lambda r: r["extension"][0].update(valueDecimal=0.9), "soap_note.confidence_score", 0.9),
]


@pytest.mark.parametrize(("name", "change", "field", "value"), INSIGHT_CHANGES)
async def test_a_fhir_clients_change_shows_in_the_insights(
    site: Site, name: str, change: Change, field: str, value: object
) -> None:
    case_id = await case(site)
    changed = await output(site, case_id, name)
    change(changed)
    await site.save(changed)
    shown: Any = await insights(site, case_id)
    for part in field.split("."):
        shown = shown[part]
    assert shown == value


FILE_CHANGES = [
    on("DocumentReference", lambda r: r["content"][0]["attachment"].update(title="new.csv"), "file_name", "new.csv"),
    on(
        "DocumentReference",
        lambda r: r["content"][0]["attachment"].update(contentType="text/plain"),
        "file_type",
        "text/plain",
    ),
    on("DocumentReference", lambda r: r["content"][0]["attachment"].update(size=7), "file_size", 7),
    on(
        "DocumentReference",
        lambda r: r["content"][0]["attachment"].update(url="https://x.test/y"),
        "file_url",
        "https://x.test/y",
    ),
    on("DocumentReference", lambda r: r.update(description="Fine."), "ai_summary", "Fine."),
    on("DocumentReference", lambda r: r.update(date="2020-01-01T00:00:00Z"), "upload_date", "2020-01-01T00:00:00Z"),
    on("DocumentReference", lambda r: r["category"][0]["coding"][0].update(code="RAD"), "file_category", "radiology"),
]


@pytest.mark.parametrize(("resource", "change", "field", "value"), FILE_CHANGES)
async def test_a_fhir_clients_change_shows_in_the_file(
    site: Site, resource: str, change: Change, field: str, value: object
) -> None:
    case_id = await case(site)
    file_id = (await site.get(f"/cases/files/{case_id}"))["files"][0]["file_id"]
    changed = await site.fhir(resource, file_id)
    change(changed)
    await site.save(changed)
    shown = (await site.get(f"/cases/file/{file_id}"))["file"]
    assert shown[field] == value
    assert shown in (await site.get(f"/cases/files/{case_id}"))["files"]


async def test_a_document_that_a_fhir_client_adds_is_a_file_of_the_case(site: Site) -> None:
    case_id = await case(site)
    added = await site.save(
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "content": [{"attachment": {"contentType": "text/plain", "data": "SGk=", "title": "hi.txt"}}],
            "context": {"related": [{"reference": f"Task/{case_id}"}]},
        }
    )
    files = (await site.get(f"/cases/{case_id}"))["files"]
    assert added["id"] in [file["file_id"] for file in files]
    await site.save(added | {"status": "entered-in-error"})
    assert len((await site.get(f"/cases/{case_id}"))["files"]) == 2


async def test_a_task_of_a_fhir_client_is_a_case_and_is_analysed(site: Site) -> None:
    patient = await site.save({"resourceType": "Patient", "name": [{"text": "Jane Roe"}], "gender": "female"})
    file = await site.save(
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": f"Patient/{patient['id']}"},
            "content": [{"attachment": {"contentType": "text/csv", "data": base64.b64encode(FILES[0][1][1]).decode()}}],
        }
    )
    task = await site.save(
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {"coding": [{"code": "medmitra-case"}]},
            "for": {"reference": f"Patient/{patient['id']}"},
            "requester": {"identifier": {"value": "asha"}},
            "description": "Tired.",
            "input": [
                {"type": {"text": "patient_age"}, "valueUnsignedInt": 30},
                {"type": {"text": "lab_file"}, "valueReference": {"reference": f"DocumentReference/{file['id']}"}},
            ],
        }
    )
    [listed] = (await site.get("/cases/all_cases"))["cases"]
    assert (listed["patient_name"], listed["patient_age"], listed["status"]) == ("Jane Roe", 30, "processing")
    await site.work(task["id"])
    shown = await site.get(f"/cases/{task['id']}")
    assert shown["case"]["status"] == "completed"
    assert shown["files"][0]["file_category"] == "lab"
    assert shown["ai_insights"]["primary_diagnosis"]["icd_code"] == "E11.9"
    assert (await site.get(f"/cases/file/{file['id']}"))["file"]["text_data"]
    assert (await output(site, task["id"], "soap-note"))["subject"] == {"reference": f"Patient/{patient['id']}"}


async def test_a_task_whose_requester_is_the_users_practitioner_is_his_case(site: Site) -> None:
    person = await site.save({"resourceType": "Practitioner", "identifier": [{"system": USER, "value": "asha"}]})
    await site.save(
        {
            "resourceType": "Task",
            "status": "draft",
            "intent": "order",
            "code": {"coding": [{"code": "medmitra-case"}]},
            "requester": {"reference": f"Practitioner/{person['id']}"},
        }
    )
    [listed] = (await site.get("/cases/all_cases"))["cases"]
    assert (listed["user_id"], listed["patient_name"], listed["status"]) == ("asha", None, "pending")
    assert (await site.get("/cases/all_cases", "ben")) == {"cases": []}


async def test_a_case_without_a_patient_gets_one_with_its_name(site: Site) -> None:
    task = await site.save(
        {
            "resourceType": "Task",
            "status": "draft",
            "intent": "order",
            "code": {"coding": [{"code": "medmitra-case"}]},
            "requester": {"identifier": {"system": USER, "value": "asha"}},
        }
    )
    response = await site.call("PUT", f"/cases/{task['id']}", json={"patient_name": "Jane Roe"})
    assert response.json()["case"]["patient_name"] == "Jane Roe"
    assert (await site.hub.find(SYSTEM, "Patient", []))[0]["name"][0]["text"] == "Jane Roe"


async def test_a_vendors_change_shows_in_fhir(site: Site) -> None:
    case_id = await case(site)
    given = {"patient_name": "Jane Roe", "patient_gender": "Transgender", "patient_age": 46, "case_summary": "Well."}
    await site.call("PUT", f"/cases/{case_id}", json=given)
    task = await site.fhir("Task", case_id)
    patient = await site.fhir(*task["for"]["reference"].split("/"))
    assert patient["name"][0] == {"text": "Jane Roe", "family": "Roe", "given": ["Jane"]}
    assert patient["gender"] == "other"
    assert task["input"][0]["valueUnsignedInt"] == 46
    assert len(task["input"]) == 3
    assert task["description"] == "Well."
    await site.call("PUT", f"/cases/{case_id}", json={"patient_gender": "Male"})
    patient = await site.fhir("Patient", patient["id"])
    assert (patient["gender"], patient.get("extension")) == ("male", None)
