"""What holds for every interaction: formats, methods, errors, compression, CORS. R4B 3.1.0.1."""

from __future__ import annotations

import gzip
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conformance.resources import create, dumps, patient, refused
from tests.conftest import Server


@pytest.mark.parametrize("accept", ["application/json", "application/fhir+json", "*/*", "application/*"])
def test_json_is_given_to_who_accepts_it(fhir: httpx.Client, mark: str, accept: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] in ("application/json", "application/fhir+json")


def test_qualities_of_accept_count(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", headers={"Accept": "text/html;q=0.9, application/json;q=0.2"})
    assert answer.headers["Content-Type"].startswith("application/json")


def test_an_accept_that_cannot_be_met_is_406(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.get(f"Patient/{created['id']}", headers={"Accept": "image/png"}), 406)


@pytest.mark.parametrize("name", ["json", "application/json", "application/fhir+json"])
def test_format_wins_over_accept(fhir: httpx.Client, mark: str, name: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", params={"_format": name}, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert answer.json()["id"] == created["id"]


def test_a_format_that_is_none_is_406(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.get(f"Patient/{created['id']}", params={"_format": "nonsense"}), 406)


@pytest.mark.parametrize("version", ["4.3", "4.0"])
def test_the_fhir_version_asked_for_is_named_in_the_answer(fhir: httpx.Client, mark: str, version: str) -> None:
    created = create(fhir, patient(mark))
    accept = f"application/fhir+json; fhirVersion={version}"
    answer = fhir.get(f"Patient/{created['id']}", headers={"Accept": accept})
    assert f"fhirVersion={version}" in answer.headers["Content-Type"].replace(" ", "")


def test_a_fhir_version_not_spoken_is_406(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    accept = {"Accept": "application/fhir+json; fhirVersion=5.0"}
    refused(fhir.get(f"Patient/{created['id']}", headers=accept), 406)


def test_a_body_in_a_fhir_version_not_spoken_is_415(fhir: httpx.Client, mark: str) -> None:
    content_type = {"Content-Type": "application/fhir+json; fhirVersion=1.0"}
    refused(fhir.post("Patient", content=dumps(patient(mark)), headers=content_type), 415)


def test_a_body_in_plain_json_is_taken(fhir: httpx.Client, mark: str) -> None:
    content_type = {"Content-Type": "application/json;charset=UTF-8"}
    assert fhir.post("Patient", content=dumps(patient(mark)), headers=content_type).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "Patient/1"),
        ("DELETE", "metadata"),
        ("PUT", "_history"),
        ("DELETE", "Patient/1/_history/1"),
        ("GET", "Patient/_search"),
    ],
)
def test_the_wrong_method_is_405_with_allow(fhir: httpx.Client, method: str, path: str) -> None:
    answer = fhir.request(method, path)
    if (method, path) == ("GET", "Patient/_search") and answer.status_code == 200:
        return
    refused(answer, 405)
    assert "OPTIONS" in answer.headers["Allow"]


def test_a_method_that_fhir_has_no_use_for_is_405(fhir: httpx.Client) -> None:
    refused(fhir.request("PROPFIND", "Patient"), 405)


@pytest.mark.parametrize(
    "path", ["nonsense", "Patient/1/nonsense", "Patient/1/_history/1/2", "$nonsense", "Patient/$nonsense"]
)
def test_an_address_that_is_none_is_404(fhir: httpx.Client, path: str) -> None:
    refused(fhir.get(path), 404)


@pytest.mark.parametrize(
    "path", ["Patient?name=%", "Patient?name=%zz", "Patient?name=%c3%28", "Patient/%ff", "%00", "Patient?%"]
)
def test_bad_percent_encoding_is_a_clients_error(server: Server, path: str) -> None:
    status = raw_status(server, f"GET {urlsplit(server.base).path}/{path} HTTP/1.1")
    assert 400 <= status < 500


def test_a_huge_url_is_a_clients_error(fhir: httpx.Client) -> None:
    try:
        answer = fhir.get("Patient?name=" + "a" * 60_000)
    except httpx.TransportError:
        return
    assert 400 <= answer.status_code < 500


def test_ten_thousand_parameters_are_a_clients_error(fhir: httpx.Client) -> None:
    answer = fhir.get("Patient?" + "&".join(["a=1"] * 10_000))
    assert 400 <= answer.status_code < 500


