"""What jobs cost, by key: the sum of the output tokens of completed Tasks, read off the store's feed of changes.

Nothing is counted by hand, so nothing is counted twice or lost when a worker dies. The sum so far is kept as a record,
only so that a restart need not read the whole feed again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fhir_server.jobs.names import parameter
from fhir_server.store.protocol import Store, StoreError, Version

KIND: Final = "usage"
ID: Final = "output-tokens"


def key_of(task: Mapping[str, Any]) -> str | None:
    """The id of the API key that asked for a Task (Task.requester.identifier); None for a Task of a FHIR client."""
    identifier = (task.get("requester") or {}).get("identifier") or {}
    system, value = identifier.get("system"), identifier.get("value")
    if isinstance(system, str) and system.endswith("/NamingSystem/api-key") and isinstance(value, str):
        return value
    return None


class TokenMeter:
    """Output tokens by key. One per process; what one process has not folded in yet another one reads for itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seq: int | None = None
        self._tokens: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def tokens_used(self, key_id: str) -> int:
        """All that the key has used, up to now."""
        async with self._lock:
            await self._catch_up()
            return self._tokens.get(key_id, 0)

    async def _catch_up(self) -> None:
        if self._seq is None:
            record = await self._store.get_record(KIND, ID)
            self._seq = int(record.data["seq"]) if record else 0
            self._tokens = dict(record.data["tokens"]) if record else {}
        last = await self._store.last_seq()
        if last == self._seq:
            return
        changed = False
        async for version in self._store.changes(self._seq, types=("Task",)):
            changed = await self._count(version) or changed
            last = max(last, version.seq)
        self._seq = last
        if changed:
            with contextlib.suppress(StoreError):
                await self._store.put_record(KIND, ID, {"seq": self._seq, "tokens": self._tokens})

    async def _count(self, version: Version) -> bool:
        task = _completed(version)
        key = key_of(task) if task else None
        if task is None or key is None:
            return False
        before = (
            await self._store.read_version("Task", version.id, version.version - 1) if version.version > 1 else None
        )
        if before is not None and _completed(before) is not None:
            return False
        used = parameter(task.get("output"), "usage-output-tokens")
        self._tokens[key] = self._tokens.get(key, 0) + (used if isinstance(used, int) else 0)
        return True


def _completed(version: Version) -> dict[str, Any] | None:
    """The Task, when this version of it says that it is completed."""
    if version.body is None or b'"completed"' not in version.body:
        return None
    task: dict[str, Any] = msgspec.json.decode(version.body)
    return task if task.get("status") == "completed" else None
