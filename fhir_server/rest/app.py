"""FHIR over HTTP: one raw ASGI application. R4B 3.1.0 (RESTful API).

No middleware and no routing table stand between a read and the hub; everything that is not on that path is in the
modules beside this one.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.hub import Hub
from fhir_server.interactions import provenance
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, FhirError, NotAcceptable, NotFound
from fhir_server.rest import later
from fhir_server.rest.body import ClientGone
from fhir_server.rest.capability import Capabilities
from fhir_server.rest.cors import Cors
from fhir_server.rest.errors import UriTooLong, error_response
from fhir_server.rest.formats import JSON
from fhir_server.rest.headers import NO_PREFERENCE, etag_values, http_date, parse_prefer
from fhir_server.rest.interactions import HANDLERS, check_preferences
from fhir_server.rest.negotiate import ONLY_R4B, Accepted, accepted
from fhir_server.rest.options import RestOptions
from fhir_server.rest.params import decode, general, parse_query
from fhir_server.rest.request import Request
from fhir_server.rest.respond import RawHeaders, Response, accepts_gzip, begun, gather, send_bytes, send_stream
from fhir_server.rest.route import Router, allow_header
from fhir_server.rest.terminology import TerminologyStatement
from fhir_server.security.caller import ANONYMOUS, Caller

Authenticate = Callable[[Mapping[bytes, bytes]], Caller | Awaitable[Caller]]
"""From a request's headers (lower-case names, as ASGI gives them) to the caller; raises Unauthorized (with
``WWW-Authenticate: Bearer``) or Forbidden. A plain function or a coroutine function."""

Observe = Callable[[str, str, str, int, float], None]
"""Called after each request, for metrics: (method, interaction, resource type or '', status, seconds)."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,128}\Z")
#: Health data: no shared cache may keep it, and a client's own cache asks first (with If-None-Match).
_ALWAYS: Final[RawHeaders] = [(b"cache-control", b"private, no-cache"), (b"vary", b"Accept, Accept-Encoding")]
_JSON_TYPE: Final = b"application/fhir+json; charset=utf-8"
_METADATA_MODES: Final = ("full", "normative")


def fhir_app(
    hub: Hub,
    *,
    authenticate: Authenticate,
    options: RestOptions | None = None,
    observe: Observe | None = None,
) -> ASGIApp:
    """The ASGI application that serves FHIR below `options.prefix` (paths arrive with the prefix)."""
    return FhirApp(hub, authenticate, options or RestOptions(), observe)


