"""Keys, health and metrics over HTTP, on a real server."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server

COMMAND = str(Path(sys.executable).parent / "fhir-server")


def run(server: Server, *arguments: str) -> str:
    if server.data_dir is None:
        pytest.skip("keys can only be made for a server of our own")
    return subprocess.run(
        [COMMAND, *arguments, "--data-dir", str(server.data_dir)], capture_output=True, text=True, check=True
    ).stdout


def new_key(server: Server, *arguments: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(run(server, "keys", "create", "--name", "test", "--json", *arguments))
    return found


def bearer(key: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer fsk_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
        {"X-API-Key": "wrong"},
    ],
)
@pytest.mark.parametrize("path", ["Patient", "Patient/1", "", "_history"])
def test_without_a_key_the_answer_is_401_with_a_challenge_and_an_outcome(
    server: Server, headers: dict[str, str], path: str
) -> None:
    answer = httpx.get(f"{server.base}/{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_without_the_right_scope_the_answer_is_403(server: Server) -> None:
    key = new_key(server, "--scope", "system/Patient.rs")
    assert httpx.get(f"{server.base}/Patient", headers=bearer(key)).status_code == 200
    for method, path in (("GET", "Observation"), ("DELETE", "Patient/1"), ("GET", "Observation/1")):
        answer = httpx.request(method, f"{server.base}/{path}", headers=bearer(key))
        assert answer.status_code == 403, path
        assert answer.json()["issue"][0]["code"] == "forbidden"
    answer = httpx.post(
        f"{server.base}/Patient",
        json={"resourceType": "Patient"},
        headers={**bearer(key), "Content-Type": "application/fhir+json"},
    )
    assert answer.status_code == 403


def test_another_dialects_key_may_do_nothing_on_fhir(server: Server) -> None:
    key = new_key(server, "--dialect", "healthsage")
    assert httpx.get(f"{server.base}/Patient", headers=bearer(key)).status_code == 403


def test_a_revoked_key_is_refused_at_once(server: Server) -> None:
    key = new_key(server)
    assert httpx.get(f"{server.base}/Patient", headers=bearer(key)).status_code == 200
    run(server, "keys", "revoke", key["id"])
    assert httpx.get(f"{server.base}/Patient", headers=bearer(key)).status_code == 401


def test_inactive_and_expired_keys_are_refused(server: Server) -> None:
    for arguments in (["--inactive"], ["--expires", "2020-01-01"]):
        answer = httpx.get(f"{server.base}/Patient", headers=bearer(new_key(server, *arguments)))
        assert answer.status_code == 401


def test_capabilities_need_no_key(server: Server) -> None:
    assert httpx.get(f"{server.base}/metadata").status_code == 200


def test_health_needs_no_key(server: Server) -> None:
    assert httpx.get(f"{server.root}/health/live").json() == {"status": "ok"}
    assert httpx.get(f"{server.root}/health/ready").json()["status"] == "ok"


def test_requests_show_in_the_metrics(server: Server) -> None:
    httpx.get(f"{server.base}/Patient", headers=server.headers)
    text = httpx.get(f"{server.root}/metrics").text
    assert re.search(r'^fhir_server_requests_total\{interaction="search",status="200"\} \d+$', text, re.MULTILINE)
    assert "fhir_server_request_seconds_bucket" in text
    assert "fhir_server_jobs{" in text


def test_a_request_id_comes_back(server: Server) -> None:
    for url in (f"{server.base}/metadata", f"{server.root}/health/live"):
        assert httpx.get(url, headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
        assert httpx.get(url).headers["x-request-id"]


def test_logs_name_the_interaction_and_the_key_and_nothing_of_the_patient(server: Server) -> None:
    if server.data_dir is None:
        pytest.skip("the logs of a foreign server are not here")
    key = new_key(server)
    httpx.get(f"{server.base}/Patient?family=Fakename", headers={**bearer(key), "X-Request-Id": "logged-1"})
    log = server.data_dir / "server.log"
    for _ in range(50):
        lines = [line for line in log.read_text().splitlines() if '"logged-1"' in line]
        if lines:
            break
        time.sleep(0.05)
    line = json.loads(lines[0])
    assert (line["method"], line["route"], line["status"], line["key"]) == ("GET", "/fhir/Patient", 200, key["id"])
    assert "Fakename" not in log.read_text()
    assert key["key"] not in log.read_text()
