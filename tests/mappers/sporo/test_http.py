"""The dialect on a real server with its worker: from the vendor's request to FHIR and back."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from fhir_server.jobs.models import model
from fhir_server.processing.engines import load
from tests.conftest import Server
from tests.dicom.files import made as dicom_file
from tests.files.building import docx, encrypted_pdf, paragraph, pdf, wav
from tests.mappers.sporo.conftest import finished, new_key

P = "/api/v1/pcr"
TEXT = "67-year-old male with long-standing hypertension and type 2 diabetes mellitus."
CAN = load("rules").capabilities
coding = pytest.mark.skipif("code" not in CAN, reason="the engine cannot code")
summing = pytest.mark.skipif("summarize" not in CAN, reason="the engine cannot summarize")
HEX = re.compile(r"[0-9a-f]{24}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def upload(
    vendor: httpx.Client, *files: tuple[str, bytes], path: str = f"{P}/upload/", **fields: Any
) -> dict[str, Any]:
    sent = files or (("note.txt", b"Patient has hypertension. Takes lisinopril 10 mg daily."),)
    response = vendor.post(path, files=[("files", each) for each in sent], data=fields)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def coded(vendor: httpx.Client, **more: Any) -> dict[str, Any]:
    """A finished ICD-10 job."""
    job = vendor.post(f"{P}/icd10/text", json={"text": TEXT} | more).json()
    return finished(vendor, f"{P}/icd10/{job['job_id']}")


def put(fhir: httpx.Client, resource: dict[str, Any]) -> None:
    response = fhir.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert response.status_code in (200, 201), response.text


def output(task: dict[str, Any], code: str) -> list[str]:
    return [
        each["valueReference"]["reference"]
        for each in task.get("output", ())
        if each["type"]["coding"][0]["code"] == code and "valueReference" in each
    ]


# Uploads


def test_an_upload_is_accepted_in_the_vendors_words(vendor: httpx.Client) -> None:
    body = upload(
        vendor,
        webhook_url="https://your-hook.example.com/notify",
        extra_information="Patient Tony Stark, June 2025 notes",
        unique_identifier="case-1234",
        foo="bar",
    )
    assert HEX.fullmatch(body.pop("upload_id"))
    assert body == {
        "message": "Files uploaded successfully; processing is underway.",
        "webhook_url": "https://your-hook.example.com/notify",
        "extra_information": "Patient Tony Stark, June 2025 notes",
        "metadata": {"unique_identifier": "case-1234", "foo": "bar"},
    }


def test_nothing_sent_along_is_null(vendor: httpx.Client) -> None:
    body = upload(vendor)
    assert (body["webhook_url"], body["extra_information"], body["metadata"]) == (None, None, {})


@pytest.mark.parametrize("path", [f"{P}/upload", f"{P}/upload/"])
def test_both_forms_of_the_path_work(vendor: httpx.Client, path: str) -> None:
    id = upload(vendor, path=path, a="1")["upload_id"]
    for slash in ("", "/"):
        shown = vendor.get(f"{P}/{id}{slash}")
        assert shown.status_code == 200
        assert shown.json()["metadata"] == {"a": "1"}


def test_an_upload_shows_at_once_as_a_task_with_documents(vendor: httpx.Client, fhir: httpx.Client) -> None:
    content = b"Patient has hypertension."
    id = upload(vendor, ("a.txt", content), ("b.pdf", pdf("A letter")), b="2", a="1", extra_information="x")[
        "upload_id"
    ]
    task = fhir.get(f"Task/{id}").json()
    model("Task").model_validate(task)
    assert task["code"]["coding"][0]["code"] == "sporo-upload"
    assert task["identifier"] == [{"system": "urn:vendor:sporo:upload-id", "value": id}]
    inputs = {each["type"]["coding"][0]["code"]: each for each in task["input"]}
    assert inputs["extra_information"]["valueString"] == "x"
    assert list(json.loads(inputs["metadata"]["valueString"]).items()) == [("b", "2"), ("a", "1")]
    files = [each["valueReference"]["reference"] for each in task["input"] if "valueReference" in each]
    document, second = (fhir.get(reference).json() for reference in files)
    attachment = document["content"][0]["attachment"]
    assert (attachment["contentType"], attachment["title"], attachment["size"]) == ("text/plain", "a.txt", len(content))
    assert second["content"][0]["attachment"]["contentType"] == "application/pdf"
    binary = fhir.get(attachment["url"], headers={"Accept": "application/fhir+json"}).json()
    assert base64.b64decode(binary["data"]) == content
    found = fhir.get("Task", params={"code": "sporo-upload", "identifier": f"urn:vendor:sporo:upload-id|{id}"}).json()
    assert [each["resource"]["id"] for each in found["entry"]] == [id]


def test_a_large_file_comes_back_whole(vendor: httpx.Client, fhir: httpx.Client) -> None:
    content = b"Patient has hypertension." + b" \n" * 2_000_000
    id = upload(vendor, ("large.txt", content))["upload_id"]
    task = fhir.get(f"Task/{id}").json()
    attachment = fhir.get(task["input"][0]["valueReference"]["reference"]).json()["content"][0]["attachment"]
    assert attachment["size"] == len(content)
    response = fhir.get(attachment["url"], headers={"Accept": "text/plain"})
    assert response.content == content


def test_a_field_sent_twice_is_a_list(vendor: httpx.Client) -> None:
    assert upload(vendor, foo=["a", "b", "c"])["metadata"] == {"foo": ["a", "b", "c"]}


@summing
def test_documents_become_a_summary(vendor: httpx.Client, fhir: httpx.Client) -> None:
    letter = docx(paragraph("Discharge diagnosis: pneumonia. Plan: amoxicillin 500 mg three times daily."))
    id = upload(vendor, ("a.txt", b"Assessment: hypertension, well controlled."), ("b.docx", letter))["upload_id"]
    shown = finished(vendor, f"{P}/{id}")
    assert shown["status"] == "completed"
    assert "hypertension" in shown["response"]
    assert "pneumonia" in shown["response"]
    task = fhir.get(f"Task/{id}").json()
    [reference] = output(task, "response")
    document = fhir.get(reference).json()
    assert document["type"]["coding"][0]["code"] == "34133-9"
    assert document["meta"]["security"][0]["code"] == "AIAST"
    assert fhir.get("Provenance", params={"target": reference}).json()["entry"]


@summing
def test_what_a_fhir_client_writes_is_the_response(vendor: httpx.Client, fhir: httpx.Client) -> None:
    id = upload(vendor)["upload_id"]
    finished(vendor, f"{P}/{id}")
    [reference] = output(fhir.get(f"Task/{id}").json(), "response")
    document = fhir.get(reference).json()
    document["content"][0]["attachment"]["data"] = base64.b64encode(b"Corrected by a person.").decode()
    put(fhir, document)
    assert vendor.get(f"{P}/{id}").json()["response"] == "Corrected by a person."
    fhir.delete(reference)
    assert vendor.get(f"{P}/{id}").json()["response"] is None


@summing
def test_a_broken_file_does_not_spoil_the_batch(vendor: httpx.Client) -> None:
    id = upload(vendor, ("a.txt", b"Patient has hypertension."), ("secret.pdf", encrypted_pdf("x", "pw")))["upload_id"]
    shown = finished(vendor, f"{P}/{id}")
    assert shown["status"] == "completed"
    assert "secret.pdf: The PDF is encrypted" in shown["response"]


def test_without_a_readable_file_the_job_fails_with_the_reason(vendor: httpx.Client) -> None:
    id = upload(vendor, ("secret.pdf", encrypted_pdf("x", "pw")), foo="bar")["upload_id"]
    shown = finished(vendor, f"{P}/{id}")
    assert (shown["status"], shown["response"], shown["metadata"]) == ("failed", None, {"foo": "bar"})
    assert "The PDF is encrypted" in shown["error_message"]
    assert "secret.pdf" not in shown["error_message"]


def test_a_dicom_file_leads_to_its_study(vendor: httpx.Client, fhir: httpx.Client) -> None:
    uid = "1.2.826.0.1.3680043.2.1125.77"
    file = dicom_file(
        StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1", PatientID="sporo-77"
    )
    task = fhir.get(f"Task/{upload(vendor, ('slice.dcm', file))['upload_id']}").json()
    document = fhir.get(task["input"][0]["valueReference"]["reference"]).json()
    assert document["content"][0]["attachment"]["contentType"] == "application/dicom"
    [study] = [each["reference"] for each in document["context"]["related"] if "ImagingStudy" in each["reference"]]
    found = fhir.get("ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{uid}"}).json()["entry"]
    assert [f"ImagingStudy/{each['resource']['id']}" for each in found] == [study]


# Patients


def patients_of(fhir: httpx.Client, email: str) -> list[dict[str, Any]]:
    found = fhir.get("Patient", params={"email": email}).json()
    return [each["resource"] for each in found.get("entry", ())]


def test_a_patient_is_made_once_and_found_again(vendor: httpx.Client, fhir: httpx.Client, mark: str) -> None:
    email = f"tony.{mark}@example.com"
    ids = [
        upload(vendor, email=email, first_name="Tony", last_name="Stark")["upload_id"],
        upload(vendor, email=email.upper(), first_name="STARK", last_name="tony")["upload_id"],
    ]
    [patient] = patients_of(fhir, email)
    assert patient["name"][0] == {"family": "Stark", "given": ["Tony"]}
    for id in ids:
        task = fhir.get(f"Task/{id}").json()
        assert task["for"]["reference"] == f"Patient/{patient['id']}"
        document = fhir.get(task["input"][0]["valueReference"]["reference"]).json()
        assert document["subject"]["reference"] == f"Patient/{patient['id']}"


def test_a_patient_of_a_fhir_client_is_found(vendor: httpx.Client, fhir: httpx.Client, mark: str) -> None:
    email = f"ann.{mark}@example.com"
    made = fhir.post(
        "Patient",
        json={
            "resourceType": "Patient",
            "name": [{"family": "Müller", "given": ["Ann"]}],
            "telecom": [{"system": "email", "value": email.capitalize()}],
        },
    ).json()
    id = upload(vendor, email=email, first_name="ANN", last_name="MÜLLER")["upload_id"]
    assert fhir.get(f"Task/{id}").json()["for"]["reference"] == f"Patient/{made['id']}"


def test_another_name_at_the_same_address_is_another_patient(
    vendor: httpx.Client, fhir: httpx.Client, mark: str
) -> None:
    email = f"family.{mark}@example.com"
    upload(vendor, email=email, first_name="Ann", last_name="Stark")
    upload(vendor, email=email, first_name="Anna", last_name="Stark")
    assert len(patients_of(fhir, email)) == 2


@pytest.mark.parametrize("missing", ["email", "first_name", "last_name"])
def test_without_all_three_there_is_no_patient(
    vendor: httpx.Client, fhir: httpx.Client, mark: str, missing: str
) -> None:
    fields = {"email": f"{mark}@example.com", "first_name": "A", "last_name": "B"}
    del fields[missing]
    body = upload(vendor, **fields)
    assert body["metadata"] == fields
    assert "for" not in fhir.get(f"Task/{body['upload_id']}").json()


def test_uploads_at_once_make_one_patient(sporo_server: Server, vendor_key: str, fhir: httpx.Client, mark: str) -> None:
    email = f"race.{mark}@example.com"

    async def one(client: httpx.AsyncClient, number: int) -> int:
        names = ("Tony", "Stark") if number % 2 else ("sTARK", "tony")
        data = {"email": email.upper() if number % 3 else email, "first_name": names[0], "last_name": names[1]}
        response = await client.post(f"{P}/upload/", files={"files": ("a.txt", b"hypertension")}, data=data)
        return response.status_code

    async def all_of_them() -> list[int]:
        headers = {"X-API-KEY": vendor_key}
        async with httpx.AsyncClient(base_url=sporo_server.root, headers=headers, timeout=60) as client:
            return await asyncio.gather(*(one(client, number) for number in range(16)))

    assert set(asyncio.run(all_of_them())) == {200}
    assert len(patients_of(fhir, email)) == 1


# Texts


@summing
def test_a_text_is_summarized_at_once(vendor: httpx.Client, fhir: httpx.Client, mark: str) -> None:
    sent = {
        "user_input": TEXT,
        "extra_information": "x",
        "unique_identifier": mark,
        "n": 1.5,
        "l": [1, None],
        "b": True,
    }
    response = vendor.post(f"{P}/upload/text/", json=sent)
    assert response.status_code == 200
    body = response.json()
    assert body.pop("response")
    assert body == {
        "webhook_url": None,
        "extra_information": "x",
        "metadata": {"unique_identifier": mark, "n": 1.5, "l": [1, None], "b": True},
    }
    found = fhir.get("Task", params={"code": "sporo-text", "_sort": "-_lastUpdated", "_count": "5"}).json()["entry"]
    task = next(each["resource"] for each in found if mark in json.dumps(each))
    model("Task").model_validate(task)
    assert task["status"] == "completed"
    assert vendor.get(f"{P}/{task['id']}").json()["metadata"]["n"] == 1.5


# ICD-10


def test_a_job_is_accepted_in_the_vendors_words(vendor: httpx.Client, fhir: httpx.Client) -> None:
    response = vendor.post(f"{P}/icd10/text", json={"text": TEXT, "webhook_url": "https://h.example.com/x"})
    assert response.status_code == 202
    body = response.json()
    assert HEX.fullmatch(body["job_id"])
    assert TIME.fullmatch(body["created_at"])
    assert fhir.get(f"Task/{body['job_id']}").json()["authoredOn"] == body["created_at"] + "Z"
    del body["job_id"], body["created_at"]
    assert body == {
        "status": "queued",
        "message": "ICD-10 request accepted; processing has started",
        "webhook_url": "https://h.example.com/x",
    }


@coding
def test_codes_of_the_vendors_sample(vendor: httpx.Client) -> None:
    shown = coded(vendor)
    assert list(shown) == ["job_id", "status", "created_at", "updated_at", "icd10_codes"]
    assert {"I10", "E11.9"} <= {each["icd10_code"] for each in shown["icd10_codes"]}
    assert all(each["evidence"] in TEXT for each in shown["icd10_codes"])
    assert shown["created_at"] <= shown["updated_at"]


@coding
def test_codes_are_conditions_and_edits_of_them_show(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = coded(vendor)
    references = output(fhir.get(f"Task/{shown['job_id']}").json(), "icd10_code")
    assert len(references) == len(shown["icd10_codes"])
    conditions = [fhir.get(reference).json() for reference in references]
    assert all(each["meta"]["security"][0]["code"] == "AIAST" for each in conditions)
    first, second = conditions[:2]
    first["code"]["text"] = "High blood pressure"
    put(fhir, first)
    second["verificationStatus"]["coding"][0]["code"] = "refuted"
    put(fhir, second)
    left = vendor.get(f"{P}/icd10/{shown['job_id']}").json()["icd10_codes"]
    assert len(left) == len(references) - 1
    assert left[0]["name"] == "High blood pressure"


@coding
def test_a_condition_with_the_task_as_evidence_joins(vendor: httpx.Client, fhir: httpx.Client) -> None:
    shown = coded(vendor)
    condition = fhir.get(output(fhir.get(f"Task/{shown['job_id']}").json(), "icd10_code")[0]).json()
    del condition["id"]
    condition["code"] = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M10.9"}], "text": "Gout"}
    assert fhir.post("Condition", json=condition).status_code == 201
    codes = vendor.get(f"{P}/icd10/{shown['job_id']}").json()["icd10_codes"]
    assert codes[-1]["icd10_code"] == "M10.9"


@coding
def test_a_task_of_a_fhir_client_is_run_and_shows(vendor: httpx.Client, fhir: httpx.Client) -> None:
    posted = fhir.post(
        "Task",
        json={
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {"coding": [{"code": "sporo-icd10"}]},
            "input": [{"type": {"text": "text"}, "valueString": TEXT}],
        },
    ).json()
    deadline = time.monotonic() + 30
    while (task := fhir.get(f"Task/{posted['id']}").json())["status"] != "completed" and time.monotonic() < deadline:
        time.sleep(0.05)
    [id] = [each["value"] for each in task["identifier"] if each["system"] == "urn:vendor:sporo:job-id"]
    shown = vendor.get(f"{P}/icd10/{id}").json()
    assert (shown["job_id"], shown["status"]) == (id, "completed")
    assert "I10" in {each["icd10_code"] for each in shown["icd10_codes"]}


def test_a_task_that_no_worker_has_run_shows_too(vendor: httpx.Client, fhir: httpx.Client) -> None:
    from mappers.sporo.translate import minted

    task = {
        "resourceType": "Task",
        "status": "cancelled",
        "intent": "order",
        "code": {"coding": [{"code": "sporo-icd10"}]},
        "authoredOn": "2026-04-21T21:14:02+02:00",
    }
    id = minted("Task", fhir.post("Task", json=task).json()["id"])
    for _ in range(2):
        shown = vendor.get(f"{P}/icd10/{id}").json()
        assert (shown["job_id"], shown["status"]) == (id, "failed")
        assert shown["created_at"] == "2026-04-21T19:14:02.000000"


@coding
def test_small_jobs_are_done_before_the_first_poll(vendor: httpx.Client) -> None:
    coded(vendor)
    fastest = 9.0
    for _ in range(3):
        started = time.monotonic()
        coded(vendor)
        fastest = min(fastest, time.monotonic() - started)
    assert fastest < 1.0


def test_a_job_of_another_key_is_not_shown(sporo_server: Server, vendor: httpx.Client) -> None:
    job = vendor.post(f"{P}/icd10/text", json={"text": TEXT}).json()["job_id"]
    other = new_key(sporo_server, "--dialect", "sporo")
    response = httpx.get(f"{sporo_server.root}{P}/icd10/{job}", headers={"X-API-KEY": other})
    assert response.status_code == 404
    by_fhir = httpx.get(f"{sporo_server.root}{P}/icd10/{job}", headers={"X-API-KEY": sporo_server.key})
    assert by_fhir.status_code == 200


def test_ids_of_one_kind_are_not_those_of_another(vendor: httpx.Client) -> None:
    job = vendor.post(f"{P}/icd10/text", json={"text": TEXT}).json()["job_id"]
    assert vendor.get(f"{P}/{job}").status_code == 404
    assert vendor.get(f"{P}/audio/notes/{job}").status_code == 404


# Templates and recordings


def test_the_community_templates(vendor: httpx.Client) -> None:
    body = vendor.get(f"{P}/templates/community").json()
    assert body["count"] >= 12
    assert len(body["data"]) == min(20, body["count"])
    assert {
        "_id": "66eb0bfe20db7d898c8e5c4e",
        "name": "GENERAL TEMPLATE",
        "short_description": "A minimal and versatile template designed for any clinical interview.",
    } in body["data"]


def test_templates_page_by_page(vendor: httpx.Client) -> None:
    everything = vendor.get(f"{P}/templates/community/", params={"limit": 100}).json()
    paged: list[Any] = []
    while len(paged) < everything["count"]:
        page = vendor.get(f"{P}/templates/community", params={"skip": len(paged), "limit": 5}).json()
        assert page["count"] == everything["count"]
        assert page["data"]
        paged += page["data"]
    assert paged == everything["data"]


def test_templates_are_looked_for(vendor: httpx.Client) -> None:
    found = vendor.get(f"{P}/templates/community", params={"search": "RADIO"}).json()
    assert [each["name"] for each in found["data"]] == ["RADIOLOGY REPORT"]
    assert vendor.get(f"{P}/templates/community", params={"name": "no such thing"}).json() == {"data": [], "count": 0}


def test_a_questionnaire_of_a_fhir_client_is_a_template(vendor: httpx.Client, fhir: httpx.Client, mark: str) -> None:
    questionnaire = {
        "resourceType": "Questionnaire",
        "status": "active",
        "title": f"Own template {mark}",
        "description": "Of our clinic",
        "code": [{"system": "http://loinc.org", "code": "11506-3"}],
        "item": [{"linkId": "1", "text": "Story", "type": "text"}],
    }
    made = fhir.post("Questionnaire", json=questionnaire).json()
    [shown] = vendor.get(f"{P}/templates/community", params={"name": mark}).json()["data"]
    assert HEX.fullmatch(shown["_id"])
    assert shown["short_description"] == "Of our clinic"
    response = vendor.post(f"{P}/audio/notes", files={"file": ("a.wav", wav())}, data={"template_id": shown["_id"]})
    assert response.status_code == 202
    task = fhir.get(f"Task/{response.json()['job_id']}").json()
    assert any(
        each.get("valueReference", {}).get("reference") == f"Questionnaire/{made['id']}" for each in task["input"]
    )
    put(fhir, made | {"status": "retired"})
    assert vendor.get(f"{P}/templates/community", params={"name": mark}).json()["count"] == 0


@pytest.mark.parametrize("part", ["file", "audio", "audio_file"])
def test_a_recording_without_speech_fails_in_the_vendors_words(vendor: httpx.Client, part: str) -> None:
    data = {"template_id": "66eb0bfe20db7d898c8e5c4e", "webhook_url": "https://h.example.com/x"}
    response = vendor.post(f"{P}/audio/notes", files={part: ("a.wav", wav())}, data=data)
    assert response.status_code == 202
    body = response.json()
    assert body["message"] == "Audio note request accepted; processing has started"
    assert body["status"] == "queued"
    shown = finished(vendor, f"{P}/audio/notes/{body['job_id']}")
    assert list(shown) == ["job_id", "status", "created_at", "updated_at", "error_code", "error_message"]
    assert (shown["error_code"], shown["error_message"]) == ("transcription_failed", "Failed to transcribe audio")


# Webhooks


class Receiver:
    """A web server on this machine that keeps what it is sent."""

    def __init__(self, *statuses: int) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        waiting = list(statuses)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(waiting.pop(0) if waiting else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, number: int = 1, seconds: float = 20) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while len(self.got) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.got) >= number
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()


@coding
def test_a_job_tells_its_webhook_what_its_route_says(
    sporo_server: Server, vendor: httpx.Client, vendor_key: str, receiver: Receiver
) -> None:
    shown = coded(vendor, webhook_url=receiver.url)
    [body] = receiver.wait()
    assert body == shown
    headers, raw = receiver.got[0]
    secret = secret_of(sporo_server, vendor_key.split("_")[1])
    assert Webhook(secret).verify(raw, headers) == shown


def secret_of(server: Server, key_id: str) -> str:
    import subprocess
    import sys
    from pathlib import Path

    command = [str(Path(sys.executable).parent / "fhir-server"), "webhooks", "secret", "--key", key_id]
    made = subprocess.run([*command, "--data-dir", str(server.data_dir)], capture_output=True, text=True, check=True)
    return made.stdout.split()[0]


def test_an_upload_that_fails_tells_its_webhook_with_every_extra_field(
    vendor: httpx.Client, receiver: Receiver
) -> None:
    id = upload(
        vendor, ("a.pdf", encrypted_pdf("x", "pw")), webhook_url=receiver.url, unique_identifier="case-1", status="mine"
    )["upload_id"]
    [body] = receiver.wait()
    assert body["upload_id"] == id
    assert body["status"] == "failed"
    assert body["unique_identifier"] == "case-1"
    assert body["metadata"] == {"unique_identifier": "case-1", "status": "mine"}


@coding
def test_a_webhook_that_fails_is_told_again_and_the_log_is_fhir(vendor: httpx.Client, fhir: httpx.Client) -> None:
    receiver = Receiver(500)
    try:
        shown = coded(vendor, webhook_url=receiver.url)
        first, second = receiver.wait(2)
        assert first == second == shown
        assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]
    finally:
        receiver.server.shutdown()
    time.sleep(0.3)
    [entry] = fhir.get("Communication", params={"based-on": f"Task/{shown['job_id']}"}).json()["entry"]
    log = entry["resource"]
    assert log["status"] == "completed"
    assert [note["text"] for note in log["note"]] == [
        "Attempt 1: the receiver answered 500.",
        "Attempt 2: the receiver answered 200.",
    ]


@coding
def test_a_task_of_a_fhir_client_tells_its_webhook(fhir: httpx.Client, receiver: Receiver) -> None:
    fhir.post(
        "Task",
        json={
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {"coding": [{"code": "sporo-icd10"}]},
            "input": [
                {"type": {"coding": [{"code": "text"}]}, "valueString": TEXT},
                {"type": {"coding": [{"code": "webhook_url"}]}, "valueUrl": receiver.url},
            ],
        },
    ).raise_for_status()
    [body] = receiver.wait()
    assert body["status"] == "completed"


def test_webhooks_are_on_the_metrics(sporo_server: Server) -> None:
    text = httpx.get(f"{sporo_server.root}/metrics").text
    assert 'fhir_server_webhooks{status="completed"}' in text
    assert 'fhir_server_webhook_attempts_total{result="delivered"}' in text


@coding
def test_many_jobs_at_once_all_end_and_none_twice(vendor: httpx.Client, receiver: Receiver) -> None:
    def one(number: int) -> str:
        body = {"text": f"{TEXT} Visit {number}.", "webhook_url": receiver.url}
        return str(vendor.post(f"{P}/icd10/text", json=body).json()["job_id"])

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(one, range(40)))
    told = receiver.wait(40, seconds=60)
    time.sleep(0.5)
    assert sorted(each["job_id"] for each in told) == sorted(jobs)
    assert len(receiver.got) == 40
