"""What the routes do with cases: create, show, change, analyse, delete; and whose they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.jobs.models import model
from fhir_server.jobs.names import Names
from fhir_server.r4b.outcome import Gone
from fhir_server.r4b.validate import validate
from fhir_server.security.caller import SYSTEM

from .conftest import CSV, FILES, PNG, Site

NAMES = Names("http://test/fhir")


async def test_a_case_is_created_with_its_files_and_is_processing(site: Site) -> None:
    made = await site.create(files=FILES, case_summary="Tired.")
    assert made["message"] == "Case created successfully"
    case = made["case"]
    assert case | {"id": 0, "case_id": "", "created_at": "", "updated_at": ""} == {
        "id": 0,
        "case_id": "",
        "user_id": "asha",
        "doctor_id": "asha",
        "patient_name": "John Doe",
        "patient_age": 45,
        "patient_gender": "Male",
        "case_summary": "Tired.",
        "status": "processing",
        "created_at": "",
        "updated_at": "",
    }
    assert case["created_at"].endswith("Z")
    lab, radiology = made["uploaded_files"]
    assert (lab["file_name"], lab["file_type"], lab["file_size"]) == ("cbc.csv", "text/csv", len(CSV))
    assert (lab["file_category"], radiology["file_category"]) == ("lab", "radiology")
    assert lab["case_id"] == case["case_id"]
    assert lab["file_url"].startswith("http://test/fhir/Binary/")
    assert radiology["file_type"] == "image/png"


async def test_the_insights_are_null_while_the_case_is_processing(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    shown = await site.get(f"/cases/cases/{case_id}")
    assert shown == {"case": shown["case"], "files": [], "ai_insights": None}


async def test_an_analysed_case_shows_its_insights(site: Site) -> None:
    shown = await site.done(files=FILES)
    assert shown["case"]["status"] == "completed"
    insights = shown["ai_insights"]
    assert insights["case_summary"] == {
        "comprehensive_summary": "Tired.\nGlucose is high.",
        "key_findings": ["Glucose 180", "Tired"],
        "lab_summary": "Glucose 180",
        "radiology_summary": "",
        "confidence_score": 0.5,
    }
    assert insights["soap_note"] == {
        "subjective": "Tired <all day>",
        "objective": "Glucose 180 & rising",
        "assessment": "Diabetes\n\nNot controlled",
        "plan": "Diet",
        "confidence_score": 0.6,
    }
    assert insights["primary_diagnosis"] == {
        "primary_diagnosis": "diabetes",
        "icd_code": "E11.9",
        "description": "Type 2 diabetes mellitus without complications",
        "confidence_score": 0.7,
        "supporting_evidence": ["Glucose,180,mg/dL"],
    }
    assert insights["overall_confidence_score"] == 0.6
    assert insights["generated_at"].endswith("Z")
    assert insights["confidence_explanation"]["case_summary"] == ["two"]


async def test_without_a_diagnosis_none_is_made_up(site: Site) -> None:
    insights = (await site.done())["ai_insights"]
    assert insights["primary_diagnosis"] is None
    assert insights["overall_confidence_score"] == 0.55


async def test_the_files_have_their_text_and_what_the_summary_quotes(site: Site) -> None:
    lab, radiology = (await site.done(files=FILES))["files"]
    assert lab["text_data"].split() == CSV.decode().split()
    assert lab["ai_summary"] == "Glucose,180,mg/dL"
    assert (radiology["text_data"], radiology["ai_summary"]) == (None, None)


async def test_everything_that_is_written_is_valid_fhir(site: Site) -> None:
    case_id = (await site.done(files=FILES, patient_gender="Transgender"))["case"]["case_id"]
    task = await site.fhir("Task", case_id)
    types = ("Patient", "Practitioner", "DocumentReference", "Binary", "Provenance", "Device")
    found = [task] + [each for type in types for each in await site.hub.find(SYSTEM, type, [])]
    found += [await site.fhir(*item["valueReference"]["reference"].split("/")) for item in task["output"]]
    assert len(found) >= 14
    for resource in found:
        assert [issue.text for issue in validate(resource) if issue.severity in ("error", "fatal")] == []
        model(resource["resourceType"]).model_validate(resource)


async def test_what_an_engine_made_says_so(site: Site) -> None:
    case_id = (await site.done(files=FILES))["case"]["case_id"]
    task = await site.fhir("Task", case_id)
    made = [item["valueReference"]["reference"] for item in task["output"]]
    assert len(made) == 4
    for reference in made:
        resource = await site.fhir(*reference.split("/"))
        assert resource["meta"]["security"][0]["code"] == "AIAST"
    [provenance] = await site.hub.find(SYSTEM, "Provenance", [])
    assert {target["reference"] for target in provenance["target"]} == set(made)
    files = [item["valueReference"] for item in task["input"] if "valueReference" in item]
    assert all(file in [entity["what"] for entity in provenance["entity"]] for file in files)


async def test_a_broken_file_fails_the_case_with_a_reason(site: Site) -> None:
    case_id = (await site.create(files=[("lab_files", ("x.pdf", b"%PDF-1.4 broken", "application/pdf"))]))["case"][
        "case_id"
    ]
    task = await site.work(case_id)
    assert task["status"] == "failed"
    assert task["statusReason"]["coding"][0]["code"] == "file-unreadable"
    assert "File 1 of 1" in task["statusReason"]["text"]
    shown = await site.get(f"/cases/{case_id}")
    assert (shown["case"]["status"], shown["ai_insights"]) == ("failed", None)


async def test_the_newest_case_comes_first(site: Site) -> None:
    ids = []
    for _ in range(3):
        ids.append((await site.create())["case"]["case_id"])
        await asyncio.sleep(0.002)
    for path in ("/cases/all_cases", "/cases/cases", "/cases", "/api/v1/cases"):
        assert [case["case_id"] for case in (await site.get(path))["cases"]] == ids[::-1]


async def test_a_user_sees_his_own_cases_only(site: Site) -> None:
    made = await site.create(files=FILES)
    case_id, file_id = made["case"]["case_id"], made["uploaded_files"][0]["file_id"]
    assert (await site.get("/cases/all_cases", "ben")) == {"cases": []}
    assert (await site.get("/cases/all_cases", "ben", user_id="asha")) == {"cases": []}
    assert len((await site.get("/cases/all_cases", user_id="asha"))["cases"]) == 1
    for method, path, body in (
        ("GET", f"/cases/cases/{case_id}", None),
        ("GET", f"/cases/{case_id}", None),
        ("PUT", f"/cases/cases/{case_id}", {"patient_age": 1}),
        ("PATCH", f"/cases/{case_id}", {"patient_age": 1}),
        ("DELETE", f"/cases/cases/{case_id}", None),
        ("POST", f"/cases/analyze/{case_id}", {}),
        ("GET", f"/cases/files/{case_id}", None),
        ("GET", f"/cases/file/{file_id}", None),
        ("DELETE", f"/cases/file/{file_id}", None),
    ):
        response = await site.call(method, path, "ben", json=body)
        assert response.status_code == 404, (method, path)
    form = [("case_id", (None, case_id)), ("file", ("a.csv", CSV, "text/csv"))]
    assert (await site.call("POST", "/cases/upload", "ben", files=form)).status_code == 404
    assert (await site.get(f"/cases/{case_id}"))["case"]["patient_age"] == 45


async def test_a_user_cannot_create_for_another(site: Site) -> None:
    form = {
        "user_id": (None, "asha"),
        "patient_name": (None, "A B"),
        "patient_age": (None, "1"),
        "patient_gender": (None, "Male"),
    }
    assert (await site.call("POST", "/cases", "ben", files=form)).status_code == 400
    assert (await site.get("/cases")) == {"cases": []}


async def test_a_key_that_may_work_with_tasks_sees_every_case(site: Site) -> None:
    await site.create()
    _, text = await site.keys.create(name="ehr", dialect="fhir")
    response = await site.client.get("/cases/all_cases", headers={"Authorization": f"Bearer {text}"})
    assert [case["user_id"] for case in response.json()["cases"]] == ["asha"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"status": "processing"}, 2),
        ({"status": "failed"}, 0),
        ({"search": "dOE"}, 1),
        ({"search": "tired"}, 1),
        ({"search": "zzz"}, 0),
        ({"min_age": "46"}, 1),
        ({"max_age": "45"}, 1),
        ({"min_age": "45", "max_age": "60"}, 2),
        ({"start_date": "2000-01-01", "end_date": "2999-01-01"}, 2),
        ({"end_date": "2000-01-01"}, 0),
        ({"page": "2", "limit": "1"}, 1),
        ({"page": "3", "limit": "1"}, 0),
        ({"status": ""}, 2),
    ],
)
async def test_a_list_can_be_narrowed(site: Site, query: dict[str, str], count: int) -> None:
    await site.create()
    await site.create(patient_name="Jane Roe", patient_age="60", case_summary="Tired.")
    assert len((await site.get("/cases", **query))["cases"]) == count


async def test_a_list_can_be_sorted(site: Site) -> None:
    for name, age in (("Bo Li", "30"), ("Al Xu", "9"), ("Cy Ma", "120")):
        await site.create(patient_name=name, patient_age=age)

    async def names(**query: str) -> list[str]:
        return [case["patient_name"][:2] for case in (await site.get("/cases", **query))["cases"]]

    assert await names(sort_by="patient_age", sort_order="asc") == ["Al", "Bo", "Cy"]
    assert await names(sort_by="patient_name", sort_order="desc") == ["Cy", "Bo", "Al"]
    assert await names(sort_by="created_at", sort_order="asc") == ["Bo", "Al", "Cy"]


async def test_a_page_says_how_many_there_are(site: Site) -> None:
    for _ in range(3):
        await site.create()
    shown = await site.get("/cases", page="1", limit="2")
    assert (len(shown["cases"]), shown["total"], shown["page"], shown["limit"]) == (2, 3, 1, 2)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_change_shows(site: Site, method: str) -> None:
    case_id = (await site.create())["case"]["case_id"]
    given = {"patient_name": "Jane Roe", "patient_age": 46, "patient_gender": "Female", "case_summary": "Better."}
    response = await site.call(method, f"/cases/cases/{case_id}", json=given)
    assert response.json()["message"] == "Case updated successfully"
    assert response.json()["case"].items() >= given.items()
    assert (await site.get(f"/cases/{case_id}"))["case"].items() >= given.items()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", "requested"),
        ("analyzing", "in-progress"),
        ("processing", "in-progress"),
        ("completed", "completed"),
        ("archived", "completed"),
        ("failed", "failed"),
    ],
)
async def test_every_word_for_the_status_can_be_set_and_stays(site: Site, word: str, status: str) -> None:
    case_id = (await site.done())["case"]["case_id"]
    response = await site.call("PUT", f"/cases/{case_id}", json={"status": word})
    assert response.json()["case"]["status"] == word
    task = await site.fhir("Task", case_id)
    assert task["status"] == status
    assert task["businessStatus"]["coding"][0]["code"] == word
    runtime_says = await site.get(f"/cases/{case_id}")
    assert runtime_says["case"]["status"] == word


async def test_a_case_that_was_set_to_pending_waits_until_its_analysis_is_asked_for(site: Site) -> None:
    case_id = (await site.done())["case"]["case_id"]
    await site.call("PUT", f"/cases/{case_id}", json={"status": "pending"})
    with pytest.raises(AssertionError):
        await site.work(case_id)
    assert (await site.call("POST", f"/cases/analyze/{case_id}")).status_code == 200
    assert (await site.work(case_id))["status"] == "completed"


async def test_an_update_without_data_is_refused(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    for body in ({}, {"patient_name": None}, {"unknown": 1}):
        response = await site.call("PUT", f"/cases/cases/{case_id}", json=body)
        assert (response.status_code, response.json()) == (400, {"detail": "No data provided for update"})


async def test_changes_at_once_are_all_kept(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    changes: list[dict[str, Any]] = [{"patient_age": 50}, {"case_summary": "New."}, {"patient_name": "Jane Roe"}]
    answers = await asyncio.gather(*(site.call("PUT", f"/cases/{case_id}", json=change) for change in changes))
    assert {answer.status_code for answer in answers} == {200}
    shown = (await site.get(f"/cases/{case_id}"))["case"]
    assert all(shown.items() >= change.items() for change in changes)


async def test_an_analysis_can_be_asked_for_again(site: Site) -> None:
    shown = await site.done(files=FILES)
    case_id = shown["case"]["case_id"]
    response = await site.call("POST", f"/cases/analyze/{case_id}", json={})
    assert response.json()["message"] == "Case analysis started successfully"
    assert response.json()["case"]["status"] == "processing"
    assert (await site.get(f"/cases/{case_id}"))["ai_insights"] is None
    task = await site.work(case_id)
    assert len(task["output"]) == 4
    again = (await site.get(f"/cases/{case_id}"))["ai_insights"]
    assert again | {"generated_at": ""} == shown["ai_insights"] | {"generated_at": ""}


async def test_results_that_are_given_are_the_cases_insights(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    given = {
        "case_summary": {"comprehensive_summary": "All is well.", "key_findings": ["None"], "confidence_score": 0.9},
        "soap_note": {"subjective": "Well", "objective": "Well", "assessment": "Well", "plan": "Go home"},
        "primary_diagnosis": {"primary_diagnosis": "Gout", "icd_code": "M10.9", "supporting_evidence": ["Toe"]},
    }
    response = await site.call("POST", f"/cases/analyze/{case_id}", json={"analysis_results": given})
    assert response.json()["message"] == "Case analysis completed successfully"
    insights = (await site.get(f"/cases/{case_id}"))["ai_insights"]
    for name, part in given.items():
        assert insights[name].items() >= part.items()
    assert insights["overall_confidence_score"] == 0.9
    assert (await site.fhir("Task", case_id))["status"] == "completed"


async def test_a_file_joins_a_case_and_leaves_it(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    form = [("case_id", (None, case_id)), ("file", ("ct.png", PNG, "image/png"))]
    response = await site.call("POST", "/cases/upload", files=form)
    assert response.status_code == 201
    assert response.json()["message"] == "File uploaded successfully"
    file = response.json()["file"]
    assert file["file_category"] == "radiology"
    assert (await site.get(f"/cases/files/{case_id}"))["files"] == [file]
    assert (await site.get(f"/cases/file/{file['file_id']}"))["file"] == file
    wrong = await site.call("DELETE", f"/cases/file/{file['file_id']}", params={"case_id": "other"})
    assert (wrong.status_code, wrong.json()) == (404, {"detail": "File not found"})
    gone = await site.call("DELETE", f"/cases/file/{file['file_id']}", params={"case_id": case_id})
    assert gone.json() == {"message": "File deleted successfully"}
    assert (await site.get(f"/cases/files/{case_id}"))["files"] == []
    assert (await site.call("GET", f"/cases/file/{file['file_id']}")).json() == {"detail": "File not found"}
    task = await site.fhir("Task", case_id)
    assert [item["type"]["coding"][0]["code"] for item in task["input"]] == ["patient-age"]


async def test_a_deleted_case_is_gone_with_its_files_and_insights_and_the_patient_stays(site: Site) -> None:
    case_id = (await site.done(files=FILES))["case"]["case_id"]
    task = await site.fhir("Task", case_id)
    documents = await site.hub.find(SYSTEM, "DocumentReference", [])
    binaries = [
        each["content"][0]["attachment"]["url"] for each in documents if "url" in each["content"][0]["attachment"]
    ]
    response = await site.call("DELETE", f"/cases/cases/{case_id}")
    assert (response.status_code, response.json()) == (200, {"message": "Case deleted successfully"})
    again = await site.call("DELETE", f"/cases/cases/{case_id}")
    assert (again.status_code, again.json()) == (404, {"detail": "Case not found"})
    shown = await site.call("GET", f"/cases/cases/{case_id}")
    assert (shown.status_code, shown.json()) == (404, {"detail": f"Case with ID {case_id} not found"})
    gone = [f"Task/{case_id}", *binaries, *(f"DocumentReference/{each['id']}" for each in documents)]
    gone += [item["valueReference"]["reference"] for item in task["output"]]
    assert len(gone) == 10
    for reference in gone:
        with pytest.raises(Gone):
            await site.fhir(*reference.split("/"))
    assert await site.fhir("Patient", task["for"]["reference"].split("/")[1])


async def test_too_many_cases_of_one_user_are_refused(site: Site) -> None:
    for _ in range(5):
        await site.create()
    form = {
        "user_id": (None, "asha"),
        "patient_name": (None, "A"),
        "patient_age": (None, "1"),
        "patient_gender": (None, "Male"),
    }
    response = await site.call("POST", "/cases", files=form)
    assert response.status_code == 429
    assert isinstance(response.json()["detail"], str)
    assert int(response.headers["retry-after"]) > 0
    await site.create("ben")


async def test_a_slash_at_the_end_does_no_harm(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    assert len((await site.get("/cases/"))["cases"]) == 1
    assert await site.get(f"/cases/cases/{case_id}/") == await site.get(f"/cases/cases/{case_id}")
