"""HTTP header values of FHIR: weak ETags, HTTP dates, Prefer. Pure. R4B 3.1.0.1.3, 3.1.0.5, 3.1.0.1.7."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal

_ETAG: Final = re.compile(r'\s*(?:W/)?"([^"\x00-\x20]*)"\s*(?:,|\Z)')
Return = Literal["minimal", "representation", "OperationOutcome"]


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> bytes:
    """Seconds since 1970 as an HTTP date (RFC 9110 5.6.7)."""
    return formatdate(seconds, usegmt=True).encode()


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970; None when the text is no date (RFC 9110 says: then ignore it)."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def etag_values(text: str) -> list[str] | None:
    """The opaque parts of a list of ETags, weak or strong; None when the text is not one."""
    values, position = [], 0
    while position < len(text):
        found = _ETAG.match(text, position)
        if found is None:
            return None
        values.append(found[1])
        position = found.end()
    return values


def not_modified(version: int, updated_us: int, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """True when a conditional read is answered by 304 (R4B 3.1.0.5.1). If-None-Match wins (RFC 9110 13.1.3)."""
    if if_none_match is not None:
        if if_none_match.strip() == "*":
            return True
        return str(version) in (etag_values(if_none_match) or ())
    if if_modified_since is not None:
        since = parse_http_date(if_modified_since)
        return since is not None and updated_us // 1_000_000 <= since
    return False


@dataclass(frozen=True, slots=True)
class Prefer:
    """The Prefer header. return_: None when not said. unknown: what was said and is not understood."""

    return_: Return | None = None
    strict: bool = False
    respond_async: bool = False
    unknown: tuple[str, ...] = field(default=())


_RETURNS: Final[dict[str, Return]] = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}
NO_PREFERENCE: Final = Prefer()


@lru_cache(maxsize=256)
def parse_prefer(text: str) -> Prefer:
    """Prefer (RFC 7240): unknown preferences are kept in `unknown`, because handling=strict must refuse them."""
    chosen: Return | None = None
    strict = asynchronous = False
    unknown: list[str] = []
    for part in re.split(r"[,;]", text):
        name, _, value = (piece.strip().strip('"').lower() for piece in part.partition("="))
        if not name:
            continue
        if name == "return" and value in _RETURNS:
            chosen = chosen or _RETURNS[value]
        elif name == "handling" and value in ("strict", "lenient"):
            strict = value == "strict"
        elif name == "respond-async" and not value:
            asynchronous = True
        else:
            unknown.append(part.strip())
    return Prefer(chosen, strict, asynchronous, tuple(unknown))
