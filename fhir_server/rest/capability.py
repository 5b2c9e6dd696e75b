"""The CapabilityStatement, computed from what runs: handlers, search parameters, operations. R4B 3.1.0.12."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from fhir_server.hub import Hub
from fhir_server.interactions.patch import FORMATS as PATCH_FORMATS
from fhir_server.operations.registry import Operation, operations
from fhir_server.r4b.codec import instant
from fhir_server.r4b.definitions import SearchParameter, definitions
from fhir_server.rest.formats import FORMATS
from fhir_server.rest.interactions import HANDLERS
from fhir_server.rest.negotiate import FHIR_VERSIONS, ONLY_R4B
from fhir_server.rest.options import RestOptions

_TYPE_LEVEL: Final = (
    ("read", "read"),
    ("vread", "vread"),
    ("update", "update"),
    ("patch", "patch"),
    ("delete", "delete"),
    ("history-instance", "history"),
    ("history-type", "history"),
    ("create", "create"),
    ("search-type", "search"),
)
_SYSTEM_LEVEL: Final = (
    ("transaction", "bundle"),
    ("batch", "bundle"),
    ("search-system", "search"),
    ("history-system", "history"),
)
_COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/"
#: Parameters that are the search mechanism itself rather than indexes; the parser takes them for every type.
_RESULT: Final = ("_sort", "_count", "_total", "_summary", "_elements", "_include", "_revinclude")


class Capabilities:
    """Statements as bytes, one per FHIR version, made anew when search parameters or operations have changed."""

    def __init__(self, hub: Hub, options: RestOptions, *, started_us: int) -> None:
        self._hub = hub
        self._options = options
        self._date = instant(started_us)
        self._cache: dict[str, tuple[object, bytes, bytes]] = {}

    @property
    def date(self) -> str:
        """When this server started, as a statement says it."""
        return self._date

    def statement(self, version: str) -> tuple[bytes, bytes]:
        """(JSON, ETag) for a FHIR version, "4.3" or "4.0"."""
        state = (getattr(self._hub.registry, "generation", 0), len(operations()))
        cached = self._cache.get(version)
        if cached is None or cached[0] != state:
            body = msgspec.json.encode(self._build(version))
            tag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:16].encode()
            cached = self._cache[version] = (state, body, tag)
        return cached[1], cached[2]

    def _build(self, version: str) -> dict[str, Any]:
        options = self._options
        types = [name for name in definitions().types if version != "4.0" or name not in ONLY_R4B]
        return {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": self._date,
            "publisher": options.server_name,
            "kind": "instance",
            "instantiates": ["http://hl7.org/fhir/CapabilityStatement/terminology-server"],
            "software": {"name": options.server_name, "version": options.server_version or "0"},
            "implementation": {"description": "FHIR R4B server", "url": self._hub.base_url},
            "fhirVersion": FHIR_VERSIONS[version],
            "format": [media for each in FORMATS for media in (*each.media_types, each.name)],
            "patchFormat": list(PATCH_FORMATS),
            "rest": [
                {
                    "mode": "server",
                    "security": {
                        "cors": bool(options.cors_origins),
                        "description": "A key in the header 'Authorization: Bearer'. /metadata needs none.",
                    },
                    "resource": [self._resource(name, set(types)) for name in types],
                    "interaction": [{"code": code} for code, handler in _SYSTEM_LEVEL if handler in HANDLERS],
                    **self._operations("system", ""),
                    "searchParam": _parameters(self._searchable("Resource")),
                    "compartment": [_COMPARTMENT + name.lower() for name in definitions().compartments],
                }
            ],
        }

    def _resource(self, type: str, types: set[str]) -> dict[str, Any]:
        registry, hub_options = self._hub.registry, self._hub.options
        parameters = self._searchable(type)
        references = sorted(code for code, each in parameters.items() if each.type == "reference")
        pointing = sorted(f"{source}:{each.code}" for source, each in registry.referencing(type) if source in types)
        return {
            "type": type,
            **_profiles(type, hub_options.required_profiles.get(type, ())),
            "interaction": [{"code": code} for code, handler in _TYPE_LEVEL if handler in HANDLERS],
            "versioning": "versioned-update",
            "readHistory": "vread" in HANDLERS,
            "updateCreate": hub_options.update_as_create,
            "conditionalCreate": "create" in HANDLERS,
            "conditionalRead": "full-support",
            "conditionalUpdate": "conditional-update" in HANDLERS,
            "conditionalDelete": ("multiple" if hub_options.delete_cap > 1 else "single")
            if "conditional-delete" in HANDLERS
            else "not-supported",
            "referencePolicy": ["literal", "logical", *(["enforced"] if hub_options.integrity == "enforce" else [])],
            "searchInclude": ["*", *(f"{type}:{code}" for code in references)],
            **({"searchRevInclude": pointing} if pointing else {}),
            "searchParam": _parameters(parameters),
            **self._operations("type", type),
        }

    def _operations(self, level: str, type: str) -> dict[str, list[dict[str, str]]]:
        """{"operation": [...]}, or {} when there are none: FHIR has no empty arrays."""
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for each in operations():
            if _applies(each, level, type):
                entry = {"name": each.name, "definition": self._canonical(each.definition)}
                if each.documentation:
                    entry["documentation"] = each.documentation
                found["operation"].append(entry)
        return dict(found)

    def _searchable(self, type: str) -> dict[str, SearchParameter]:
        parameters = self._hub.registry.parameters(type) or definitions().search_parameters(type)
        return {code: each for code, each in parameters.items() if self._runs(code)}

    def _runs(self, code: str) -> bool:
        """False for a parameter of the standard that this server is not set up to answer."""
        if code in ("_text", "_content"):
            return self._hub.options.full_text
        return code != "_query" or bool(self._hub.registry.named_queries)

    def _canonical(self, definition: str) -> str:
        """Absolute: an operation of this server's own is defined by an OperationDefinition on it."""
        return definition if "://" in definition else f"{self._hub.base_url}/{definition}"


def _parameters(parameters: Mapping[str, SearchParameter]) -> list[dict[str, str]]:
    found = [{"name": code, "definition": each.url, "type": each.type} for code, each in parameters.items()]
    found += [{"name": name, "type": "special"} for name in _RESULT if name not in parameters]
    return found


def _profiles(type: str, required: Sequence[str]) -> dict[str, Any]:
    """The profile that every instance keeps, and all of them when the operator asks for several."""
    base = f"http://hl7.org/fhir/StructureDefinition/{type}"
    return {"profile": required[0] if required else base, **({"supportedProfile": list(required)} if required else {})}


def _applies(operation: Operation, level: str, type: str) -> bool:
    if level == "system":
        return "system" in operation.levels
    below = "type" in operation.levels or "instance" in operation.levels
    return below and (not operation.types or type in operation.types)
