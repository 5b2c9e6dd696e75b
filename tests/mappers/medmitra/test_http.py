"""The dialect on a real server with its worker and its engine: from the vendor's form to FHIR and back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Server

NOTE = (
    "54 year old woman with type 2 diabetes mellitus and cough for 3 days. Denies chest pain. "
    "Assessment: type 2 diabetes mellitus. Plan: start metformin."
)
CSV = b"test,value,unit\nGlucose,180,mg/dL\nHbA1c,9.1,%\n"
REPORT = b"FINDINGS: Right lower lobe consolidation.\nIMPRESSION: Pneumonia.\n"


@pytest.fixture(autouse=True)
def _canned() -> None:
    """The real engine, here."""


def minted(server: Server, user: str) -> str:
    assert server.data_dir is not None
    program = str(Path(sys.executable).parent / "fhir-server")
    options = ["--name", user, "--dialect", "medmitra", "--subject", user, "--json", "--data-dir", str(server.data_dir)]
    made = subprocess.run([program, "keys", "create", *options], capture_output=True, text=True, check=True)
    return str(json.loads(made.stdout)["key"])


@pytest.fixture(scope="module")
def vendor(server: Server) -> Iterator[httpx.Client]:
    if server.data_dir is None:
        pytest.skip("needs the data directory of the server, to mint a token")
    headers = {"Authorization": f"Bearer {minted(server, 'asha')}"}
    with httpx.Client(base_url=server.root, headers=headers, timeout=30) as client:
        yield client


def create(vendor: httpx.Client, files: list[Any] | None = None, **fields: str) -> dict[str, Any]:
    data = {"user_id": "asha", "patient_name": "Jane Roe", "patient_age": "54", "patient_gender": "Female"} | fields
    parts = [*((name, (None, value)) for name, value in data.items()), *(files or [])]
    response = vendor.post("/cases/create_case", files=parts)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def finished(vendor: httpx.Client, case_id: str, seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        shown: dict[str, Any] = vendor.get(f"/cases/cases/{case_id}").json()
        if shown["case"]["status"] != "processing":
            return shown
        time.sleep(0.02)
    pytest.fail(f"the case {case_id} was not analysed")


@pytest.fixture(scope="module")
def sample(vendor: httpx.Client) -> dict[str, Any]:
    files = [
        ("lab_files", ("labs.csv", CSV, "text/csv")),
        ("radiology_files", ("chest.txt", REPORT, "text/plain")),
    ]
    return finished(vendor, create(vendor, files, case_summary=NOTE)["case"]["case_id"])


def test_a_case_is_analysed(sample: dict[str, Any]) -> None:
    assert sample["case"]["status"] == "completed"
    insights = sample["ai_insights"]
    assert "Glucose" in insights["case_summary"]["lab_summary"]
    assert "consolidation" in insights["case_summary"]["radiology_summary"]
    assert "metformin" in insights["soap_note"]["plan"]
    assert insights["primary_diagnosis"]["icd_code"].startswith(("E11", "J18"))
    scores = [insights[part]["confidence_score"] for part in ("case_summary", "soap_note", "primary_diagnosis")]
    assert all(0 < score <= 1 for score in scores)
    assert insights["overall_confidence_score"] == pytest.approx(sum(scores) / 3, abs=0.001)
    assert all(insights["confidence_explanation"].values())


def test_all_evidence_stands_in_the_case(sample: dict[str, Any]) -> None:
    said = " ".join((NOTE + CSV.decode() + REPORT.decode()).split())
    for sentence in sample["ai_insights"]["primary_diagnosis"]["supporting_evidence"]:
        assert " ".join(sentence.split()) in said


def test_the_uploaded_bytes_are_at_the_files_url(sample: dict[str, Any], fhir: httpx.Client) -> None:
    response = httpx.get(sample["files"][0]["file_url"], headers=dict(fhir.headers) | {"accept": "text/csv"})
    assert response.content == CSV
    assert response.headers["content-type"].startswith("text/csv")


def test_the_case_is_in_fhir(sample: dict[str, Any], fhir: httpx.Client) -> None:
    task = fhir.get(f"Task/{sample['case']['case_id']}").json()
    assert (task["status"], task["description"]) == ("completed", NOTE)
    everything = fhir.get(f"{task['for']['reference']}/$everything", params={"_count": "200"}).json()
    types = {entry["resource"]["resourceType"] for entry in everything["entry"]}
    assert {"Task", "Composition", "Condition", "ClinicalImpression", "DiagnosticReport", "DocumentReference"} <= types


def test_a_large_file_comes_back_as_it_was(vendor: httpx.Client, fhir: httpx.Client) -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8000
    file = create(vendor, [("radiology_files", ("x.png", content, "image/png"))])["uploaded_files"][0]
    response = httpx.get(file["file_url"], headers=dict(fhir.headers) | {"accept": "image/png"}, timeout=30)
    assert response.content == content


def test_a_file_above_the_limit_is_400(vendor: httpx.Client) -> None:
    data = {"user_id": "asha", "patient_name": "A B", "patient_age": "1", "patient_gender": "Male"}
    files = {"lab_files": ("x.csv", b"a,b\n" * (3 << 20), "text/csv")}
    response = vendor.post("/cases/create_case", data=data, files=files)
    assert response.status_code == 400
    assert isinstance(response.json()["detail"], str)


def test_an_encrypted_file_fails_its_case_alone(vendor: httpx.Client) -> None:
    from io import BytesIO

    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(72, 72)
    writer.encrypt("secret")
    locked = BytesIO()
    writer.write(locked)
    bad = create(vendor, [("lab_files", ("locked.pdf", locked.getvalue(), "application/pdf"))])["case"]["case_id"]
    good = create(vendor, case_summary=NOTE)["case"]["case_id"]
    assert finished(vendor, bad)["case"]["status"] == "failed"
    assert finished(vendor, good)["case"]["status"] == "completed"


def test_a_dicom_file_leads_to_its_study(vendor: httpx.Client, fhir: httpx.Client) -> None:
    data = pytest.importorskip("pydicom.data")
    path = data.get_testdata_file("CT_small.dcm")
    made = create(vendor, [("radiology_files", ("ct.dcm", Path(path).read_bytes(), "application/dicom"))])
    file = made["uploaded_files"][0]
    assert (file["file_type"], file["file_category"]) == ("application/dicom", "radiology")
    document = fhir.get(f"DocumentReference/{file['file_id']}").json()
    [study] = [
        each["reference"] for each in document["context"]["related"] if each["reference"].startswith("ImagingStudy/")
    ]
    assert fhir.get(study).json()["modality"][0]["code"] == "CT"
    assert finished(vendor, made["case"]["case_id"])["case"]["status"] == "completed"


def test_a_user_sees_his_own_cases_only(server: Server, vendor: httpx.Client, sample: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {minted(server, 'ben')}"}
    case_id = sample["case"]["case_id"]
    assert httpx.get(f"{server.root}/cases/cases/{case_id}", headers=headers).status_code == 404
    assert httpx.get(f"{server.root}/cases/all_cases", headers=headers).json() == {"cases": []}
    assert case_id in [case["case_id"] for case in vendor.get("/cases/all_cases").json()["cases"]]


def test_a_token_opens_nothing_on_fhir(server: Server, vendor: httpx.Client) -> None:
    assert httpx.get(f"{server.base}/Task", headers=vendor.headers).status_code in (401, 403)


def test_a_deleted_case_is_410_on_fhir_and_404_here(vendor: httpx.Client, fhir: httpx.Client) -> None:
    case_id = create(vendor, case_summary=NOTE)["case"]["case_id"]
    finished(vendor, case_id)
    assert vendor.delete(f"/cases/cases/{case_id}").status_code == 200
    assert vendor.get(f"/cases/cases/{case_id}").status_code == 404
    assert fhir.get(f"Task/{case_id}").status_code == 410


def test_a_case_that_is_cancelled_over_fhir_has_failed(vendor: httpx.Client, fhir: httpx.Client) -> None:
    case_id = create(vendor, case_summary=NOTE)["case"]["case_id"]
    finished(vendor, case_id)
    task = fhir.get(f"Task/{case_id}").json()
    fhir.put(f"Task/{case_id}", json=task | {"status": "cancelled"})
    assert vendor.get(f"/cases/{case_id}").json()["case"]["status"] == "failed"


def test_the_extensions_and_codes_are_published(fhir: httpx.Client) -> None:
    for path in ("StructureDefinition/original-gender", "StructureDefinition/confidence-explanation"):
        assert fhir.get(path).status_code == 200
    codes = [concept["code"] for concept in fhir.get("CodeSystem/task-code").json()["concept"]]
    assert "medmitra-case" in codes


def test_the_documentation_shows_the_dialect(vendor: httpx.Client) -> None:
    assert "/cases/create_case" in vendor.get("/openapi.json").json()["paths"]
    assert vendor.get("/").json() == {"message": "MedMitra Backend API is running!"}
