"""FHIR over HTTP: one raw ASGI application. R4B 3.1.0 (RESTful API)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.types import ASGIApp

from fhir_server.rest.options import RestOptions
from fhir_server.security.caller import Caller

Authenticate = Callable[[Mapping[bytes, bytes]], Caller | Awaitable[Caller]]
"""From a request's headers (lower-case names, as ASGI gives them) to the caller; raises Unauthorized (with
``WWW-Authenticate: Bearer``) or Forbidden. A plain function or a coroutine function."""

Observe = Callable[[str, str, str, int, float], None]
"""Called after each request, for metrics: (method, interaction, resource type or '', status, seconds)."""


def fhir_app(
    hub: Any,
    *,
    authenticate: Authenticate,
    options: RestOptions | None = None,
    observe: Observe | None = None,
) -> ASGIApp:
    """The ASGI application that serves FHIR below `options.prefix` (paths arrive with the prefix)."""
    raise NotImplementedError
