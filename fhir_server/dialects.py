"""Dialects: other interfaces than FHIR, spoken at the door. Plug-ins of the entry points ``fhir_server.dialects``.

An entry point names a `Dialect`, or a callable without arguments that returns one. The application loads them all with
`load_dialects`, and `install` puts them on a FastAPI application: their routes, their way of saying errors on every
path they own (the framework's own 404, 405, 413 and 500 too), and their limits on size. A dialect has no private door:
all it gets is a `DialectContext`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.jobs.job import Runner
from fhir_server.jobs.names import Json, Names
from fhir_server.r4b.outcome import FhirError, Forbidden, TooManyRequests, Unauthorized
from fhir_server.security.caller import ANONYMOUS, Caller

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

    from fhir_server.hub import Hub

GROUP = "fhir_server.dialects"
log = logging.getLogger(__name__)


class Keys(Protocol):
    """Who holds a secret. fhir_server.security.keys is the one the server uses."""

    async def authenticate(self, secret: str) -> Caller | None:
        """The holder of an active key, None when no such key. Raises Forbidden for one that is inactive or expired."""
        ...


class Jobs(Protocol):
    """What a dialect may ask about jobs. To start one, write a Task with a code of `runners`, nothing else."""

    async def tokens_used(self, key_id: str) -> int:
        """Output tokens of all completed Tasks that this key asked for, up to now."""
        ...

    async def waiting(self, requester: str) -> int:
        """How many Tasks of this requester (states.requester_of) wait or run now."""
        ...


class Counters(Protocol):
    """Numbers that are not worth a resource: rate limits, request counts."""

    async def add(self, name: str, amount: int = 1) -> None:
        """Counted soon (within a second), without making the caller wait."""
        ...

    async def get(self, name: str) -> int:
        """All that this process has added, and what others have added up to a second ago."""
        ...


class Tokens(Protocol):
    """Who holds a JSON Web Token. fhir_server.security.tokens is the one the server uses."""

    async def authenticate(self, text: str) -> Caller:
        """The user (`subject`) whose token it is. Raises Unauthorized with a sentence that says what is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class DialectContext:
    """All that a dialect may touch. clock() gives the present moment, with its time zone. tokens: for dialects whose
    keys are JSON Web Tokens."""

    hub: Hub
    keys: Keys
    settings: Any
    jobs: Jobs
    counters: Counters
    clock: Callable[[], datetime]
    names: Names
    tokens: Tokens | None = None


@runtime_checkable
class Dialect(Protocol):
    """One vendor's interface."""

    @property
    def name(self) -> str:
        """Short, in lower case: "healthsage". Keys made for a dialect carry it."""
        ...

    @property
    def paths(self) -> Sequence[str]:
        """The paths it owns, each with everything below it: "/generate" owns /generate and /generate/x."""
        ...

    @property
    def max_body(self) -> int:
        """Largest request body in bytes; a larger one is answered with 413 before it is read."""
        ...

    @property
    def runners(self) -> Mapping[str, Runner]:
        """Task.code -> what runs such a Task, in a worker."""
        ...

    def router(self, context: DialectContext) -> APIRouter: ...

    def error(self, status: int, message: str) -> Json:
        """The body of an error on this dialect's paths, as the vendor says it."""
        ...

    def conformance(self, names: Names) -> Sequence[Json]:
        """StructureDefinitions and CodeSystems of its own, each with an `id`: published when the server starts."""
        ...


def load_dialects() -> list[Dialect]:
    """Every installed dialect, by name. One that cannot be loaded is an error: half a server is not started."""
    found: list[Dialect] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        loaded = point.load()
        dialect = loaded() if isinstance(loaded, type) or not isinstance(loaded, Dialect) else loaded
        if not isinstance(dialect, Dialect):
            raise TypeError(f"The entry point {point.name!r} in {GROUP} is not a dialect: {dialect!r}")
        found.append(dialect)
    return found


def owns(dialect: Dialect, path: str) -> bool:
    """True when `path` is one of the dialect's, or below one."""
    return any(path == owned or path.startswith(owned.rstrip("/") + "/") for owned in dialect.paths)


async def authenticated(context: DialectContext, dialect: Dialect, secret: str | None) -> Caller:
    """The holder of `secret`, who may use `dialect`: a key made for it, or one that may work with Tasks over FHIR.

    Raises Unauthorized (no key, unknown key) and Forbidden (inactive, expired, another dialect's key).
    """
    if str(getattr(context.settings, "auth", "")) == "none":
        return ANONYMOUS
    if not secret:
        raise Unauthorized("Missing API key.")
    caller = await context.keys.authenticate(secret)
    if caller is None:
        raise Unauthorized("Invalid API key.")
    if caller.dialect != dialect.name and not (caller.dialect == "fhir" and caller.allows("Task", "c")):
        raise Forbidden("This API key is not for this API.")
    return caller


