"""Sporo's rate limits: so many requests to a route within an hour or a minute, per key, over all processes.

A window slides: the times of the last requests are kept in a record of the store, so that a limit is exact and
Retry-After is true.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from fhir_server.store.protocol import VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub

KIND: Final = "rate-limit"
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_ATTEMPTS: Final = 50


class RateLimits:
    """rules: route -> (number of requests, "second", "minute", "hour" or "day"); a route without one is not limited."""

    def __init__(self, hub: Hub, rules: Mapping[str, tuple[int, str]], clock: Callable[[], datetime]) -> None:
        self._hub, self._rules, self._clock = hub, rules, clock
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, route: str, key_id: str) -> None:
        """Count one request. Raises HTTPException 429, with Retry-After in seconds, when it is one too many."""
        rule = self._rules.get(route)
        if rule is None:
            return
        number, unit = rule
        id = f"sporo/{route}/{key_id}"
        async with self._locks[id]:
            for _ in range(_ATTEMPTS):
                now = self._clock().timestamp()
                record = await self._hub.store.get_record(KIND, id)
                taken = [at for at in (record.data["at"] if record else ()) if at > now - _SECONDS[unit]]
                if len(taken) >= number:
                    wait = max(1, math.ceil(taken[-number] + _SECONDS[unit] - now))
                    raise HTTPException(429, sentence(route, number, unit), {"Retry-After": str(wait)})
                try:
                    await self._hub.store.put_record(
                        KIND, id, {"at": [*taken, now]}, expect=record.revision if record else 0
                    )
                except VersionMismatch:  # another process counted one meanwhile
                    continue
                return
        raise HTTPException(429, sentence(route, number, unit), {"Retry-After": "1"})


def sentence(route: str, number: int, unit: str) -> str:
    """The vendor's words."""
    said = f"Rate limit of {number} requests per {unit} exceeded"
    article = "an" if unit == "hour" else "a"
    return said if route == "status" else f"{said}. Please try again after {article} {unit}."
