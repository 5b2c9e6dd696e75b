"""vread: R4B 3.1.0.6."""

from __future__ import annotations

import httpx

from tests.conformance.resources import create, patient, refused, update


def test_each_version_can_be_read(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    update(fhir, {**created, "gender": "female"})
    first = fhir.get(f"Patient/{created['id']}/_history/1")
    second = fhir.get(f"Patient/{created['id']}/_history/2")
    assert (first.json()["gender"], second.json()["gender"]) == ("male", "female")
    assert (first.headers["ETag"], second.headers["ETag"]) == ('W/"1"', 'W/"2"')


def test_vread_has_last_modified(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert "Last-Modified" in fhir.get(f"Patient/{created['id']}/_history/1").headers


def test_an_unknown_version_is_404(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.get(f"Patient/{created['id']}/_history/9"), 404)


def test_a_version_that_is_no_number_is_404(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for version in ("x", "0", "01", "-1", "99999999999999999999999"):
        refused(fhir.get(f"Patient/{created['id']}/_history/{version}"), 404)


def test_the_version_that_deleted_is_410(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    refused(fhir.get(f"Patient/{created['id']}/_history/2"), 410)


def test_versions_before_a_deletion_stay_readable(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    assert fhir.get(f"Patient/{created['id']}/_history/1").json() == created


def test_head_works_on_a_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.head(f"Patient/{created['id']}/_history/1")
    assert (answer.status_code, answer.content) == (200, b"")


def test_if_none_match_on_a_version_is_304(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}/_history/1", headers={"If-None-Match": 'W/"1"'})
    assert answer.status_code == 304
