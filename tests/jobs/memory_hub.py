"""A hub in memory with just what jobs and dialects call, so that their own rules can be tested alone."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from fhir_server.r4b.outcome import Gone, NotFound, PreconditionFailed
from fhir_server.store.protocol import Record, Version

Json = dict[str, Any]


class MemoryStore:
    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.records: dict[tuple[str, str], Record] = {}
        self.counters: dict[str, int] = {}

    async def last_seq(self) -> int:
        return len(self.versions)

    async def changes(self, after: int, *, types: Sequence[str] = ()) -> AsyncIterator[Version]:
        for version in self.versions[after:]:
            if not types or version.type in types:
                yield version

    async def read_version(self, type: str, id: str, version: int) -> Version | None:
        return next((v for v in self.versions if (v.type, v.id, v.version) == (type, id, version)), None)

    async def get_record(self, kind: str, id: str) -> Record | None:
        return self.records.get((kind, id))

    async def put_record(self, kind: str, id: str, data: Json, *, expect: int | None = None) -> Record:
        there = self.records.get((kind, id))
        record = Record(kind, id, dict(data), (there.revision if there else 0) + 1)
        self.records[kind, id] = record
        return record

    async def add_counter(self, name: str, amount: int, *, expires_at: int | None = None) -> int:
        self.counters[name] = self.counters.get(name, 0) + amount
        return self.counters[name]

    async def get_counter(self, name: str) -> int:
        return self.counters.get(name, 0)


class MemoryHub:
    base_url = "http://test/fhir"

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.current: dict[tuple[str, str], Json | None] = {}
        self.numbers: dict[tuple[str, str], int] = {}

    async def read_resource(self, caller: Any, type: str, id: str) -> Json:
        await asyncio.sleep(0)
        if (type, id) not in self.current:
            raise NotFound(f"{type}/{id} does not exist.")
        found = self.current[type, id]
        if found is None:
            raise Gone(f"{type}/{id} was deleted.")
        return copy.deepcopy(found)

    async def find(self, caller: Any, type: str, params: Any, *, limit: int = 1000) -> list[Json]:
        await asyncio.sleep(0)
        wanted = dict(params)
        return [
            copy.deepcopy(each)
            for (its, _), each in self.current.items()
            if its == type
            and each is not None
            and ("subject" not in wanted or each.get("subject", {}).get("reference") == wanted["subject"])
            and ("status" not in wanted or each.get("status") in wanted["status"].split(","))
        ]

    async def transact(self, caller: Any, entries: Sequence[Json]) -> list[Version | None]:
        await asyncio.sleep(0)
        for entry in entries:
            type, _, id = entry["request"]["url"].partition("/")
            match = entry["request"].get("ifMatch")
            if match is not None and match != f'W/"{self.numbers.get((type, id), 0)}"':
                raise PreconditionFailed(f"{type}/{id} has changed.")
        return [self._write(entry["resource"]) for entry in entries]

    async def save(self, caller: Any, resource: Json, *, if_match: int | None = None) -> Version:
        await asyncio.sleep(0)
        key = (resource["resourceType"], resource["id"])
        if if_match is not None and self.numbers.get(key, 0) != if_match:
            raise PreconditionFailed(f"{key} has changed.")
        return self._write(resource)

    def _write(self, resource: Json) -> Version:
        key = (resource["resourceType"], resource["id"])
        number = self.numbers[key] = self.numbers.get(key, 0) + 1
        kept = copy.deepcopy(resource)
        kept["meta"] = {**kept.get("meta", {}), "versionId": str(number), "lastUpdated": "2026-01-01T00:00:00.000Z"}
        self.current[key] = kept
        version = Version(*key, number, len(self.store.versions) + 1, 0, "PUT", msgspec.json.encode(kept))
        self.store.versions.append(version)
        return version

    def of(self, type: str) -> list[Json]:
        """Every current resource of a type."""
        return [each for (its, _), each in self.current.items() if its == type and each is not None]