async def admit(context: DialectContext, requester: str) -> None:
    """Raises TooManyRequests when so many Tasks of `requester` (states.requester_of) wait or run that no further one
    is taken."""
    limit = int(getattr(context.settings, "job_queue_limit", 0))
    if limit and await context.jobs.waiting(requester) >= limit:
        raise TooManyRequests(
            f"Too many jobs are waiting: {limit}. Try again when some of them have ended.", headers={"Retry-After": "5"}
        )


def statuses(dialect: Dialect | None) -> Mapping[int, int]:
    """What the dialect says instead of an HTTP status that its vendor does not use (its attribute `statuses`);
    422 and 410 are FHIR's words, where vendors know 400 and 404."""
    return {422: 400, 410: 404} | dict(getattr(dialect, "statuses", None) or {})


def install(app: FastAPI, dialects: Iterable[Dialect], context: DialectContext) -> None:
    """Put the dialects on the application: routes, errors in each one's own form, limits on size."""
    from fastapi.exceptions import RequestValidationError

    loaded = tuple(dialects)
    for dialect in loaded:
        app.include_router(dialect.router(context))

    def answer(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        owner = _owner(loaded, request.url.path)
        status = statuses(owner).get(status, status)
        return JSONResponse(_body(owner, status, message), status, headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = error.detail if isinstance(error.detail, str) else "The request is not valid."
        return answer(request, error.status_code, detail, error.headers)

    async def not_valid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, 400, "; ".join(sentences(error.errors())) or "The request is not valid.")

    async def outcome(request: Request, error: Exception) -> Response:
        assert isinstance(error, FhirError)
        return answer(request, error.status, str(error), error.headers)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(FhirError, outcome)
    app.add_middleware(_Guard, dialects=loaded)


@asynccontextmanager
async def open_dialects(
    app: FastAPI, *, hub: Hub, keys: Keys, settings: Any, tokens: Tokens | None = None
) -> AsyncIterator[list[Dialect]]:
    """Every installed dialect on `app`, for as long as the context is open; what they bring is published."""
    from fhir_server.conformance import of_jobs, publish
    from fhir_server.jobs.book import JobBook
    from fhir_server.jobs.counters import BufferedCounters
    from fhir_server.operations.definitions import definitions_of

    dialects = load_dialects()
    names = Names(hub.base_url)
    counters = BufferedCounters(hub.store)
    context = DialectContext(
        hub=hub,
        keys=keys,
        settings=settings,
        jobs=JobBook(hub, [code for dialect in dialects for code in dialect.runners]),
        counters=counters,
        clock=lambda: datetime.now(UTC),
        names=names,
        tokens=tokens,
    )
    install(app, dialects, context)
    own = [*of_jobs(names), *(each for dialect in dialects for each in dialect.conformance(names))]
    await publish(hub, [*own, *definitions_of(hub.base_url)])
    try:
        yield dialects
    finally:
        await counters.close()


def _owner(dialects: Sequence[Dialect], path: str) -> Dialect | None:
    return next((dialect for dialect in dialects if owns(dialect, path)), None)


def _body(dialect: Dialect | None, status: int, message: str) -> Json:
    return dialect.error(status, message) if dialect is not None else {"detail": message}


def sentences(problems: Iterable[Mapping[str, Any]]) -> list[str]:
    """Pydantic's errors as sentences: which field, what is wrong. Never the value: it may be a patient's."""
    found = []
    for problem in problems:
        where = ".".join(str(part) for part in problem.get("loc", ()) if part not in ("body", "query", "path"))
        what = str(problem.get("msg", "is not valid")).removeprefix("Value error, ")
        found.append(f"{where}: {what}" if where else what)
    return found


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Guard:
    """Limits on size, and an answer in the dialect's form when something breaks."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], dialects: Sequence[Dialect]) -> None:
        self.app, self.dialects = app, dialects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = _owner(self.dialects, scope["path"]) if scope["type"] == "http" else None
        if dialect is None:
            await self.app(scope, receive, send)
            return
        limit = dialect.max_body
        too_large = f"The request is larger than {limit:,} bytes."
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > limit:
            status = statuses(dialect).get(413, 413)
            await JSONResponse(dialect.error(status, too_large), status)(scope, receive, send)
            return

        seen = 0
        started = False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413, too_large)
            return message

        async def noticed(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counted, noticed)
        except Exception as error:
            log.error("unexpected failure on a route of the dialect %s", dialect.name, exc_info=error)
            if started:
                raise
            message = "Internal error. The request was not processed."
            await JSONResponse(dialect.error(500, message), 500)(scope, receive, send)
