"""Prefer: respond-async: an answer that is fetched later, from a status URL. https://hl7.org/fhir/async-bundle.html

The request is kept as it came and answered in the background by the same code as any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fhir_server.interactions.deferred import Work, response_parts
from fhir_server.operations.registry import find as find_operation
from fhir_server.r4b.outcome import NotFound
from fhir_server.rest.errors import error_response
from fhir_server.rest.headers import http_date
from fhir_server.rest.respond import RawHeaders, Response

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

    from fhir_server.hub import Hub
    from fhir_server.rest.request import Request

#: Where the status of deferred work is.
PATH: Final = "_async"
_LONG: Final = frozenset(("search", "history", "bundle", "operation"))
_READS: Final = frozenset(("search", "history"))
_WRITES: Final = frozenset(
    ("create", "update", "patch", "delete", "conditional-update", "conditional-patch", "conditional-delete")
)
#: Headers that make a difference to the answer. Who asks is kept apart.
_KEPT: Final = frozenset(
    (b"content-type", b"content-encoding", b"if-match", b"if-none-match", b"if-none-exist", b"prefer", b"x-provenance")
)
_ASYNC: Final = re.compile(r"\s*respond-async\s*(?:[,;]|\Z)", re.IGNORECASE)

Answer = Callable[["Scope", dict[bytes, bytes], "Receive"], Awaitable[Response]]
"""A request without its HTTP: as the application answers it."""


def wanted(request: Request) -> bool:
    """Whether this one is answered later: the client prefers it, and it may be long. Others are answered at once."""
    if not request.prefer.respond_async:
        return False
    route = request.route
    return route.interaction in _LONG or (route.type == "SearchParameter" and route.interaction in _WRITES)


async def accept(request: Request, scope: Scope) -> Response:
    """202 with the status URL in Content-Location."""
    route, hub = request.route, request.hub
    body = await request.content() if request.method in ("POST", "PUT", "PATCH") else b""
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers.items() if name in _KEPT}
    headers.pop("content-encoding", None)
    prefer = _ASYNC.sub("", headers.pop("prefer", ""))
    if prefer:
        headers["prefer"] = prefer
    kept = {
        "method": request.method,
        "path": scope["path"],
        "raw_path": (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": headers,
        "type": route.type,
        "interaction": route.interaction,
    }
    id = await hub.deferred.accept(request.caller, kept, body, repeatable=_repeatable(request))
    return Response(202, b"", [(b"content-location", f"{hub.base_url}/{PATH}/{id}".encode()), (b"retry-after", b"1")])


def _repeatable(request: Request) -> bool:
    route = request.route
    if route.interaction in _READS:
        return True
    if route.interaction != "operation":
        return False
    found = find_operation(route.operation, route.type, route.id)
    return found is None or not found.affects_state or found.name == "reindex"


async def status(request: Request) -> Response:
    """202 with X-Progress while it goes on, then 200 with the Bundle that holds the answer."""
    id, deferred = request.route.id, request.hub.deferred
    found = await deferred.status(request.caller, id)
    if found is None:
        raise NotFound("There is no such work, or its answer has expired.")
    if not found.done:
        return Response(202, b"", [(b"x-progress", found.progress.encode("ascii", "replace")), (b"retry-after", b"1")])
    body = await deferred.answer(request.caller, id)
    if body is None:
        raise NotFound("There is no such work, or its answer has expired.")
    return Response(200, body, [(b"expires", http_date(found.expires // 1_000_000))])


async def cancel(request: Request) -> Response:
    """202: the work ends, its answer is forgotten."""
    if not await request.hub.deferred.cancel(request.caller, request.route.id):
        raise NotFound("There is no such work, or its answer has expired.")
    return Response(202)


def runner(hub: Hub, answer: Answer) -> Callable[[Work], AsyncIterator[bytes]]:
    """What the hub's deferred work is done by."""

    async def run(work: Work) -> AsyncIterator[bytes]:
        if work.kept:
            response = Response(work.kept["status"], b"", _raw(work.kept["headers"]))
            body: bytes | AsyncIterator[bytes] = work.kept["body"].encode()
            response.body = body
        else:
            response = await _answered(work, answer)
        if work.request["type"] == "SearchParameter" and work.request["interaction"] in _WRITES:
            if response.status < 300 and isinstance(response.body, bytes):
                headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers]
                await work.keep({"status": response.status, "headers": headers, "body": response.body.decode()})
            await hub.parameters.settled(hub, work.tell)
        async for chunk in _bundle(response):
            yield chunk

    return run


def _raw(headers: list[list[str]]) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _answered(work: Work, answer: Answer) -> Response:
    asked = work.request
    headers = {name.encode(): value.encode("latin-1") for name, value in asked["headers"].items()}
    scope: Any = {
        "type": "http",
        "method": asked["method"],
        "path": asked["path"],
        "raw_path": asked["raw_path"].encode("latin-1"),
        "query_string": asked["query"].encode("latin-1"),
        "headers": list(headers.items()),
        "fhir.caller": work.caller,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": work.body, "more_body": False}

    try:
        return await answer(scope, headers, receive)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        return error_response(error, work.id.encode())


async def _bundle(response: Response) -> AsyncIterator[bytes]:
    """One answer as a batch-response Bundle with one entry."""
    named = {name.decode(): value.decode("latin-1") for name, value in response.headers}
    told: dict[str, Any] = {"status": str(response.status)}
    if "location" in named:
        told["location"] = named["location"]
    if "etag" in named:
        told["etag"] = named["etag"]
    if response.status >= 400 and isinstance(response.body, bytes):
        told["outcome"] = msgspec.json.decode(response.body)
        response.body = b""
    if response.raw:
        content = response.body if isinstance(response.body, bytes) else b"".join([c async for c in response.body])
        response.body = msgspec.json.encode(
            {"resourceType": "Binary", "contentType": named.get("content-type", ""), "data": content}
        )
    if isinstance(response.body, bytes):
        for part in response_parts(response.body or None, told):
            yield part
        return
    head, _, tail = response_parts(b"", told)
    yield head
    async for chunk in response.body:
        yield chunk
    yield tail
