"""OperationDefinitions of what is registered: the standard's own where it has one, else made from what is told here."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from fhir_server.operations.registry import Operation, operations

Json = dict[str, Any]

_STANDARD: Final = "http://hl7.org/fhir/OperationDefinition/"


class _Parameter(NamedTuple):
    name: str
    use: str
    min: int
    max: str
    type: str
    documentation: str


#: Parameters of this server's own operations.
_OWN: Final[dict[str, tuple[_Parameter, ...]]] = {
    "diff": (
        _Parameter("from", "in", 0, "1", "string", "Instance: version id; system: reference to the older resource."),
        _Parameter("to", "in", 0, "1", "string", "Instance: version id; system: reference to the newer resource."),
        _Parameter("fromVersion", "in", 0, "1", "string", "The same as 'from' on an instance."),
        _Parameter("toVersion", "in", 0, "1", "string", "The same as 'to' on an instance."),
        _Parameter("includeMeta", "in", 0, "1", "boolean", "Whether versionId and lastUpdated count as differences."),
        _Parameter("return", "out", 1, "1", "Parameters", "A FHIRPath Patch that leads from the one to the other."),
    ),
    "expunge": (_Parameter("count", "out", 1, "1", "integer", "Number of versions that were removed."),),
    "reindex": (
        _Parameter("type", "in", 0, "*", "code", "Resource types to index; all when left out."),
        _Parameter("count", "out", 1, "1", "integer", "Number of resources that were indexed."),
    ),
}


def definition_id(operation: Operation) -> str:
    return operation.definition.rpartition("/")[2]


def definitions_of(base_url: str) -> list[Json]:
    """One OperationDefinition for each operation that is registered, by id."""
    found: dict[str, Json] = {}
    for operation in operations():
        id = definition_id(operation)
        if id not in found:
            standard = _standard().get(id) if operation.definition.startswith(_STANDARD) else None
            found[id] = dict(standard) if standard is not None else _made(operation, id, base_url)
    return [found[id] for id in sorted(found)]


@lru_cache(maxsize=1)
def _standard() -> dict[str, Json]:
    raw = files("fhir_server.r4b").joinpath("data/operations.json.gz").read_bytes()
    table: dict[str, Json] = msgspec.json.decode(gzip.decompress(raw))
    return table


def _made(operation: Operation, id: str, base_url: str) -> Json:
    url = operation.definition if "://" in operation.definition else f"{base_url}/{operation.definition}"
    made: Json = {
        "resourceType": "OperationDefinition",
        "id": id,
        "url": url,
        "name": "".join(word.capitalize() for word in operation.name.split("-")),
        "status": "active",
        "kind": "operation",
        "description": operation.documentation or f"${operation.name}",
        "affectsState": operation.affects_state,
        "code": operation.name,
        "resource": list(operation.types) or ["Resource"],
        **{level: level in operation.levels for level in ("system", "type", "instance")},
    }
    parameters = [each._asdict() for each in _OWN.get(operation.name, ())]
    return {**made, "parameter": parameters} if parameters else made
