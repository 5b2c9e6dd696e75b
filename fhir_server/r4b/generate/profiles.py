"""The extensions and profiles that the standard itself defines, as small differentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_KEPT = ("url", "type", "baseDefinition", "context", "kind", "derivation")
_ELEMENT = ("id", "path", "sliceName", "slicing", "min", "max", "type", "constraint", "maxLength")
_VALUES = ("fixed", "pattern", "minValue", "maxValue")
_CONSTRAINT = ("key", "severity", "human", "expression", "source")
#: Stated on every element, and checked wherever there is one.
_EVERYWHERE = ("ele-1", "ext-1")


def profile_table(structures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Canonical URL -> StructureDefinition with what validation needs of its differential."""
    table = {}
    for structure in structures:
        if structure.get("derivation") == "constraint":
            kept = {name: structure[name] for name in _KEPT if name in structure}
            kept["differential"] = {"element": [_element(one) for one in structure["differential"]["element"]]}
            table[structure["url"]] = kept
    return dict(sorted(table.items()))


def _element(element: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in element.items() if name in _ELEMENT or name.startswith(_VALUES)}
    if "constraint" in kept:
        kept["constraint"] = [
            {name: one[name] for name in _CONSTRAINT if name in one}
            for one in kept["constraint"]
            if one["key"] not in _EVERYWHERE
        ]
    binding = element.get("binding")
    if binding is not None and "valueSet" in binding:
        kept["binding"] = {"strength": binding["strength"], "valueSet": binding["valueSet"]}
    return kept
