"""Prefer: respond-async: 202, a status URL, the answer, cancelling. https://hl7.org/fhir/async-bundle.html"""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, entry, observation, patient, refused, transaction

ASYNC = {"Prefer": "respond-async"}


def accepted(answer: httpx.Response) -> str:
    """The status URL."""
    assert answer.status_code == 202, answer.text
    return answer.headers["Content-Location"]


def finished(fhir: httpx.Client, url: str, seconds: float = 20) -> dict[str, Any]:
    """The one entry of the answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = fhir.get(url)
        if answer.status_code == 200:
            bundle = answer.json()
            assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "batch-response")
            [found] = bundle["entry"]
            return dict(found)
        assert answer.status_code == 202, answer.text
        assert answer.headers["X-Progress"]
        time.sleep(0.05)
    pytest.fail("the work did not end")


def test_a_search_is_answered_later(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    url = accepted(fhir.get("Patient", params={"identifier": f"|{mark}", "_id": created["id"]}, headers=ASYNC))
    found = finished(fhir, accepted(fhir.get("Patient", params={"_id": created["id"]}, headers=ASYNC)))
    assert found["response"]["status"] == "200"
    assert found["resource"]["type"] == "searchset"
    assert found["resource"]["entry"][0]["resource"] == created
    assert finished(fhir, url)["resource"]["total"] == 0


def test_a_transaction_is_done_once_and_answered_later(fhir: httpx.Client, mark: str) -> None:
    bundle = transaction(entry("POST", "Patient", patient(mark)))
    found = finished(fhir, accepted(fhir.post("", json=bundle, headers=ASYNC)))
    assert found["resource"]["type"] == "transaction-response"
    assert fhir.get("Patient", params={"identifier": mark}).json()["total"] == 1


def test_a_batch_that_is_refused_says_so_in_its_answer(fhir: httpx.Client) -> None:
    found = finished(
        fhir, accepted(fhir.post("", json={"resourceType": "Bundle", "type": "collection"}, headers=ASYNC))
    )
    assert found["response"]["status"] == "400"
    assert found["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_an_operation_is_answered_later(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    create(fhir, observation(mark, subject={"reference": f"Patient/{created['id']}"}))
    found = finished(fhir, accepted(fhir.get(f"Patient/{created['id']}/$everything", headers=ASYNC)))
    types = {each["resource"]["resourceType"] for each in found["resource"]["entry"]}
    assert {"Patient", "Observation"} <= types


def test_reindexing_counts_what_it_did(fhir: httpx.Client, mark: str) -> None:
    create(fhir, {"resourceType": "Basic", "code": {"text": mark}})
    found = finished(fhir, accepted(fhir.post("Basic/$reindex", headers=ASYNC)))
    [count] = found["resource"]["parameter"]
    assert count["valueInteger"] >= 1


def test_a_search_parameter_is_done_when_it_is_indexed(fhir: httpx.Client, mark: str) -> None:
    code = f"z{mark}"
    created = create(fhir, patient(mark, maritalStatus={"coding": [{"system": "http://example.org", "code": mark}]}))
    definition = {
        "resourceType": "SearchParameter",
        "url": f"http://example.org/SearchParameter/{mark}",
        "name": code,
        "status": "active",
        "description": "marital status",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.maritalStatus",
    }
    found = finished(fhir, accepted(fhir.post("SearchParameter", json=definition, headers=ASYNC)))
    assert found["response"]["status"] == "201"
    strict = {"Prefer": "handling=strict"}
    matches = fhir.get("Patient", params={code: mark}, headers=strict).json()
    assert [each["resource"]["id"] for each in matches["entry"]] == [created["id"]]
    assert fhir.delete(f"SearchParameter/{found['resource']['id']}").status_code in (200, 204)


def test_cancelled_work_is_forgotten(fhir: httpx.Client) -> None:
    url = accepted(fhir.get("Patient?_count=1", headers=ASYNC))
    assert fhir.delete(url).status_code == 202
    refused(fhir.get(url), 404)
    refused(fhir.delete(url), 404)


def test_an_answer_may_be_fetched_as_xml(fhir: httpx.Client, mark: str) -> None:
    url = accepted(fhir.get("Patient", params={"identifier": mark}, headers=ASYNC))
    finished(fhir, url)
    answer = fhir.get(url, headers={"Accept": "application/fhir+xml"})
    assert answer.headers["Content-Type"].startswith("application/fhir+xml")
    assert answer.text.startswith("<?xml")


def test_other_preferences_hold_for_the_answer(fhir: httpx.Client) -> None:
    headers = {"Prefer": "respond-async, handling=strict"}
    found = finished(fhir, accepted(fhir.get("Patient?nonsense=1", headers=headers)))
    assert found["response"]["status"] == "400"


def test_a_read_is_answered_at_once(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.get(f"Patient/{created['id']}", headers=ASYNC).json() == created


def test_an_unknown_status_url_is_not_found(fhir: httpx.Client) -> None:
    refused(fhir.get("_async/nothing"), 404)


def test_a_search_parameter_that_changes_or_goes_leaves_nothing_behind(fhir: httpx.Client, mark: str) -> None:
    code, strict = f"y{mark}", {"Prefer": "handling=strict"}
    single = {"coding": [{"code": f"m{mark}"}]}
    created = create(fhir, patient(mark, maritalStatus=single, communication=[{"language": {"text": mark}}]))
    definition = {
        "resourceType": "SearchParameter",
        "id": mark,
        "url": f"http://example.org/SearchParameter/{code}",
        "name": code,
        "status": "active",
        "description": "first one thing, then another",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.maritalStatus",
    }
    path = f"SearchParameter/{mark}"
    finished(fhir, accepted(fhir.put(path, json=definition, headers=ASYNC)))
    assert fhir.get("Patient", params={code: f"m{mark}"}, headers=strict).json()["total"] == 1
    definition["expression"] = "Patient.identifier"
    finished(fhir, accepted(fhir.put(path, json=definition, headers=ASYNC)))
    assert fhir.get("Patient", params={code: f"m{mark}"}, headers=strict).json()["total"] == 0
    [match] = fhir.get("Patient", params={code: mark}, headers=strict).json()["entry"]
    assert match["resource"]["id"] == created["id"]
    finished(fhir, accepted(fhir.delete(path, headers=ASYNC)))
    refused(fhir.get("Patient", params={code: mark}, headers=strict), 400)
