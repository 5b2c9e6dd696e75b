"""The application over a hub that is not there: what HTTP itself does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.outcome import Gone, NotFound, Unauthorized
from fhir_server.rest.app import fhir_app
from fhir_server.rest.options import RestOptions
from fhir_server.security.caller import ANONYMOUS, Caller
from fhir_server.store.protocol import Version

BODY = b'{"resourceType":"Patient","id":"1"}'


SECRET = "Mrs. Doe"


class FakeHub:
    base_url = "http://test/fhir"
    registry = None
    deferred = SimpleNamespace(serve=lambda runner: None)

    async def read(self, caller: Caller, type: str, id: str) -> Version:
        if id == "broken":
            raise RuntimeError(SECRET)
        if id == "gone":
            raise Gone("It was deleted.", headers={"ETag": 'W/"2"'})
        if id != "1":
            raise NotFound("No such resource.")
        return Version(type, id, 3, 7, 1767225600_000_000, "PUT", BODY)

    async def operation(self, caller: Caller, name: str, request: OperationRequest) -> OperationResult:
        async def chunks() -> AsyncIterator[bytes]:
            if name == "refuse-test":
                raise NotFound("Not here.")
            for _ in range(100):
                yield b'{"resourceType":"Bundle"} ' * 10

        return OperationResult(chunks())


def authenticate(headers: Any) -> Caller:
    if headers.get(b"authorization") != b"Bearer key":
        raise Unauthorized("No key.", headers={"WWW-Authenticate": "Bearer"})
    return ANONYMOUS


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = fhir_app(FakeHub(), authenticate=authenticate, options=RestOptions(max_url=500))  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://test/fhir/",
        headers={"Authorization": "Bearer key", "Accept-Encoding": "identity"},
    )


async def test_a_plain_read_has_the_stored_bytes_and_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("Patient/1")
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["ETag"] == 'W/"3"'
    assert answer.headers["Last-Modified"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert answer.headers["Content-Location"] == "http://test/fhir/Patient/1/_history/3"
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    "headers", [{}, {"Prefer": "return=minimal"}, {"Origin": "https://x"}, {"If-None-Match": 'W/"9"'}]
)
async def test_the_short_way_and_the_long_way_answer_alike(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    short, long = await client.get("Patient/1"), await client.get("Patient/1", headers=headers)
    varying = ("x-request-id", "access-control-allow-origin", "access-control-expose-headers")
    kept = [{name: each.headers[name] for name in each.headers if name not in varying} for each in (short, long)]
    assert kept[0] == kept[1]
    assert short.content == long.content


async def test_an_unexpected_failure_is_500_without_its_message(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("Patient/broken", headers={"X-Request-Id": "abc"})
    assert answer.status_code == 500
    assert answer.json()["issue"][0]["code"] == "exception"
    assert "abc" in answer.json()["issue"][0]["diagnostics"]
    assert SECRET not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text


async def test_a_refusals_headers_are_sent(client: httpx.AsyncClient) -> None:
    answer = await client.get("Patient/gone")
    assert (answer.status_code, answer.headers["ETag"]) == (410, 'W/"2"')


async def test_without_a_key_nothing_is_told(client: httpx.AsyncClient) -> None:
    for path in ("Patient/1", "nonsense", "Patient/$nonsense"):
        answer = await client.get(path, headers={"Authorization": ""})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_long_url_is_414(client: httpx.AsyncClient) -> None:
    assert (await client.get("Patient?name=" + "a" * 600)).status_code == 414


async def test_a_streamed_answer_arrives_whole(client: httpx.AsyncClient) -> None:
    register(Operation("stream-test", ("system",), (), False, FakeHub().operation, "urn:x"))  # type: ignore[arg-type]
    plain = await client.get("$stream-test")
    zipped = await client.get("$stream-test", headers={"Accept-Encoding": "gzip"})
    assert plain.content == zipped.content == b'{"resourceType":"Bundle"} ' * 1000
    assert zipped.headers["Content-Encoding"] == "gzip"


async def test_a_stream_that_begins_with_a_refusal_is_a_refusal(client: httpx.AsyncClient) -> None:
    register(Operation("refuse-test", ("system",), (), False, FakeHub().operation, "urn:x"))  # type: ignore[arg-type]
    answer = await client.get("$refuse-test")
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_an_operation_that_changes_state_is_not_for_get(client: httpx.AsyncClient) -> None:
    register(Operation("change-test", ("system",), (), True, FakeHub().operation, "urn:x"))  # type: ignore[arg-type]
    answer = await client.get("$change-test")
    assert answer.status_code == 405
    assert "GET" not in answer.headers["Allow"]


async def test_options_says_what_is_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.options("Patient/1", headers={"Authorization": ""})
    assert answer.status_code == 204
    assert answer.headers["Allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