class FhirApp:
    """See fhir_app."""

    def __init__(self, hub: Hub, authenticate: Authenticate, options: RestOptions, observe: Observe | None) -> None:
        self._hub = hub
        self._authenticate = authenticate
        self._options = options
        self._observe = observe
        self._types = frozenset(definitions().types)
        self._router = Router(self._types)
        self._cors = Cors(options.cors_origins)
        self._capabilities = Capabilities(hub, options, started_us=time.time_ns() // 1_000_000 * 1000)
        hub.capabilities = lambda: self._capabilities.statement("4.3")[0]
        hub.deferred.serve(later.runner(hub, self._deferred))
        self._terminology = TerminologyStatement(hub, options, self._capabilities.date)
        self._prefix = options.prefix
        self._prefix_length = len(options.prefix)
        self._serial = itertools.count(1)
        self._instance = secrets.token_hex(4)
        self._base = hub.base_url.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        observe = self._observe
        if observe is None:
            await self._serve(scope, receive, send)
            return
        started = time.perf_counter()
        interaction, type, status = await self._serve(scope, receive, send)
        observe(scope["method"], interaction, type, status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> tuple[str, str, int]:
        headers = _header_map(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not request_id or not _REQUEST_ID.match(request_id):
            request_id = f"{self._instance}-{next(self._serial):x}".encode()
        method: str = scope["method"]
        told = _Told()
        try:
            plain = method == "GET" and not scope["query_string"] and b"prefer" not in headers
            if plain and await self._plain_read(scope, headers, request_id, told, send):
                return "read", told.type, 200
            response = await _shaped(await self._answer(scope, headers, receive, told), told)
        except ClientGone:
            return told.interaction, told.type, 499
        except Exception as error:
            # Whatever happens, the client gets an OperationOutcome.
            response = await self._failure(error, request_id, told, headers)
        status = await self._send(response, told, headers, request_id, method == "HEAD", send)
        return told.interaction, told.type, status

    async def _failure(
        self, error: Exception, request_id: bytes, told: _Told, headers: Mapping[bytes, bytes]
    ) -> Response:
        response = error_response(error, request_id)
        told.accepted = told.accepted or _accept_or_default(headers)
        try:
            return await _shaped(response, told)
        except Exception as second:  # the outcome itself cannot be written in that format
            told.accepted, told.indent = _DEFAULT, False
            return await _shaped(error_response(second, request_id), told)

    async def _plain_read(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: bytes, told: _Told, send: Send
    ) -> bool:
        """A read without parameters, preferences or conditions: the hot path. False when the request is not one."""
        path: str = scope["path"]
        parts = path[self._prefix_length :].split("/")
        if (
            len(parts) != 3
            or parts[1] not in self._types
            or parts[1] == "Binary"
            or not parts[2].isascii()
            or not parts[2].replace("-", "").isalnum()
            or len(parts[2]) > 64
            or b"if-none-match" in headers
            or b"if-modified-since" in headers
            or b"origin" in headers
            or not path.startswith(self._prefix)
        ):
            return False
        caller = self._authenticate(headers)
        if isawaitable(caller):
            caller = await caller
        accept = accepted(headers.get(b"accept", b"").decode("latin-1"))
        type = parts[1]
        told.interaction, told.type, told.accepted = "read", type, accept
        if not accept.format.plain or accept.version == "4.0":
            return False
        version = await self._hub.read(caller, type, parts[2])
        body = version.body or b""
        answer: RawHeaders = [
            (b"content-type", accept.content_type),
            (b"etag", b'W/"%d"' % version.version),
            (b"last-modified", http_date(version.last_updated // 1_000_000)),
            (
                b"content-location",
                b"%s/%s/%s/_history/%d" % (self._base, type.encode(), version.id.encode(), version.version),
            ),
            (b"x-request-id", request_id),
            *_ALWAYS,
        ]
        await send_bytes(send, 200, answer, body, head=False, gzip_level=self._gzip_level(headers, len(body)))
        return True

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, told: _Told) -> Response:
        method, options = scope["method"], self._options
        query: bytes = scope["query_string"]
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw_path) + len(query) > options.max_url:
            raise UriTooLong(f"The URL is longer than {options.max_url} bytes; search by POST to _search.")
        path = decode(raw_path)
        if not path.startswith(self._prefix) or path[self._prefix_length : self._prefix_length + 1] not in ("", "/"):
            raise NotFound("There is no such address on this server.")
        path = path[self._prefix_length :]
        if method == "OPTIONS":
            told.interaction = "options"
            return self._options_answer(path, headers)
        is_metadata = path.strip("/") == "metadata"
        # Deferred work comes with the caller who asked for it.
        caller: Any = scope.get("fhir.caller")
        if caller is None and is_metadata:
            caller = ANONYMOUS
        elif caller is None:
            caller = self._authenticate(headers)
            if isawaitable(caller):
                caller = await caller
        route = self._router.find(method, path)
        told.interaction, told.type = route.interaction, route.type
        chosen, indent, parameters = general(parse_query(query, limit=options.max_parameters))
        prefer_header = headers.get(b"prefer")
        accept_header = headers.get(b"accept", b"").decode("latin-1")
        raw_binary = route.type == "Binary" and route.interaction in ("read", "vread") and not chosen
        accept = _accept_or_default(headers) if raw_binary else accepted(accept_header, chosen)
        told.accepted, told.indent = accept, bool(indent)
        if accept.version == "4.0" and route.type in ONLY_R4B:
            raise NotAcceptable(f"{route.type} does not exist in FHIR R4 (fhirVersion=4.0), only in R4B.")
        request = Request(
            hub=self._hub,
            options=options,
            method=method,
            route=route,
            headers=headers,
            parameters=parameters,
            accepted=accept,
            prefer=NO_PREFERENCE if prefer_header is None else parse_prefer(prefer_header.decode("latin-1")),
            caller=caller,
            receive=receive,
            pretty=bool(indent),
            format_named=bool(chosen),
        )
        check_preferences(request)
        if b"x-provenance" in headers:
            provenance.attach(self._hub, caller, headers[b"x-provenance"].decode("latin-1"))
        if request.prefer.respond_async and later.wanted(request):
            return await later.accept(request, scope)
        if is_metadata:
            response = await self._metadata(request)
        else:
            response = await HANDLERS[route.interaction](request)
        told.accepted, told.indent = request.accepted, request.pretty
        return response

    async def _deferred(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:
        return await self._answer(scope, headers, receive, _Told())

    async def _metadata(self, request: Request) -> Response:
        mode = "full"
        for name, value in request.parameters:
            if name != "mode":
                request.refuse_parameters()
                continue
            mode = value
        if mode == "terminology":
            return Response(200, await self._terminology.statement())
        if mode not in _METADATA_MODES:
            raise BadRequest(f"mode is one of: {', '.join(_METADATA_MODES)}, terminology.")
        body, tag = self._capabilities.statement(request.accepted.version)
        asked = request.header(b"if-none-match")
        if asked is not None and tag[3:-1].decode() in (etag_values(asked) or ()):
            return Response(304, b"", [(b"etag", tag)])
        return Response(200, body, [(b"etag", tag)])

    def _options_answer(self, path: str, headers: Mapping[bytes, bytes]) -> Response:
        allow = allow_header(self._router.methods(path)).encode()
        return Response(204, b"", [(b"allow", allow), *self._cors.preflight(headers.get(b"origin"), allow)])

    async def _send(
        self,
        response: Response,
        told: _Told,
        headers: Mapping[bytes, bytes],
        request_id: bytes,
        head: bool,
        send: Send,
    ) -> int:
        answer, body = response.headers, response.body
        answer.append((b"x-request-id", request_id))
        answer += _ALWAYS
        answer += self._cors.headers(headers.get(b"origin"))
        if isinstance(body, bytes):
            level = self._gzip_level(headers, len(body))
            await send_bytes(send, response.status, answer, body, head=head, gzip_level=level)
        else:
            level = self._options.gzip_level if accepts_gzip(headers.get(b"accept-encoding", b"")) else None
            await send_stream(send, response.status, answer, body, head=head, gzip_level=level)
        return response.status

    def _gzip_level(self, headers: Mapping[bytes, bytes], size: int) -> int | None:
        if size < self._options.gzip_from or not accepts_gzip(headers.get(b"accept-encoding", b"")):
            return None
        return self._options.gzip_level


_DEFAULT: Final = Accepted(JSON, _JSON_TYPE)


@dataclass(slots=True)
class _Told:
    """What is known of a request so far, for metrics and for the format of an error."""

    interaction: str = ""
    type: str = ""
    accepted: Accepted | None = None
    indent: bool = False


def _header_map(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Header values by name; those of a repeated header are joined by commas (RFC 9110 5.3)."""
    found = dict(headers)
    if len(found) != len(headers):
        found = {}
        for name, value in headers:
            found[name] = found[name] + b", " + value if name in found else value
    return found


def _accept_or_default(headers: Mapping[bytes, bytes]) -> Accepted:
    """For an answer that must be given whatever the client accepts."""
    try:
        return accepted(headers.get(b"accept", b"").decode("latin-1"))
    except FhirError:
        return _DEFAULT


async def _shaped(response: Response, told: _Told) -> Response:
    """The response with its body in the format asked for, and so far made that a refusal can no longer come."""
    if response.raw or not response.body:
        return response
    accept = told.accepted or _DEFAULT
    plain = accept.format.plain and not told.indent
    if not isinstance(response.body, bytes):
        response.body = await begun(response.body) if plain else await gather(response.body)
    if isinstance(response.body, bytes) and not plain:
        response.body = accept.format.write(response.body, told.indent)
    response.headers.append((b"content-type", accept.content_type))
    return response
