"""What a dialect may ask about jobs: what they cost, by key, and how many of a requester's wait."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fhir_server.jobs.feed import Feed
from fhir_server.jobs.usage import TokenMeter

if TYPE_CHECKING:
    from fhir_server.hub import Hub


class JobBook:
    """The jobs of one hub. One per process."""

    def __init__(self, hub: Hub, codes: Collection[str]) -> None:
        self._meter, self._feed = TokenMeter(hub.store), Feed(hub, codes)

    async def tokens_used(self, key_id: str) -> int:
        """Output tokens of all completed Tasks that this key asked for, up to now."""
        return await self._meter.tokens_used(key_id)

    async def waiting(self, requester: str) -> int:
        """How many Tasks of this requester (states.requester_of) wait or run now."""
        await self._feed.refresh()
        return sum(task.requester == requester for task in self._feed.tasks.values())
