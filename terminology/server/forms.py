"""What R5 says in elements and R4B in extensions: the properties of an expansion."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]
_R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion"


def in_r4b(value_set: Json) -> Json:
    """An expanded value set with its properties as extensions."""
    expansion = value_set.get("expansion")
    if not expansion or not (expansion.get("property") or any(_has_property(i) for i in expansion.get("contains", ()))):
        return value_set
    changed = dict(expansion)
    properties = changed.pop("property", ())
    extensions = [
        {
            "extension": [
                *([{"url": "uri", "valueUri": one["uri"]}] if one.get("uri") else []),
                {"url": "code", "valueCode": one["code"]},
            ],
            "url": f"{_R5}.property",
        }
        for one in properties
    ]
    if extensions:
        changed["extension"] = [*(changed.get("extension") or ()), *extensions]
    if "contains" in changed:
        changed["contains"] = [_item(one) for one in changed["contains"]]
    return {**value_set, "expansion": changed}


def _has_property(item: Json) -> bool:
    return "property" in item or any(_has_property(child) for child in item.get("contains", ()))


def _item(item: Json) -> Json:
    if "property" not in item and "contains" not in item:
        return item
    changed = dict(item)
    extensions = []
    for one in changed.pop("property", ()):
        kind = next(key for key in one if key.startswith("value"))
        extensions.append(
            {
                "extension": [{"url": "code", "valueCode": one["code"]}, {"url": "value", kind: one[kind]}],
                "url": f"{_R5}.contains.property",
            }
        )
    if extensions:
        changed["extension"] = [*(changed.get("extension") or ()), *extensions]
    if "contains" in changed:
        changed["contains"] = [_item(child) for child in changed["contains"]]
    return changed
