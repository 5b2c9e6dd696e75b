"""Cross-origin requests from browsers. R4B 3.1.0.1.2 (CORS should be supported)."""

from __future__ import annotations

from typing import Final

from fhir_server.rest.respond import RawHeaders

_EXPOSED: Final = b"Content-Location, ETag, Last-Modified, Location, Link, X-Request-Id, Retry-After, WWW-Authenticate"
_ASKED: Final = (
    b"Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, "
    b"X-Correlation-Id, X-Provenance, X-Request-Id"
)
_DAY: Final = b"86400"


class Cors:
    """`headers(origin)` for any answer; `preflight(origin, methods)` for what an answer to OPTIONS has besides."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, origin: bytes | None) -> RawHeaders:
        if origin is None or not (self._all or origin in self._origins):
            return []
        # No cookies are ever used, so "*" gives nothing away that a key does not.
        shown = b"*" if self._all else origin
        found = [(b"access-control-allow-origin", shown), (b"access-control-expose-headers", _EXPOSED)]
        if not self._all:
            found.append((b"vary", b"Origin"))
        return found

    def preflight(self, origin: bytes | None, methods: bytes) -> RawHeaders:
        if not self.headers(origin):
            return []
        return [
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", _DAY),
        ]
