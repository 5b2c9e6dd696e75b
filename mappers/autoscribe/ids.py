"""AutoScribe's ids (a prefix and 32 hexadecimal digits) <-> ids of FHIR resources.

A resource whose id is 32 hex digits, or a UUID, is known by these digits. Any other id is known by the beginning of the
SHA-256 of "Type/id", and a resource that carries the vendor's identifier is known by that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fhir_server.jobs.names import Json
from fhir_server.r4b.outcome import FhirError
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_HEX: Final = re.compile(r"[0-9a-f]{32}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of vendor id: its prefix, the resource type it names, and the system of such an Identifier."""

    prefix: str
    type: str
    system: str
    word: str

    def is_valid(self, id: str) -> bool:
        head, _, digits = id.partition("_")
        return head == self.prefix and _HEX.fullmatch(digits) is not None

    def of(self, resource: Mapping[str, Any]) -> str:
        """The vendor id of a resource."""
        for identifier in resource.get("identifier") or ():
            if identifier.get("system") == self.system and self.is_valid(str(identifier.get("value", ""))):
                return str(identifier["value"])
        return self.of_id(str(resource["id"]))

    def of_id(self, id: str) -> str:
        return f"{self.prefix}_{plain(id) or digest(self.type, id)}"

    def identifier(self, id: str) -> Json:
        """The Identifier of a resource that this dialect makes with this id."""
        return {"system": self.system, "value": self.of_id(id)}


STUDY: Final = Kind("stu", "ImagingStudy", "urn:vendor:autoscribe:study-id", "study")
REPORT: Final = Kind("rep", "DiagnosticReport", "urn:vendor:autoscribe:report-id", "report")
EXTERNAL: Final = Kind("ext", "DiagnosticReport", "urn:vendor:autoscribe:external-report-id", "external report")
USER: Final = Kind("usr", "Practitioner", "urn:vendor:autoscribe:user-id", "user")
CUSTOMER: Final = Kind("cus", "Organization", "urn:vendor:autoscribe:express-customer-id", "Express customer")


def plain(id: str) -> str | None:
    """The 32 hex digits of an id that has them, with or without a UUID's dashes."""
    if _HEX.fullmatch(id):
        return id
    return id.replace("-", "") if _UUID.fullmatch(id) else None


def digest(type: str, id: str) -> str:
    """32 hex digits that stand for "Type/id"."""
    return hashlib.sha256(f"{type}/{id}".encode()).hexdigest()[:32]


class Index:
    """Finds resources by vendor ids. Ids that cannot be turned back are learnt from the store's changes, when one that
    is not known is asked for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ids: dict[tuple[str, str], str] = {}
        self._seen = 0

    async def find(self, caller: Caller, kind: Kind, id: str) -> Json | None:
        """The resource of a valid vendor id, None when there is none."""
        digits = id.partition("_")[2]
        dashed = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        for version in await self._hub.store.read_many([(kind.type, digits), (kind.type, dashed)]):
            if version is not None and version.body is not None:
                found = await read(self._hub, caller, kind.type, version.id)
                if found is not None:
                    return found
        found_by_identifier = await self._hub.find(caller, kind.type, [("identifier", f"{kind.system}|{id}")], limit=1)
        if found_by_identifier:
            return found_by_identifier[0]
        other = self._ids.get((kind.type, digits))
        if other is None:
            await self._learn()
            other = self._ids.get((kind.type, digits))
        return await read(self._hub, caller, kind.type, other) if other is not None else None

    async def _learn(self) -> None:
        types = (STUDY.type, REPORT.type, USER.type)
        async for version in self._hub.store.changes(self._seen, types=types):
            self._seen = max(self._seen, version.seq)
            if plain(version.id) is None:
                self._ids[version.type, digest(version.type, version.id)] = version.id


async def read(hub: Hub, caller: Caller, type: str, id: str) -> Json | None:
    """The resource, None when there is none (or no more, or the id cannot be one)."""
    try:
        return await hub.read_resource(caller, type, id)
    except FhirError as error:
        if error.status in (400, 404, 410):
            return None
        raise
