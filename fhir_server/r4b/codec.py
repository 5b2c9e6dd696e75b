"""FHIR JSON: bytes in, bytes out. R4B 2.6.2 (JSON representation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """size: bytes of one body (413 beyond). depth: nested objects and arrays. array: items of one array."""

    size: int = 64 * 1024 * 1024
    depth: int = 64
    array: int = 100_000


DEFAULT_LIMITS = Limits()


class Draft:
    """A resource as its author wrote it. type: resource type. id: the author's, or None. data: plain JSON value whose
    fractional numbers are Decimal (do not change it). raw: the author's bytes without insignificant whitespace."""

    __slots__ = ("data", "id", "raw", "type")
    type: str
    id: str | None
    data: dict[str, Any]
    raw: bytes

    def render(self, id: str, version: int, last_updated_us: int) -> bytes:
        """The author's own bytes with `id`, `meta.versionId` and `meta.lastUpdated` put in; nothing else changes."""
        raise NotImplementedError


def parse(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Draft:
    """Reads one resource. Raises BadRequest (not JSON, duplicate keys, NaN, bad UTF-8, too deep, no known resourceType)
    and TooLarge."""
    raise NotImplementedError


def parse_json(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Any JSON value under the same rules and limits as `parse` (for JSON Patch and other bodies)."""
    raise NotImplementedError


def draft_of(data: dict[str, Any]) -> Draft:
    """A resource that the server itself has built. Decimals are written as they are."""
    raise NotImplementedError


def encode(data: Any) -> bytes:
    """Compact JSON; Decimals become numbers with the same digits."""
    raise NotImplementedError


def decode(raw: bytes) -> Any:
    """Our own stored bytes -> plain JSON value with Decimals; no checks beyond JSON itself."""
    raise NotImplementedError


def instant(us: int) -> str:
    """Microseconds since 1970 UTC -> ``2026-01-01T00:00:00.000Z``."""
    raise NotImplementedError


def pretty(raw: bytes) -> bytes:
    """The same JSON with two spaces of indentation; number and string text untouched."""
    raise NotImplementedError
