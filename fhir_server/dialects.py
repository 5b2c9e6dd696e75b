"""Dialects: other interfaces than FHIR, spoken at the door. A plug-in of the entry-point group ``fhir_server.dialects``.

An entry point names a `Dialect`, or a callable without arguments that returns one. The application loads them all with
`load_dialects`, and `install` puts them on a FastAPI application: their routes, their way of saying errors on every
path they own (the framework's own 404, 405, 413 and 500 too), and their limits on size. A dialect has no private door:
all it gets is a `DialectContext`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.jobs.job import Runner
from fhir_server.jobs.names import Json, Names
from fhir_server.r4b.outcome import FhirError, Forbidden, Unauthorized
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
    """How a dialect hands over work and asks what it cost."""

    async def submit(self, task_id: str) -> None:
        """Wake a worker for a Task that is in the store. A Task that nobody submits is found too, a little later."""
        ...

    async def tokens_used(self, key_id: str) -> int:
        """Output tokens of all completed Tasks that this key asked for, up to now."""
        ...


class Counters(Protocol):
    """Numbers that are not worth a resource: rate limits, request counts."""

    async def add(self, name: str, amount: int = 1) -> None:
        """Counted soon (within a second), without making the caller wait."""
        ...

    async def get(self, name: str) -> int:
        """All that this process has added, and what others have added up to a second ago."""
        ...


@dataclass(frozen=True, slots=True)
class DialectContext:
    """All that a dialect may touch. clock() gives the present moment, with its time zone."""

    hub: Hub
    keys: Keys
    settings: Any
    jobs: Jobs
    counters: Counters
    clock: Callable[[], datetime]
    names: Names


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
        """StructureDefinitions and CodeSystems this dialect brings, each with an `id`: published when the server starts."""
        ...


def load_dialects() -> list[Dialect]:
    """Every installed dialect, by name. One that cannot be loaded is an error: half a server is not started."""
    found: list[Dialect] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        loaded = point.load()
        dialect = loaded if isinstance(loaded, Dialect) else loaded()
        if not isinstance(dialect, Dialect):
            raise TypeError(f"The entry point {point.name!r} in {GROUP} is not a dialect: {dialect!r}")
        found.append(dialect)
    return found


def owns(dialect: Dialect, path: str) -> bool:
    """True when `path` is one of the dialect's, or below one."""
    return any(path == owned or path.startswith(owned.rstrip("/") + "/") for owned in dialect.paths)
