"""Cursors: pages of what a FHIR search finds and a filter lets through."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException

from fhir_server.jobs.names import Json
from fhir_server.r4b import codec
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

T = TypeVar("T")
_BATCH: Final = 100
_CURSOR: Final = 8192


async def page(
    hub: Hub,
    caller: Caller,
    type: str,
    parameters: Sequence[tuple[str, str]],
    *,
    cursor: str | None,
    limit: int,
    project: Callable[[list[Json]], Awaitable[list[T | None]]],
) -> tuple[list[T], str | None]:
    """Up to `limit` projections that are not None, and the cursor of what follows. A cursor says at which page of the
    search to go on, and how many of its matches were dealt with."""
    token, done = _opened(cursor)
    found: list[T] = []
    while True:
        asked = [("_page", token)] if token else [*parameters, ("_count", str(_BATCH))]
        answer = await hub.search(caller, [type], asked, strict=True)
        matches = [codec.decode(version.body or b"") for version in answer.matches]
        following = parse_qs(urlsplit(answer.links.get("next", "")).query).get("_page", [None])[0]
        while done < len(matches):
            some = matches[done : done + limit - len(found) + 1]
            for projection in await project(some):
                if projection is not None:
                    if len(found) == limit:
                        return found, _sealed(token, done)
                    found.append(projection)
                done += 1
        if following is None:
            return found, None
        token, done = following, 0


def limit_of(text: str | None) -> int:
    """1 to 100, 50 when nothing is said. Raises 400."""
    if text is None:
        return 50
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 100 or value != int(value):
        raise HTTPException(400, "limit must be a whole number from 1 to 100.")
    return int(value)


def _sealed(token: str | None, done: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([token, done]).encode()).decode("ascii")


def _opened(cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    try:
        if len(cursor) > _CURSOR:
            raise ValueError
        token: Any
        token, done = json.loads(base64.urlsafe_b64decode(cursor))
        if not isinstance(done, int) or done < 0 or not (token is None or isinstance(token, str)):
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise HTTPException(400, "The cursor is not valid.") from None
    return token, done
