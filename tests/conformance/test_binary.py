"""Binary: R4B Binary, RESTful interactions: content or resource."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.conformance.resources import create

CONTENT = bytes(range(256)) * 10


@pytest.fixture(scope="module")
def stored(fhir: httpx.Client) -> str:
    data = base64.b64encode(CONTENT).decode()
    return str(create(fhir, {"resourceType": "Binary", "contentType": "image/png", "data": data})["id"])


def test_asked_for_fhir_it_is_a_resource(fhir: httpx.Client, stored: str) -> None:
    answer = fhir.get(f"Binary/{stored}")
    assert base64.b64decode(answer.json()["data"]) == CONTENT


@pytest.mark.parametrize("accept", ["image/png", "*/*", "image/*, */*;q=0.5"])
def test_otherwise_it_is_the_content(fhir: httpx.Client, stored: str, accept: str) -> None:
    answer = fhir.get(f"Binary/{stored}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content == CONTENT
    assert answer.headers["ETag"] == 'W/"1"'


def test_content_is_not_for_a_browser_to_guess_at(fhir: httpx.Client, stored: str) -> None:
    answer = fhir.get(f"Binary/{stored}", headers={"Accept": "*/*"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_the_format_parameter_asks_for_the_resource(fhir: httpx.Client, stored: str) -> None:
    answer = fhir.get(f"Binary/{stored}", params={"_format": "json"}, headers={"Accept": "*/*"})
    assert answer.json()["resourceType"] == "Binary"


def test_posted_content_becomes_a_binary(fhir: httpx.Client) -> None:
    answer = fhir.post("Binary", content=CONTENT, headers={"Content-Type": "application/pdf"})
    assert answer.status_code == 201, answer.text
    back = fhir.get(answer.headers["Location"], headers={"Accept": "application/pdf"})
    assert back.content == CONTENT
    assert back.headers["Content-Type"] == "application/pdf"


def test_put_content_replaces_a_binary(fhir: httpx.Client, mark: str) -> None:
    for content in (b"one", b"two"):
        answer = fhir.put(f"Binary/{mark}", content=content, headers={"Content-Type": "text/plain"})
        assert answer.status_code in (200, 201), answer.text
    assert fhir.get(f"Binary/{mark}", headers={"Accept": "text/plain"}).content == b"two"


def test_json_content_that_is_no_resource_is_kept_as_content(fhir: httpx.Client) -> None:
    answer = fhir.post("Binary", content=b'{"a": 1}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert fhir.get(answer.headers["Location"], headers={"Accept": "application/json"}).content == b'{"a": 1}'


def test_large_content_survives(fhir: httpx.Client) -> None:
    content = CONTENT * 1000
    answer = fhir.post("Binary", content=content, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 201, answer.text
    where = answer.headers["Location"]
    assert fhir.get(where, headers={"Accept": "*/*"}).content == content
    assert base64.b64decode(json.loads(fhir.get(where).content)["data"]) == content


def test_a_security_context_is_kept(fhir: httpx.Client) -> None:
    headers = {"Content-Type": "text/plain", "X-Security-Context": "Patient/1"}
    answer = fhir.post("Binary", content=b"x", headers=headers)
    assert fhir.get(answer.headers["Location"]).json()["securityContext"] == {"reference": "Patient/1"}