def raw_status(server: Server, request_line: str) -> int:
    address = urlsplit(server.base)
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        lines = [request_line, f"Host: {address.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in server.headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return int(connection.recv(4096).split(b" ")[1])


def test_a_request_id_of_the_client_comes_back(fhir: httpx.Client) -> None:
    assert fhir.get("metadata", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"


def test_without_one_the_server_makes_a_request_id(fhir: httpx.Client, mark: str) -> None:
    first, second = (fhir.get(f"Patient/{mark}").headers["X-Request-Id"] for _ in range(2))
    assert first
    assert first != second


def test_large_answers_are_compressed_when_accepted(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "a" * 50_000}]))
    zipped = fhir.get(f"Patient/{created['id']}", headers={"Accept-Encoding": "gzip"})
    plain = fhir.get(f"Patient/{created['id']}", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert zipped.json() == plain.json()
    assert int(zipped.headers["Content-Length"]) < 5_000


def test_gzip_refused_by_quality_is_not_used(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "a" * 50_000}]))
    answer = fhir.get(f"Patient/{created['id']}", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in answer.headers


def test_a_compressed_body_is_taken(fhir: httpx.Client, mark: str) -> None:
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}
    assert fhir.post("Patient", content=gzip.compress(dumps(patient(mark))), headers=headers).status_code == 201


def test_a_body_with_an_unknown_encoding_is_415(fhir: httpx.Client, mark: str) -> None:
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": "br"}
    refused(fhir.post("Patient", content=dumps(patient(mark)), headers=headers), 415)


def test_a_broken_compressed_body_is_400(fhir: httpx.Client, mark: str) -> None:
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}
    refused(fhir.post("Patient", content=b"not gzip", headers=headers), 400)


def test_a_compression_bomb_is_413(fhir: httpx.Client) -> None:
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * 600_000_000, 9)
    refused(fhir.post("Patient", content=bomb, headers=headers), 413)


def test_a_body_announced_as_too_large_is_413(server: Server) -> None:
    address = urlsplit(server.base)
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        lines = [f"POST {address.path}/Patient HTTP/1.1", f"Host: {address.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in server.headers.items()]
        lines += ["Content-Type: application/fhir+json", "Content-Length: 99999999999"]
        connection.sendall("\r\n".join([*lines, "", "{"]).encode("latin-1"))
        assert int(connection.recv(4096).split(b" ")[1]) == 413


def test_options_needs_no_key_and_names_the_methods(fhir: httpx.Client, server: Server) -> None:
    asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "PUT"}
    answer = httpx.options(f"{server.base}/Patient/1", headers=asked)
    assert answer.status_code in (200, 204)
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()


def test_a_browser_may_read_the_fhir_headers(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", headers={"Origin": "https://app.example.org"})
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example.org")
    exposed = answer.headers["Access-Control-Expose-Headers"].lower()
    assert "etag" in exposed
    assert "location" in exposed


def test_a_preflight_allows_an_origin_once(fhir: httpx.Client) -> None:
    """A browser refuses an answer whose Access-Control-Allow-Origin is given twice."""
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    answer = fhir.options("Patient", headers=asked)
    assert answer.status_code in (200, 204)
    assert answer.headers.get_list("Access-Control-Allow-Origin", split_commas=True) == ["*"]
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]


def test_errors_too_carry_cors_headers(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.get(f"Patient/{mark}", headers={"Origin": "https://app.example.org"})
    assert "Access-Control-Allow-Origin" in answer.headers


def test_an_unknown_prefer_is_refused_only_under_strict(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    path = f"Patient/{created['id']}"
    assert fhir.get(path, headers={"Prefer": "nonsense=1"}).status_code == 200
    refused(fhir.get(path, headers={"Prefer": "nonsense=1, handling=strict"}), 400)


def test_a_trailing_slash_means_the_same(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.get(f"Patient/{created['id']}/").status_code == 200


def test_an_error_is_json_even_when_html_is_asked_for(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.get(f"Patient/{mark}", headers={"Accept": "text/html"})
    assert json.loads(answer.content)["resourceType"] == "OperationOutcome"


def test_the_base_is_found_with_and_without_a_slash(server: Server) -> None:
    bundle = {"resourceType": "Bundle", "type": "batch"}
    for url in (server.base, server.base + "/"):
        assert httpx.post(url, json=bundle, headers=server.headers).status_code == 200, url
        assert httpx.get(url, params={"_type": "Patient"}, headers=server.headers).status_code == 200, url
