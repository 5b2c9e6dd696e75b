"""patch: R4B 3.1.0.8.2 (JSON Patch); conditional patch."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.conformance.resources import create, patient, refused

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def patch(fhir: httpx.Client, path: str, *operations: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {**JSON_PATCH, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return fhir.patch(path, content=json.dumps(list(operations)), headers=sent)


def test_a_patch_changes_what_it_names(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = patch(fhir, f"Patient/{created['id']}", {"op": "replace", "path": "/gender", "value": "female"})
    assert answer.status_code == 200
    assert answer.json()["gender"] == "female"
    assert answer.headers["ETag"] == 'W/"2"'


def test_add_remove_move_copy_and_test(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "A"}], birthDate="1970-01-01"))
    answer = patch(
        fhir,
        f"Patient/{created['id']}",
        {"op": "test", "path": "/name/0/family", "value": "A"},
        {"op": "add", "path": "/name/-", "value": {"family": "B"}},
        {"op": "copy", "from": "/name/1/family", "path": "/name/0/text"},
        {"op": "move", "from": "/name/0", "path": "/name/1"},
        {"op": "remove", "path": "/birthDate"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == [{"family": "B"}, {"family": "A", "text": "B"}]
    assert "birthDate" not in answer.json()


def test_a_test_that_fails_changes_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = patch(
        fhir,
        f"Patient/{created['id']}",
        {"op": "replace", "path": "/gender", "value": "female"},
        {"op": "test", "path": "/gender", "value": "male"},
    )
    assert 400 <= answer.status_code < 500
    assert fhir.get(f"Patient/{created['id']}").json() == created


def test_a_patch_may_not_change_id_or_type(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for path, value in (("/id", "other"), ("/resourceType", "Group")):
        answer = patch(fhir, f"Patient/{created['id']}", {"op": "replace", "path": path, "value": value})
        assert answer.status_code in (400, 422), answer.text


def test_the_result_of_a_patch_is_validated(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = patch(fhir, f"Patient/{created['id']}", {"op": "add", "path": "/gender", "value": "zzz"})
    refused(answer, 422)
    assert fhir.get(f"Patient/{created['id']}").json() == created


def test_a_path_that_is_not_there_is_refused(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = patch(fhir, f"Patient/{created['id']}", {"op": "remove", "path": "/name/0"})
    assert answer.status_code in (400, 422)


def test_what_is_no_patch_is_400(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for body in (b"{", b"{}", b"[1]", b'[{"op":"fly","path":"/x"}]', b'[{"op":"add"}]'):
        answer = fhir.patch(f"Patient/{created['id']}", content=body, headers=JSON_PATCH)
        assert answer.status_code in (400, 422), body


def test_another_media_type_is_415(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.patch(f"Patient/{created['id']}", content=b"x", headers={"Content-Type": "text/plain"})
    refused(answer, 415)


def test_a_patch_of_an_unknown_id_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(patch(fhir, f"Patient/{mark}", {"op": "add", "path": "/gender", "value": "male"}), 404)


def test_if_match_with_an_old_version_is_412(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    change = {"op": "add", "path": "/gender", "value": "male"}
    assert patch(fhir, f"Patient/{created['id']}", change, If_Match='W/"1"').status_code == 200
    refused(patch(fhir, f"Patient/{created['id']}", change, If_Match='W/"1"'), 412)


def test_decimals_keep_their_digits_through_a_patch(fhir: httpx.Client, mark: str) -> None:
    body = (
        b'{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    )
    fhir.put(f"Observation/{mark}", content=body % mark.encode(), headers={"Content-Type": "application/fhir+json"})
    assert patch(fhir, f"Observation/{mark}", {"op": "replace", "path": "/code/text", "value": "y"}).status_code == 200
    assert b"1.50" in fhir.get(f"Observation/{mark}").content


def test_conditional_patch_changes_the_one_match(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = patch(fhir, f"Patient?identifier={mark}", {"op": "add", "path": "/gender", "value": "male"})
    assert answer.status_code == 200
    assert fhir.get(f"Patient/{created['id']}").json()["gender"] == "male"


def test_conditional_patch_without_match_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(patch(fhir, f"Patient?identifier={mark}", {"op": "add", "path": "/gender", "value": "male"}), 404)


def test_conditional_patch_with_several_matches_is_412(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    create(fhir, patient(mark))
    refused(patch(fhir, f"Patient?identifier={mark}", {"op": "add", "path": "/gender", "value": "male"}), 412)
