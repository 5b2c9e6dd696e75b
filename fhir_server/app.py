"""The composition root: one ASGI application out of the store, the hub, FHIR over HTTP and the dialects.

``/fhir`` goes straight to its own raw ASGI application, with no middleware in between; everything else goes to a
FastAPI application that holds health, metrics, the dialects and their documentation.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import fhir_server
from fhir_server.health import HEALTH_PATHS, health_routes
from fhir_server.logs import AccessLog
from fhir_server.metrics import Metrics
from fhir_server.opening import Opened, open_hub, tokens_of
from fhir_server.processes import collect_rarely
from fhir_server.requests import InFlight, fhir_route, in_flight
from fhir_server.security.bearer import anonymous, header_authenticator
from fhir_server.settings import Settings

log = logging.getLogger(__name__)

_SAVE_SECONDS: Final = 1.0
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,128}\Z")

Announce = Callable[[Settings, str | None], None]
"""Called once the server is ready, with the text of the first key when this start has made one."""


def build(settings: Settings, *, access_log: AccessLog | None = None, announce: Announce | None = None) -> ASGIApp:
    """The server as one ASGI application. It opens the store when its lifespan starts and closes it when it ends."""
    return Application(settings, access_log=access_log, announce=announce)


class Application:
    """Routes, counts and logs requests; the rest is in the applications that `_open` puts together."""

    def __init__(
        self, settings: Settings, *, access_log: AccessLog | None = None, announce: Announce | None = None
    ) -> None:
        self._settings = settings
        self._access_log = access_log
        self._announce = announce
        self._metrics = Metrics(settings.data_dir / "run" / "metrics")
        self._fhir: ASGIApp = _not_started
        self._other: ASGIApp = _not_started
        prefix = secrets.token_hex(5)
        self._request_ids = (f"{prefix}-{number}".encode() for number in itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        path: str = scope["path"]
        is_fhir = path.startswith("/fhir") and (len(path) == 5 or path[5] == "/")
        request_id = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value
        if not _REQUEST_ID.match(request_id):
            request_id = next(self._request_ids)
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"x-request-id"]
            scope["headers"].append((b"x-request-id", request_id))
        request = InFlight()
        in_flight.set(request)
        try:
            if is_fhir:
                await self._fhir(scope, receive, send)
            else:
                await self._other(scope, receive, _noting(send, request, request_id))
        finally:
            seconds = time.perf_counter() - started
            if is_fhir:
                interaction, route = request.interaction or "other", fhir_route(request.interaction, request.type)
            else:
                found = path if path in HEALTH_PATHS else getattr(scope.get("route"), "path", None)
                interaction = route = found if isinstance(found, str) else "other"
            self._metrics.observe(interaction, request.status, seconds)
            if self._access_log is not None:
                self._access_log(request_id.decode(), scope["method"], route, request.status, seconds, request.key_id)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                first_key = await stack.enter_async_context(self._open())
            except Exception as error:
                log.exception("the server cannot start")
                await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                return
            collect_rarely()
            if self._announce is not None:
                self._announce(self._settings, first_key)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[str | None]:
        """Everything that is open while the server runs; gives the text of the first key, when this start made it."""
        from fhir_server.rest.app import fhir_app
        from fhir_server.rest.options import RestOptions

        settings = self._settings
        async with open_hub(settings) as opened:
            first_key = await opened.first_key() if settings.auth == "keys" else None
            self._fhir = fhir_app(
                opened.hub,
                authenticate=header_authenticator(opened.keys) if settings.auth == "keys" else anonymous,
                options=RestOptions(
                    max_body=settings.max_body_bytes,
                    max_inflated=settings.max_body_bytes,
                    cors_origins=settings.cors_origins,
                    server_version=fhir_server.__version__,
                ),
                observe=_observe,
            )
            async with self._others(opened):
                saving = asyncio.create_task(self._save_metrics())
                try:
                    yield first_key
                finally:
                    saving.cancel()
                    with suppress(asyncio.CancelledError):
                        await saving
                    self._metrics.save()

    @asynccontextmanager
    async def _others(self, opened: Opened) -> AsyncIterator[None]:
        """The FastAPI application for every path that is not FHIR's."""
        from fastapi import FastAPI

        from fhir_server.dialects import open_dialects
        from fhir_server.dicom.routes import dicom_router

        app = FastAPI(
            title="fhir-server",
            version=fhir_server.__version__,
            description="The dialects of this server. FHIR R4B itself is at /fhir, described by /fhir/metadata.",
        )
        app.router.routes.extend(health_routes(opened.store, self._metrics))
        authenticate = header_authenticator(opened.keys) if self._settings.auth == "keys" else anonymous
        app.include_router(dicom_router(opened.hub, authenticate, self._settings))
        tokens = tokens_of(self._settings, opened.keys)
        async with open_dialects(app, hub=opened.hub, keys=opened.keys, settings=self._settings, tokens=tokens):
            self._other = app
            yield

    async def _save_metrics(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self._metrics.save()


def _observe(method: str, interaction: str, type: str, status: int, seconds: float) -> None:
    request = in_flight.get()
    if request is not None:
        request.interaction, request.type, request.status = interaction, type, status


def _noting(send: Send, request: InFlight, request_id: bytes) -> Send:
    """`send`, which notes the status and tells the client the request's id."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            request.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
        await send(message)

    return sent


async def _not_started(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]})
    await send({"type": "http.response.body", "body": b""})
