"""The commands of the vendor's API reference, run by curl as they stand there; only the base URL and the key differ."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from typing import Any

import pytest

from tests.conftest import Server

BASE = "https://cdt-beta.healthsage.ai"
SUBMIT = r"""
curl -X POST "https://cdt-beta.healthsage.ai/generate" \
  -H "X-API-Key: YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "note": "67-year-old male with history of paroxysmal atrial fibrillation diagnosed in 2021, hypertension, and hyperlipidemia. Patient underwent pulmonary vein isolation via catheter ablation in September 2023.",
    "specialty": "Cardiology",
    "letter_date": "2025-03-15"
  }'
"""  # noqa: E501
RESULT = r"""
curl "https://cdt-beta.healthsage.ai/tasks/a1b2c3d4-e5f6-7890-abcd-ef1234567890" \
  -H "X-API-Key: YOUR_API_KEY"
"""
BUNDLE = r"""
curl "https://cdt-beta.healthsage.ai/tasks/fhir/a1b2c3d4-e5f6-7890-abcd-ef1234567890?fhir_patient_id=patient-123" \
  -H "X-API-Key: YOUR_API_KEY"
"""
USAGE = r"""
curl -X GET "https://cdt-beta.healthsage.ai/auth/usage" \
  -H "X-API-Key: YOUR_API_KEY"
"""
SAMPLE_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def run(server: Server, command: str, task_id: str = SAMPLE_ID) -> tuple[int, Any]:
    """(status, body)"""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    text = command.replace(BASE, server.root).replace("YOUR_API_KEY", server.key).replace(SAMPLE_ID, task_id)
    arguments = [*shlex.split(text.replace("\\\n", " ")), "-s", "--noproxy", "*", "-w", "\n%{http_code}"]
    body, _, status = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.fixture(scope="module")
def task_id(server: Server) -> str:
    status, body = run(server, SUBMIT)
    assert status == 202
    assert body.keys() == {"task_id", "status"}
    assert body["status"] == "PENDING"
    assert UUID.fullmatch(body["task_id"])
    deadline = time.monotonic() + 20
    while run(server, RESULT, body["task_id"])[1]["status"] == "PENDING" and time.monotonic() < deadline:
        time.sleep(0.05)
    return str(body["task_id"])


def test_the_result_has_the_vendors_fields(server: Server, task_id: str) -> None:
    status, body = run(server, RESULT, task_id)
    assert status == 200
    assert list(body) == ["task_id", "status", "letter_date", "patient_dob", "json_data", "usage"]
    assert (body["task_id"], body["status"]) == (task_id, "SUCCESS")
    assert (body["letter_date"], body["patient_dob"]) == ("2025-03-15", None)
    assert body["json_data"].keys() == {"extractions", "specialty", "snomed_ct_version"}
    assert body["json_data"]["specialty"] == "Cardiology"
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", body["json_data"]["snomed_ct_version"])
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]


def test_the_extractions_are_the_vendors_with_offsets_that_are_right(server: Server, task_id: str) -> None:
    note = json.loads(shlex.split(SUBMIT.replace("\\\n", " "))[-1])["note"]
    found = {each["snomed_ct_code"]: each for each in run(server, RESULT, task_id)[1]["json_data"]["extractions"]}
    fibrillation, hypertension = found["282825002"], found["38341003"]
    expected = {
        "snomed_ct_code": "282825002",
        "snomed_ct_term": "Paroxysmal atrial fibrillation (disorder)",
        "concept_type": "disorder",
        "status": "confirmed",
        "date": "2021",
        "end_date": None,
        "relative_date": "(Y-4)",
        "relative_end_date": None,
        "source": "paroxysmal atrial fibrillation diagnosed in 2021",
        "start": 33,
        "end": 81,
    }
    assert fibrillation.items() >= expected.items()
    assert (hypertension["source"], hypertension["start"], hypertension["end"]) == ("hypertension", 83, 95)
    for each in found.values():
        assert note[each["start"] : each["end"]] == each["source"]
        assert UUID.fullmatch(each["id"])
        assert each["shortened_id"] == each["id"][:8]


def test_the_bundle_is_about_the_patient_that_was_named(server: Server, task_id: str) -> None:
    status, body = run(server, BUNDLE, task_id)
    assert status == 200
    assert (body["resourceType"], body["type"]) == ("Bundle", "collection")
    subjects = {entry["resource"]["subject"]["reference"] for entry in body["entry"]}
    assert subjects == {"Patient/patient-123"}
    default = run(server, BUNDLE.replace("?fhir_patient_id=patient-123", ""), task_id)[1]
    assert {entry["resource"]["subject"]["reference"] for entry in default["entry"]} == {"Patient/<subject_id>"}


def test_usage_is_in_the_vendors_form(server: Server, task_id: str) -> None:
    status, body = run(server, USAGE)
    assert status == 200
    assert list(body) == ["total_requests", "tokens_used", "token_limit", "remaining_tokens"]
    assert body["remaining_tokens"] == body["token_limit"] - body["tokens_used"]


def test_an_unknown_task_is_404(server: Server) -> None:
    for command in (RESULT, BUNDLE):
        status, body = run(server, command)
        assert status == 404
        assert isinstance(body["detail"], str)


@pytest.mark.parametrize("command", [SUBMIT, RESULT, BUNDLE, USAGE])
def test_the_commands_without_a_good_key_are_401(server: Server, command: str) -> None:
    status, body = run(server, command.replace("YOUR_API_KEY", "wrong"))
    assert status == 401
    assert isinstance(body["detail"], str)
