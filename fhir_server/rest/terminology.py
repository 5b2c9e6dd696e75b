"""The TerminologyCapabilities (R4B 4.7; ``/metadata?mode=terminology``), computed from the content that is here."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from fhir_server.hub import Hub
from fhir_server.rest.options import RestOptions
from fhir_server.security.caller import SYSTEM
from terminology.server import grammars
from terminology.server.versions import order

Json = dict[str, Any]
#: Seconds for which a statement is given again as it is.
_KEEP: Final = 5.0
_PARAMETERS: Final = (
    "activeOnly",
    "check-system-version",
    "count",
    "default-valueset-version",
    "designation",
    "displayLanguage",
    "excludeNested",
    "excludeNotForUI",
    "filter",
    "force-system-version",
    "includeDefinition",
    "includeDesignations",
    "offset",
    "property",
    "system-version",
    "tx-resource",
    "useSupplement",
    "versionsMatch",
)


class TerminologyStatement:
    """Statements as bytes."""

    def __init__(self, hub: Hub, options: RestOptions, date: str) -> None:
        self._hub = hub
        self._options = options
        self._date = date
        self._made = (-_KEEP, b"")

    async def statement(self) -> bytes:
        """The resource's JSON."""
        made, body = self._made
        if time.monotonic() - made > _KEEP:
            body = msgspec.json.encode(await self._build())
            self._made = (time.monotonic(), body)
        return body

    async def _build(self) -> Json:
        options = self._options
        versions: dict[str, set[str | None]] = {}
        terminology = self._hub.terminology
        if terminology is not None:
            for url, version in grammars.versions():
                versions.setdefault(url, set()).add(version)
            for index in terminology.indexes():
                for row in index.systems():
                    versions.setdefault(row.url, set()).add(row.version)
            stored = await self._hub.find(SYSTEM, "CodeSystem", [("_elements", "url,version,content")], limit=5000)
            for resource in stored:
                if resource.get("url") and resource.get("content") in ("complete", "fragment"):
                    versions.setdefault(resource["url"], set()).add(resource.get("version"))
        return {
            "resourceType": "TerminologyCapabilities",
            "url": f"{self._hub.base_url}/metadata?mode=terminology",
            "version": options.server_version or "0",
            "name": "TerminologyCapabilities",
            "title": f"Terminology of {options.server_name}",
            "status": "active",
            "date": self._date,
            "kind": "instance",
            "software": {"name": options.server_name, "version": options.server_version or "0"},
            "implementation": {"description": "FHIR R4B terminology service", "url": self._hub.base_url},
            "lockedDate": False,
            "codeSystem": [_code_system(url, known) for url, known in sorted(versions.items())],
            "expansion": {
                "hierarchical": True,
                "paging": True,
                "incomplete": True,
                "parameter": [{"name": name} for name in _PARAMETERS],
                "textFilter": "Every word of the text begins a word of one of the concept's names, or the text begins "
                "its code; the nearest first.",
            },
            "codeSearch": "all",
            "validateCode": {"translations": True},
            "translation": {"needsMap": True},
            "closure": {"translation": False},
        }


def _code_system(url: str, versions: set[str | None]) -> Json:
    found: Json = {"uri": url}
    known = sorted((version for version in versions if version), key=order)
    if known:
        found["version"] = [{"code": version, "isDefault": version == known[-1]} for version in known]
    return found
