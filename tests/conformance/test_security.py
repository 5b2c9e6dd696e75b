"""Keys: R4B 6.1 (security); 401 and 403 of 3.1.0.1.5."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conformance.resources import create, entry, found, observation, patient, refused, transaction
from tests.conftest import Server


@pytest.fixture(autouse=True)
def _needs_keys(server: Server) -> None:
    if not server.key:
        pytest.skip("the server under test asks for no key")


def test_without_a_key_it_is_401_and_says_how(server: Server) -> None:
    answer = httpx.get(f"{server.base}/Patient")
    refused(answer, 401, "login")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_key_is_401(server: Server) -> None:
    refused(httpx.get(f"{server.base}/Patient", headers={"Authorization": "Bearer nonsense"}), 401)


def test_another_scheme_is_401(server: Server) -> None:
    refused(httpx.get(f"{server.base}/Patient", headers={"Authorization": "Basic YTpi"}), 401)


def test_a_write_without_a_key_is_401_whatever_the_body(server: Server, mark: str) -> None:
    refused(httpx.post(f"{server.base}/Patient", json=patient(mark)), 401)
    refused(httpx.post(f"{server.base}/Patient", content=b"{"), 401)


def test_an_address_that_is_none_without_a_key_is_401(server: Server) -> None:
    assert httpx.get(f"{server.base}/Patient/$nonsense").status_code == 401


def test_the_capability_statement_needs_no_key(server: Server) -> None:
    assert httpx.get(f"{server.base}/metadata").status_code == 200


def narrow(server: Server, *options: str) -> httpx.Client:
    """A client with a new key that may do less."""
    if server.data_dir is None:
        pytest.skip("keys can only be made where the server's data directory is")
    command = str(Path(sys.executable).parent / "fhir-server")
    made = subprocess.run(
        [command, "keys", "create", "--name", "narrow", "--json", "--data-dir", str(server.data_dir), *options],
        capture_output=True,
        text=True,
        check=True,
    )
    key = next(value for value in json.loads(made.stdout).values() if str(value).startswith("fsk_"))
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/fhir+json"}
    return httpx.Client(base_url=server.base + "/", headers=headers, timeout=30)


def test_a_key_may_do_what_its_scopes_say_and_nothing_else(fhir: httpx.Client, server: Server, mark: str) -> None:
    who, seen = create(fhir, patient(mark)), create(fhir, observation(mark))
    with narrow(server, "--scope", "system/Patient.rs") as client:
        assert client.get(f"Patient/{who['id']}").status_code == 200
        assert found(client, "Patient", {"identifier": mark}) == [who["id"]]
        refused(client.get(f"Observation/{seen['id']}"), 403, "forbidden")
        refused(client.get("Observation"), 403)
        refused(client.post("Patient", json=patient(mark)), 403)
        refused(client.put(f"Patient/{who['id']}", json=who), 403)
        refused(client.delete(f"Patient/{who['id']}"), 403)
        refused(client.get(f"Observation/{seen['id']}/_history"), 403)
        refused(client.post("", json=transaction(entry("POST", "Patient", patient(mark)))), 403)
        refused(client.post("Observation/_search", data={"identifier": mark}), 403)


def test_a_narrow_key_learns_nothing_through_includes_and_chains(fhir: httpx.Client, server: Server, mark: str) -> None:
    who = create(fhir, patient(mark))
    subject = {"subject": {"reference": f"Patient/{who['id']}"}}
    seen = create(fhir, observation(mark, **subject))
    with narrow(server, "--scope", "system/Observation.rs") as client:
        bundle = client.get("Observation", params={"_id": seen["id"], "_include": "Observation:subject"}).json()
        assert "Patient" not in [each["resource"]["resourceType"] for each in bundle.get("entry", [])]
        chained = client.get("Observation", params={"patient.identifier": mark})
        assert chained.status_code == 403 or not [
            each for each in chained.json().get("entry", []) if each["resource"]["resourceType"] == "Observation"
        ]
        everywhere = client.get("", params={"_id": who["id"]})
        assert everywhere.status_code == 403 or "Patient" not in [
            each["resource"]["resourceType"] for each in everywhere.json().get("entry", [])
        ]
        refused(client.get(f"Patient/{who['id']}/$everything"), 403)
        listed = client.get("_history", params={"_count": "1000"})
        assert listed.status_code == 403 or mark not in "".join(
            str(each.get("resource")) for each in listed.json()["entry"] if "/Patient/" in each["fullUrl"]
        )


def test_a_patients_key_sees_only_that_compartment(fhir: httpx.Client, server: Server, mark: str) -> None:
    mine, other = create(fhir, patient(mark)), create(fhir, patient(mark))
    seen = create(fhir, observation(mark, subject={"reference": f"Patient/{mine['id']}"}))
    hidden = create(fhir, observation(mark, subject={"reference": f"Patient/{other['id']}"}))
    with narrow(server, "--subject", f"Patient/{mine['id']}", "--scope", "system/*.rs") as client:
        assert client.get(f"Observation/{seen['id']}").status_code == 200
        assert client.get(f"Observation/{hidden['id']}").status_code in (403, 404)
        assert client.get(f"Patient/{other['id']}").status_code in (403, 404)
        assert found(client, "Observation", {"identifier": mark}) == [seen["id"]]
        assert found(client, "Patient", {"identifier": mark}) == [mine["id"]]
        assert client.get(f"Observation/{hidden['id']}/_history").status_code in (403, 404)
        assert client.get(f"Observation/{hidden['id']}/_history/1").status_code in (403, 404)


def test_an_expired_key_is_401(server: Server) -> None:
    with narrow(server, "--expires", "2020-01-01") as client:
        refused(client.get("Patient"), 401)
