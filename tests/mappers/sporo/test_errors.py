"""Bad input on every route: the vendor's form, ``{"detail": "..."}``, with the right status, and never a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.files.building import wav
from tests.mappers.sporo.conftest import new_key

P = "/api/v1/pcr"
ID = "0123456789abcdef01234567"
ROUTES = [
    ("POST", f"{P}/upload/"),
    ("POST", f"{P}/upload/text/"),
    ("POST", f"{P}/icd10/text"),
    ("GET", f"{P}/icd10/{ID}"),
    ("GET", f"{P}/templates/community"),
    ("POST", f"{P}/audio/notes"),
    ("GET", f"{P}/audio/notes/{ID}"),
    ("GET", f"{P}/{ID}"),
]
BOTH = [(method, each) for method, path in ROUTES for each in (path.rstrip("/"), path.rstrip("/") + "/")]
JSON_ROUTES = [(f"{P}/upload/text/", "user_input"), (f"{P}/icd10/text", "text")]


def refused(response: httpx.Response, *statuses: int) -> str:
    assert response.status_code in statuses, response.text[:500]
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"detail"}
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return str(body["detail"])


@pytest.fixture(scope="module")
def inactive(sporo_server: Server) -> str:
    return new_key(sporo_server, "--dialect", "sporo", "--inactive")


@pytest.fixture(scope="module")
def foreign(sporo_server: Server) -> str:
    return new_key(sporo_server, "--dialect", "healthsage")


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_without_a_key(sporo_server: Server, method: str, path: str) -> None:
    response = httpx.request(method, sporo_server.root + path)
    assert refused(response, 401) == "Invalid or missing API key"


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("key", ["", "wrong", "fsk_000000000000_wrong", "x" * 5000])
def test_with_a_wrong_key(sporo_server: Server, method: str, path: str, key: str) -> None:
    response = httpx.request(method, sporo_server.root + path, headers={"X-API-KEY": key})
    assert refused(response, 401) == "Invalid or missing API key"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_with_an_inactive_key_or_another_apis(
    sporo_server: Server, inactive: str, foreign: str, method: str, path: str
) -> None:
    url = sporo_server.root + path
    assert refused(httpx.request(method, url, headers={"X-API-KEY": inactive}), 401) == "Invalid or missing API key"
    refused(httpx.request(method, url, headers={"X-API-KEY": foreign}), 403)


@pytest.mark.parametrize(("path", "name"), [(f"{P}/icd10", "job"), (f"{P}/audio/notes", "job"), (P, "upload")])
@pytest.mark.parametrize("slash", ["", "/"])
def test_ids(vendor: httpx.Client, path: str, name: str, slash: str) -> None:
    assert refused(vendor.get(f"{path}/{ID}{slash}"), 404) == f"No {name} found for the given ID"
    for bad in ("zz", "123", "g" * 24, ID + "0", "a" * 5000, "%00", "..%2e", "ü"):
        refused(vendor.get(f"{path}/{bad}{slash}"), 400)
    assert refused(vendor.get(f"{path}/xyz{slash}"), 400) == f"Invalid {name}_id format"


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_wrong_methods(vendor: httpx.Client, method: str, path: str) -> None:
    for wrong in {"GET", "POST", "PUT", "DELETE", "PATCH"} - {method}:
        response = vendor.request(wrong, path)
        refused(response, 405)
        assert method in response.headers["allow"]


@pytest.mark.parametrize("path", [f"{P}/x/y", f"{P}/upload/text/x", f"{P}/templates", f"{P}/templates/x", f"{P}//", P])
def test_unknown_paths(vendor: httpx.Client, path: str) -> None:
    refused(vendor.get(path), 404, 400)


@pytest.mark.parametrize(("path", "field"), JSON_ROUTES)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"not json", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'"x"', 422),
        (b"{}", 422),
        (b'{"FIELD": null}', 422),
        (b'{"FIELD": 5}', 422),
        (b'{"FIELD": ["x"]}', 422),
        (b'{"FIELD": ""}', 400),
        (b'{"FIELD": "  "}', 400),
        (b'{"FIELD": "x", "webhook_url": 5}', 422),
        (b'{"FIELD": "x", "webhook_url": "not a url"}', 422),
        (b'{"FIELD": "x", "webhook_url": "ftp://example.org/"}', 422),
        (b'{"FIELD": "x", "webhook_url": "https://x\\ny/"}', 422),
        (b'{"FIELD": NaN}', 422),
        (b"\xff\xfe\xfd", 422),
        (b"[" * 100_000, 422),
        (b'{"FIELD": "' + b"x" * 600_000 + b'"}', 413),
    ],
)
def test_bad_json(vendor: httpx.Client, path: str, field: str, body: bytes, status: int) -> None:
    content = body.replace(b"FIELD", field.encode())
    refused(vendor.post(path, content=content, headers={"Content-Type": "application/json"}), status)


@pytest.mark.parametrize(("path", "field"), JSON_ROUTES)
@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "rubbish"])
def test_wrong_content_type_for_json(vendor: httpx.Client, path: str, field: str, media: str) -> None:
    refused(vendor.post(path, content=json.dumps({field: "x"}), headers={"Content-Type": media}), 415)


def test_extra_information_of_a_wrong_type(vendor: httpx.Client) -> None:
    refused(vendor.post(f"{P}/upload/text", json={"user_input": "x", "extra_information": {"a": 1}}), 422)


@pytest.mark.parametrize("path", [f"{P}/upload/", f"{P}/audio/notes"])
@pytest.mark.parametrize(
    ("media", "content", "statuses"),
    [
        ("application/json", b"{}", (415,)),
        ("application/x-www-form-urlencoded", b"files=x", (415,)),
        ("multipart/form-data", b"x", (400,)),
        ("multipart/form-data; boundary=x", b"rubbish", (400,)),
        ("multipart/form-data; boundary=x", b"", (400,)),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=files", (400,)),
        ("multipart/form-data; boundary=x", b"--x--\r\n", (400, 422)),
    ],
)
def test_bad_forms(vendor: httpx.Client, path: str, media: str, content: bytes, statuses: tuple[int, ...]) -> None:
    refused(vendor.post(path, content=content, headers={"Content-Type": media}), *statuses)


def upload(vendor: httpx.Client, files: list[tuple[str, Any]], data: Any = None) -> httpx.Response:
    return vendor.post(f"{P}/upload/", files=files, data=data or {})


def test_an_upload_without_files(vendor: httpx.Client) -> None:
    response = vendor.post(f"{P}/upload/", data={"a": "b"}, files={"x": (None, "text")})
    refused(response, 400)


def test_an_empty_file(vendor: httpx.Client) -> None:
    assert refused(upload(vendor, [("files", ("a.txt", b""))]), 400) == "The file is empty."


def test_an_upload_with_a_bad_webhook(vendor: httpx.Client) -> None:
    refused(upload(vendor, [("files", ("a.txt", b"x"))], {"webhook_url": "nonsense"}), 422)


def test_ten_thousand_fields(vendor: httpx.Client) -> None:
    refused(upload(vendor, [("files", ("a.txt", b"x"))], {f"f{n}": "x" for n in range(10_000)}), 400)


def test_a_field_that_is_too_large(vendor: httpx.Client) -> None:
    refused(upload(vendor, [("files", ("a.txt", b"x"))], {"f": "x" * 3_000_000}), 413)


def test_a_request_that_is_too_large_is_refused_before_it_is_read(sporo_server: Server, vendor_key: str) -> None:
    import socket
    from urllib.parse import urlsplit

    where = urlsplit(sporo_server.root)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        head = f"POST {P}/upload/ HTTP/1.1\r\nHost: x\r\nX-API-KEY: {vendor_key}\r\nContent-Length: 999999999999\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
        answer = b""
        while b"}" not in answer and (more := connection.recv(65_536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'{"detail":"' in answer


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..\\..\\x.txt", "\u202egpj.exe", "x" * 4000 + ".txt", "a;b&c|d`e`.txt", "<script>.txt"],
)
def test_hostile_file_names_are_made_harmless(vendor: httpx.Client, fhir: httpx.Client, name: str) -> None:
    response = upload(vendor, [("files", (name, b"Patient has hypertension."))])
    assert response.status_code == 200, response.text
    task = fhir.get(f"Task/{response.json()['upload_id']}").json()
    document = fhir.get(task["input"][0]["valueReference"]["reference"]).json()
    title = document["content"][0]["attachment"]["title"]
    assert "/" not in title
    assert "\\" not in title
    assert "\u202e" not in title
    assert len(title) <= 200


def test_a_file_name_with_line_breaks(vendor: httpx.Client) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a%0d%0aSet-Cookie: x"\r\n\r\n'
    body = head + b"hello\r\n--x--\r\n"
    response = vendor.post(f"{P}/upload/", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code == 200
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "query",
    ["skip=-1", "limit=0", "limit=101", "limit=x", "skip=1.5", "limit=", "limit=99999999999999999999", "skip=%00"],
)
def test_bad_paging(vendor: httpx.Client, query: str) -> None:
    refused(vendor.get(f"{P}/templates/community?{query}"), 422)


GENERAL = "66eb0bfe20db7d898c8e5c4e"


@pytest.mark.parametrize(
    ("files", "data", "status"),
    [
        ({}, {"template_id": GENERAL}, 422),
        ({"file": ("a.wav", wav())}, {}, 422),
        ({"file": ("a.wav", wav())}, {"template_id": ""}, 422),
        ({"file": ("a.wav", wav())}, {"template_id": "zz"}, 400),
        ({"file": ("a.wav", wav())}, {"template_id": "0" * 24}, 404),
        ({"file": ("a.wav", b"")}, {"template_id": GENERAL}, 400),
        ({"file": ("a.wav", b"These are just words.")}, {"template_id": GENERAL}, 400),
        ({"file": ("a.wav", wav())}, {"template_id": GENERAL, "webhook_url": "x"}, 422),
    ],
)
def test_bad_recordings(vendor: httpx.Client, files: Any, data: Any, status: int) -> None:
    response = vendor.post(f"{P}/audio/notes", files=files or {"x": (None, "y")}, data=data)
    refused(response, status)


@pytest.mark.parametrize(
    "metadata",
    [{"\ud800": "\udfff"}, {"a": "\u0000\u001b"}, {"": ""}, {"x" * 5000: 1}, {"n": 10**400}, {"d": [[[[[[]]]]]]}],
)
def test_odd_metadata_come_back_as_they_were(vendor: httpx.Client, metadata: Any) -> None:
    body = json.dumps({"text": "hypertension", "user_input": "Patient has hypertension."} | metadata)
    response = vendor.post(f"{P}/upload/text", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 503)
    if response.status_code == 200:
        assert {name: response.json()["metadata"][name] for name in metadata} == metadata


def test_text_with_control_characters_is_coded(vendor: httpx.Client) -> None:
    response = vendor.post(
        f"{P}/icd10/text", json={"text": "hyper\u0000tension \ud800 \u001b[31m".encode("utf-8", "replace").decode()}
    )
    assert response.status_code == 202
    response = vendor.post(
        f"{P}/icd10/text",
        content=b'{"text": "\\ud800 \\u0000 hypertension"}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 202
