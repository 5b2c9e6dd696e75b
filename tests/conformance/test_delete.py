"""delete: R4B 3.1.0.9; conditional delete 3.1.0.9.1."""

from __future__ import annotations

import httpx

from tests.conformance.resources import create, found, patient, refused, update


def test_delete_answers_200_or_204_and_the_etag_of_the_deletion(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.delete(f"Patient/{created['id']}")
    assert answer.status_code in (200, 204)
    assert answer.headers["ETag"] == 'W/"2"'


def test_deleting_twice_is_no_error_and_no_new_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    assert fhir.delete(f"Patient/{created['id']}").status_code in (200, 204)
    assert fhir.get(f"Patient/{created['id']}").headers["ETag"] == 'W/"2"'


def test_deleting_what_never_existed_is_no_server_error(fhir: httpx.Client, mark: str) -> None:
    assert fhir.delete(f"Patient/{mark}").status_code in (200, 204, 404)


def test_a_deleted_resource_is_not_found_by_search(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    assert found(fhir, "Patient", {"identifier": mark}) == []


def test_if_match_with_an_old_version_is_412(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, created)
    refused(fhir.delete(f"Patient/{created['id']}", headers={"If-Match": 'W/"1"'}), 412)
    assert fhir.get(f"Patient/{created['id']}").status_code == 200


def test_conditional_delete_removes_the_one_match(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.delete("Patient", params={"identifier": mark}).status_code in (200, 204)
    assert fhir.get(f"Patient/{created['id']}").status_code == 410


def test_conditional_delete_without_match_is_404_or_204(fhir: httpx.Client, mark: str) -> None:
    assert fhir.delete("Patient", params={"identifier": mark}).status_code in (200, 204, 404)


def test_conditional_delete_without_criteria_is_refused(fhir: httpx.Client) -> None:
    answer = fhir.delete("Patient")
    assert answer.status_code in (400, 412)


def test_conditional_delete_with_an_unknown_parameter_deletes_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.delete("Patient", params={"identifier": mark, "nonsense": "1"}), 400)
    assert fhir.get(f"Patient/{created['id']}").status_code == 200
