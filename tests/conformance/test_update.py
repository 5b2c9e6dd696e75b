"""update: R4B 3.1.0.7; version-aware updates 3.1.0.5.2; conditional update 3.1.0.7.1."""

from __future__ import annotations

import httpx

from tests.conformance.resources import SYSTEM, create, dumps, found, observation, patient, put, refused, update
from tests.conftest import Server


def test_update_makes_the_next_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.put(f"Patient/{created['id']}", json={**created, "gender": "other"})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.json()["meta"]["versionId"] == "2"


def test_update_as_create_answers_201_with_location(fhir: httpx.Client, server: Server, mark: str) -> None:
    answer = fhir.put(f"Patient/{mark}", json={**patient(mark), "id": mark})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{server.base}/Patient/{mark}/_history/1"


def test_an_update_without_id_in_the_body_is_400(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.put(f"Patient/{created['id']}", json=patient(mark)), 400)


def test_an_update_with_another_id_in_the_body_is_400(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.put(f"Patient/{created['id']}", json={**patient(mark), "id": "other"}), 400)


def test_an_update_with_another_type_in_the_body_is_refused(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.put(f"Patient/{created['id']}", json={**observation(mark), "id": created["id"]})
    assert answer.status_code in (400, 422)


def test_if_match_with_the_current_version_updates(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.put(f"Patient/{created['id']}", json=created, headers={"If-Match": 'W/"1"'})
    assert answer.status_code == 200


def test_if_match_with_an_old_version_is_412(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, {**created, "gender": "male"})
    refused(fhir.put(f"Patient/{created['id']}", json=created, headers={"If-Match": 'W/"1"'}), 412)
    assert fhir.get(f"Patient/{created['id']}").json()["gender"] == "male"


def test_if_match_on_what_does_not_exist_is_412(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.put(f"Patient/{mark}", json={**patient(mark), "id": mark}, headers={"If-Match": 'W/"1"'}), 412)


def test_an_if_match_that_is_no_etag_is_400(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.put(f"Patient/{created['id']}", json=created, headers={"If-Match": "nonsense"}), 400)


def test_if_none_match_star_creates_only_once(fhir: httpx.Client, mark: str) -> None:
    body = {**patient(mark), "id": mark}
    once = {"If-None-Match": "*"}
    assert fhir.put(f"Patient/{mark}", json=body, headers=once).status_code == 201
    refused(fhir.put(f"Patient/{mark}", json=body, headers=once), 412)


def test_an_update_brings_a_deleted_resource_back_with_the_next_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    answer = fhir.put(f"Patient/{created['id']}", json=created)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == 'W/"3"'
    assert fhir.get(f"Patient/{created['id']}").status_code == 200


def test_update_with_return_minimal_has_no_body(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.put(f"Patient/{created['id']}", json=created, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_invalid_update_changes_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.put(f"Patient/{created['id']}", json={**created, "gender": "zzz"}), 422)
    assert fhir.get(f"Patient/{created['id']}").headers["ETag"] == 'W/"1"'


def test_search_sees_the_new_value_and_not_the_old_one(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    update(fhir, {**created, "gender": "female"})
    assert found(fhir, "Patient", {"identifier": mark, "gender": "female"}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "gender": "male"}) == []


def test_conditional_update_without_match_creates(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.put("Patient", params={"identifier": f"{SYSTEM}|{mark}"}, json=patient(mark))
    assert answer.status_code == 201
    assert len(found(fhir, "Patient", {"identifier": mark})) == 1


def test_conditional_update_without_match_takes_the_bodys_id(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.put("Patient", params={"identifier": mark}, json={**patient(mark), "id": mark})
    assert answer.status_code == 201
    assert fhir.get(f"Patient/{mark}").status_code == 200


def test_conditional_update_with_one_match_updates_it(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.put("Patient", params={"identifier": mark}, json=patient(mark, gender="male"))
    assert answer.status_code == 200
    assert answer.json()["id"] == created["id"]
    assert answer.json()["gender"] == "male"


def test_conditional_update_with_one_match_and_another_id_is_400(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    refused(fhir.put("Patient", params={"identifier": mark}, json={**patient(mark), "id": "other"}), 400)


def test_conditional_update_with_several_matches_is_412(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    create(fhir, patient(mark))
    refused(fhir.put("Patient", params={"identifier": mark}, json=patient(mark)), 412)


def test_conditional_update_without_criteria_is_refused(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.put("Patient", json=patient(mark))
    assert answer.status_code in (400, 412)


def test_whitespace_in_the_body_is_not_significant(fhir: httpx.Client, mark: str) -> None:
    body = dumps({**patient(mark), "id": mark}).replace(b":", b" :\n\t").replace(b"http :\n\t//", b"http://")
    assert put(fhir, f"Patient/{mark}", body).status_code == 201
