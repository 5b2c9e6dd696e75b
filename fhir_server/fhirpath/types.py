"""Type tests: `is`, `as`, ofType() (FHIRPath N1 6.3; R4B fhirpath.html "Types")."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.values import Item, Node, system_type
from fhir_server.r4b.definitions import definitions

_SYSTEM: Final = frozenset({"Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"})

#: What each FHIR primitive derives from (R4B datatypes.html).
_PRIMITIVE_PARENTS: Final = {
    "code": "string",
    "id": "string",
    "markdown": "string",
    "url": "uri",
    "canonical": "uri",
    "oid": "uri",
    "uuid": "uri",
    "positiveInt": "integer",
    "unsignedInt": "integer",
}


def is_type(item: Item, name: str) -> bool:
    """True when the item is of the type or one derived from it; raises FhirPathError for a type that does not exist."""
    namespace, _, local = name.rpartition(".")
    if namespace not in ("", "FHIR", "System"):
        raise FhirPathError(f"there is no type {name}")
    if isinstance(item, Node):
        if namespace == "System" or (not namespace and local in _SYSTEM and local != "Quantity"):
            return False
        return local in ancestors(item.type)
    if namespace == "FHIR":
        return False
    return system_type(item)[1] == local


@lru_cache(maxsize=4096)
def ancestors(type: str) -> frozenset[str]:
    """The type itself and all that it derives from."""
    if type in _PRIMITIVE_PARENTS:
        return frozenset({type, _PRIMITIVE_PARENTS[type], "Element"})
    if "." in type:
        return frozenset({"BackboneElement", "Element"})
    found = {type}
    parent = definitions().parent(type)
    while parent is not None and parent not in found:
        found.add(parent)
        parent = definitions().parent(parent)
    if type[0].islower():
        found.add("Element")
    return frozenset(found)
