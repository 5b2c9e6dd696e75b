"""create: R4B 3.1.0.8; conditional create 3.1.0.8.1."""

from __future__ import annotations

import re

import httpx

from tests.conformance.resources import SYSTEM, create, found, observation, patient, put, refused
from tests.conftest import Server


def test_create_answers_201_with_location_etag_and_last_modified(fhir: httpx.Client, server: Server, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark))
    assert answer.status_code == 201
    assert re.fullmatch(
        re.escape(server.base) + r"/Patient/[A-Za-z0-9\-.]{1,64}/_history/1", answer.headers["Location"]
    )
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in answer.headers


def test_the_location_of_a_create_can_be_read(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark))
    assert fhir.get(answer.headers["Location"]).json()["identifier"][0]["value"] == mark


def test_the_clients_id_and_version_are_not_taken(fhir: httpx.Client, mark: str) -> None:
    created = create(
        fhir, {**patient(mark), "id": "chosen", "meta": {"versionId": "77", "lastUpdated": "2001-01-01T00:00:00Z"}}
    )
    assert created["id"] != "chosen"
    assert created["meta"]["versionId"] == "1"
    assert not created["meta"]["lastUpdated"].startswith("2001")


def test_the_rest_of_meta_is_kept(fhir: httpx.Client, mark: str) -> None:
    meta = {
        "profile": ["http://example.org/p"],
        "tag": [{"system": SYSTEM, "code": mark}],
        "security": [{"system": SYSTEM, "code": "s"}],
        "source": "urn:x",
    }
    created = create(fhir, {**patient(mark), "meta": meta})
    assert {key: created["meta"][key] for key in meta} == meta


def test_return_minimal_has_no_body(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark), headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (201, b"")


def test_return_representation_has_the_resource(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark), headers={"Prefer": "return=representation"})
    assert answer.json()["resourceType"] == "Patient"


def test_return_operation_outcome_has_one(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark), headers={"Prefer": "return=OperationOutcome"})
    assert answer.status_code == 201
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert all(issue["severity"] in ("information", "warning") for issue in answer.json()["issue"])


def test_a_body_of_another_type_is_refused(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=observation(mark))
    assert answer.status_code in (400, 422)
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_an_unknown_type_is_404(fhir: httpx.Client) -> None:
    refused(fhir.post("Patiend", json={"resourceType": "Patiend"}), 404)


def test_a_body_that_is_not_json_is_400(fhir: httpx.Client) -> None:
    for body in (b"", b"{", b"nonsense", b"[]", b"null", b'"x"', b"{}", b'{"resourceType":1}', b"\xff\xfe"):
        refused(fhir.post("Patient", content=body, headers={"Content-Type": "application/fhir+json"}), 400)


def test_duplicate_keys_nan_and_bad_utf8_are_400(fhir: httpx.Client) -> None:
    for body in (
        b'{"resourceType":"Patient","gender":"male","gender":"female"}',
        b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
        b'{"resourceType":"Patient","name":[{"family":"\xff"}]}',
        b'{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}',
        b'{"resourceType":"Patient"} x',
    ):
        refused(fhir.post("Patient", content=body, headers={"Content-Type": "application/fhir+json"}), 400)


def test_deep_nesting_is_400_and_not_a_crash(fhir: httpx.Client) -> None:
    body = b'{"resourceType":"Patient","extension":' + b"[" * 20000 + b"]" * 20000 + b"}"
    refused(fhir.post("Patient", content=body, headers={"Content-Type": "application/fhir+json"}), 400)


def test_all_problems_are_reported_with_where_they_are(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark, gender="zzz", birthDate="yesterday", nonsense=1))
    outcome = refused(answer, 422)
    places = " ".join(place for issue in outcome["issue"] for place in issue.get("expression", []))
    assert "Patient.gender" in places
    assert "Patient.birthDate" in places
    assert "nonsense" in str(outcome)


def test_a_missing_required_element_is_422(fhir: httpx.Client) -> None:
    refused(fhir.post("Observation", json={"resourceType": "Observation", "status": "final"}), 422)


def test_another_content_type_is_415(fhir: httpx.Client) -> None:
    refused(fhir.post("Patient", content=b"x", headers={"Content-Type": "text/plain"}), 415)


def test_conditional_create_without_match_creates(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient", json=patient(mark), headers={"If-None-Exist": f"identifier={SYSTEM}|{mark}"})
    assert answer.status_code == 201


def test_conditional_create_with_one_match_answers_200_and_makes_none(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    condition = {"If-None-Exist": f"identifier={SYSTEM}|{mark}"}
    answer = fhir.post("Patient", json=patient(mark, gender="male"), headers=condition)
    assert answer.status_code == 200
    assert f"/Patient/{created['id']}/_history/1" in answer.headers["Location"]
    assert found(fhir, "Patient", {"identifier": mark}) == [created["id"]]


def test_conditional_create_with_several_matches_is_412(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    create(fhir, patient(mark))
    refused(fhir.post("Patient", json=patient(mark), headers={"If-None-Exist": f"identifier={mark}"}), 412)


def test_conditional_create_with_a_parameter_that_is_none_is_refused(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.post("Patient", json=patient(mark), headers={"If-None-Exist": "nonsense=1"}), 400)
    assert found(fhir, "Patient", {"identifier": mark}) == []


def test_a_decimal_keeps_its_digits(fhir: httpx.Client, mark: str) -> None:
    body = b'{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},'
    body += b'"valueQuantity":{"value":0.0100}}'
    put(fhir, f"Observation/{mark}", body % mark.encode())
    assert b'"value":0.0100' in fhir.get(f"Observation/{mark}").content
