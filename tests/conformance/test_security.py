"""Keys: R4B 6.1 (security); 401 and 403 of 3.1.0.1.5."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import patient, refused
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
