"""The routes over a hub in memory: forms of errors, keys, limits. What the whole server does is in test_http.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fhir_server.dialects import Dialect, DialectContext, install
from fhir_server.jobs.book import JobBook
from fhir_server.jobs.counters import BufferedCounters
from fhir_server.jobs.names import Names
from fhir_server.jobs.runtime import Runtime
from fhir_server.r4b.outcome import Forbidden
from fhir_server.security.caller import Caller
from mappers.healthsage import dialect
from tests.jobs.memory_hub import MemoryHub

NOTE = {"note": "History of hypertension.", "specialty": "Cardiology", "letter_date": "2025-03-15"}
ID = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"


class FakeKeys:
    def __init__(self) -> None:
        self.callers = {
            "good": Caller("k1", "good", "healthsage", token_limit=1000),
            "other": Caller("k2", "other", "healthsage"),
            "fhir": Caller("k3", "fhir", "fhir", {"*": "cruds"}),
            "reader": Caller("k4", "reader", "fhir", {"*": "rs"}),
            "sporo": Caller("k5", "sporo", "sporo"),
        }

    async def authenticate(self, secret: str) -> Caller | None:
        if secret == "inactive":
            raise Forbidden("This key is not active or has expired.")
        return self.callers.get(secret)


@dataclass
class Site:
    client: TestClient
    hub: MemoryHub
    keys: FakeKeys
    dialect: Dialect

    def post(self, body: Any = NOTE, key: str = "good") -> Any:
        return self.client.post("/generate", json=body, headers={"X-API-Key": key})

    def get(self, path: str, key: str = "good", **params: str) -> Any:
        return self.client.get(path, headers={"X-API-Key": key}, params=params)

    def work(self, task_id: str) -> None:
        runtime = Runtime(
            hub=self.hub,  # type: ignore[arg-type]
            runners=self.dialect.runners,
            names=Names(self.hub.base_url),
            settings=SimpleNamespace(engine="rules"),
            worker="w",
        )
        assert asyncio.run(runtime.run(task_id))


@pytest.fixture
def site() -> Iterator[Site]:
    hub, keys, app, speaks = MemoryHub(), FakeKeys(), FastAPI(), dialect
    context = DialectContext(
        hub=hub,  # type: ignore[arg-type]
        keys=keys,
        settings=SimpleNamespace(auth="keys"),
        jobs=JobBook(hub, speaks.runners),  # type: ignore[arg-type]
        counters=BufferedCounters(hub.store),  # type: ignore[arg-type]
        clock=lambda: datetime(2025, 6, 1, tzinfo=UTC),
        names=Names(hub.base_url),
    )
    install(app, [speaks], context)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Site(client, hub, keys, speaks)


def refused(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"detail"}
    assert isinstance(body["detail"], str)
    return body["detail"]  # type: ignore[no-any-return]


ROUTES = [("POST", "/generate"), ("GET", f"/tasks/{ID}"), ("GET", f"/tasks/fhir/{ID}"), ("GET", "/auth/usage")]


def test_a_note_is_accepted_and_is_pending(site: Site) -> None:
    response = site.post()
    assert response.status_code == 202
    assert response.json().keys() == {"task_id", "status"}
    assert response.json()["status"] == "PENDING"
    shown = site.get(f"/tasks/{response.json()['task_id']}").json()
    assert shown == {
        "task_id": response.json()["task_id"],
        "status": "PENDING",
        "letter_date": "2025-03-15",
        "patient_dob": None,
        "json_data": None,
        "usage": None,
    }


def test_a_pending_bundle_is_202(site: Site) -> None:
    task_id = site.post().json()["task_id"]
    response = site.get(f"/tasks/fhir/{task_id}")
    assert response.status_code == 202
    assert response.json() == {"task_id": task_id, "status": "PENDING"}


def test_a_failed_task_has_no_bundle(site: Site) -> None:
    task_id = site.post().json()["task_id"]
    task = site.hub.current["Task", task_id]
    assert task is not None
    asyncio.run(site.hub.save(None, task | {"status": "failed", "statusReason": {"text": "It broke."}}))
    assert refused(site.get(f"/tasks/fhir/{task_id}"), 400) == "It broke."
    assert site.get(f"/tasks/{task_id}").json()["status"] == "FAILURE"


def test_the_letter_is_of_today_when_it_has_no_date(site: Site) -> None:
    task_id = site.post({"note": "Gout.", "specialty": "General Medicine", "patient_dob": "1960-02-29"}).json()[
        "task_id"
    ]
    shown = site.get(f"/tasks/{task_id}").json()
    assert (shown["letter_date"], shown["patient_dob"]) == ("2025-06-01", "1960-02-29")


def test_nulls_are_like_nothing(site: Site) -> None:
    assert site.post(NOTE | {"letter_date": None, "patient_dob": None}).status_code == 202


def test_a_note_of_1500_characters_is_accepted_and_one_more_is_not(site: Site) -> None:
    assert site.post(NOTE | {"note": "\U0001f600" * 1500}).status_code == 202
    assert "1500" in refused(site.post(NOTE | {"note": "a" * 1501}), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"note": None},
        {"note": ""},
        {"note": " \n"},
        {"note": 7},
        {"note": ["a"]},
        {"specialty": None},
        {"specialty": ""},
        {"specialty": 3},
        {"letter_date": "15/03/2025"},
        {"letter_date": "2025-02-30"},
        {"letter_date": "2025-3-5"},
        {"letter_date": "2025-03-15T00:00:00"},
        {"letter_date": 1742000000},
        {"letter_date": "1742000000"},
        {"letter_date": "٢٠٢٥-٠٣-١٥"},
        {"letter_date": ""},
        {"patient_dob": "yesterday"},
        {"patient_dob": True},
    ],
)
def test_bad_input_is_400_with_one_sentence(site: Site, change: dict[str, Any]) -> None:
    detail = refused(site.post(NOTE | change), 400)
    assert next(iter(change)) in detail


@pytest.mark.parametrize("missing", ["note", "specialty"])
def test_a_missing_field_is_400(site: Site, missing: str) -> None:
    assert missing in refused(site.post({name: value for name, value in NOTE.items() if name != missing}), 400)


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"note": "\\ud800", "specialty": "x"}', b"[" * 9999],
)
def test_a_body_that_is_no_such_json_is_400(site: Site, body: bytes) -> None:
    headers = {"X-API-Key": "good", "Content-Type": "application/json"}
    refused(site.client.post("/generate", content=body, headers=headers), 400)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_a_wrong_content_type_is_400(site: Site, media: str) -> None:
    headers = {"X-API-Key": "good", "Content-Type": media}
    refused(site.client.post("/generate", content=b"{}", headers=headers), 400)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_key_401(site: Site, method: str, path: str) -> None:
    refused(site.client.request(method, path, content=b"not json"), 401)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_with_a_wrong_key_401(site: Site, method: str, path: str) -> None:
    refused(site.client.request(method, path, headers={"X-API-Key": "wrong"}), 401)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("key", ["inactive", "sporo", "reader"])
def test_with_a_key_that_may_not_403(site: Site, method: str, path: str, key: str) -> None:
    refused(site.client.request(method, path, headers={"X-API-Key": key}), 403)


@pytest.mark.parametrize(
    "path",
    [f"/tasks/{ID}", f"/tasks/fhir/{ID}", "/tasks/zzz", "/tasks/fhir/zzz", "/tasks/fhir", "/tasks/a%2Fb", "/tasks/%00"],
)
def test_an_unknown_or_malformed_id_is_404(site: Site, path: str) -> None:
    refused(site.get(path), 404)


@pytest.mark.parametrize("path", ["/tasks", "/tasks/", "/generate/more", "/auth/usage/x", "/tasks/a/b/c"])
def test_an_unknown_path_is_404(site: Site, path: str) -> None:
    refused(site.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/generate"), ("DELETE", f"/tasks/{ID}"), ("PUT", "/auth/usage"), ("POST", f"/tasks/fhir/{ID}")],
)
def test_a_wrong_method_is_405_and_names_the_right_one(site: Site, method: str, path: str) -> None:
    response = site.client.request(method, path, headers={"X-API-Key": "good"})
    refused(response, 405)
    assert response.headers["allow"]


def test_a_huge_body_is_413(site: Site) -> None:
    headers = {"X-API-Key": "good", "Content-Type": "application/json"}
    refused(site.client.post("/generate", content=b" " * (site.dialect.max_body + 1), headers=headers), 413)


def test_a_huge_body_of_unknown_length_is_413(site: Site) -> None:
    headers = {"X-API-Key": "good", "Content-Type": "application/json"}
    chunks = (b" " * 65536 for _ in range(site.dialect.max_body // 65536 + 2))
    refused(site.client.post("/generate", content=chunks, headers=headers), 413)


def test_a_break_inside_is_500_without_its_words(site: Site) -> None:
    async def breaks(*_: object) -> None:
        raise RuntimeError("John Smith")

    site.hub.transact = breaks  # type: ignore[method-assign, assignment]
    assert "Smith" not in refused(site.post(), 500)


def test_the_task_of_another_key_is_404(site: Site) -> None:
    task_id = site.post().json()["task_id"]
    refused(site.get(f"/tasks/{task_id}", key="other"), 404)
    refused(site.get(f"/tasks/fhir/{task_id}", key="other"), 404)
    assert site.get(f"/tasks/{task_id}").status_code == 200


def test_another_kind_of_task_is_404(site: Site) -> None:
    task = {"resourceType": "Task", "id": ID, "status": "requested", "intent": "order", "code": {"text": "x"}}
    asyncio.run(site.hub.save(None, task))
    refused(site.get(f"/tasks/{ID}"), 404)


def test_a_fhir_key_that_may_write_tasks_may_use_the_routes(site: Site) -> None:
    assert site.post(key="fhir").status_code == 202


def used(site: Site, tokens: int) -> None:
    """The key has used so many tokens."""
    names = Names(site.hub.base_url)
    task = {
        "resourceType": "Task",
        "id": "used",
        "status": "completed",
        "requester": {"identifier": {"system": names.identifiers("api-key"), "value": "k1"}},
        "output": [{"type": names.concept("task-parameter", "usage-output-tokens"), "valueInteger": tokens}],
    }
    asyncio.run(site.hub.save(None, task))


def test_usage_counts_output_tokens_and_requests(site: Site) -> None:
    used(site, 300)
    site.post()
    usage = site.get("/auth/usage").json()
    assert usage == {"total_requests": 2, "tokens_used": 300, "token_limit": 1000, "remaining_tokens": 700}


def test_a_key_over_its_limit_is_told_so_in_the_vendors_words(site: Site) -> None:
    used(site, 10500)
    site.keys.callers["good"] = replace(site.keys.callers["good"], token_limit=10000)
    detail = refused(site.post(), 429)
    assert detail == "Token limit exceeded. You have used 10500 tokens out of your 10000 token limit."
    assert site.get("/auth/usage").json()["remaining_tokens"] == -500


def test_the_last_token_is_the_limit(site: Site) -> None:
    used(site, 999)
    assert site.post().status_code == 202
    used(site, 0)
    site.keys.callers["good"] = replace(site.keys.callers["good"], token_limit=999)
    refused(site.post(), 429)


def test_the_routes_are_in_the_openapi_document(site: Site) -> None:
    document = site.client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/generate", "/tasks/{task_id}", "/tasks/fhir/{task_id}", "/auth/usage"}
    assert document["components"]["securitySchemes"]["HealthSage API key"]["name"] == "X-API-Key"
    assert "422" not in str(document["paths"]["/generate"]["post"]["responses"].keys())
    assert site.client.get("/docs").status_code == 200
