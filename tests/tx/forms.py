"""HL7's terminology tests are written in R5: requests on their way to an R4B server, and answers on their way back."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion"
_ONLY_R5 = ("versionAlgorithmString", "versionAlgorithmCoding", "copyrightLabel", "approvalDate", "topic", "author")
_EQUIVALENCE = {
    "related-to": "relatedto",
    "equivalent": "equivalent",
    "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower",
    "not-related-to": "disjoint",
}


def to_r4b(resource: Json) -> Json:
    """A request, or a resource in it."""
    kind = resource.get("resourceType")
    if kind == "Parameters":
        return {**resource, "parameter": [_parameter(one) for one in resource.get("parameter", ())]}
    kept = {key: value for key, value in resource.items() if key not in _ONLY_R5}
    if kind == "ConceptMap":
        for old, new in (("sourceScopeUri", "sourceUri"), ("targetScopeUri", "targetUri")):
            if old in kept:
                kept[new] = kept.pop(old)
        kept["group"] = [_group(group) for group in kept.get("group", ())]
    return kept


def _parameter(parameter: Json) -> Json:
    if "resource" in parameter:
        return {**parameter, "resource": to_r4b(parameter["resource"])}
    return parameter


def _group(group: Json) -> Json:
    elements = []
    for element in group.get("element", ()):
        targets = []
        for target in element.get("target", ()):
            changed = dict(target)
            changed["equivalence"] = _EQUIVALENCE[changed.pop("relationship", "equivalent")]
            targets.append(changed)
        elements.append({**element, "target": targets})
    return {**group, "element": elements}


def to_r5(resource: Json) -> Json:
    """An answer, without what the tests do not look at."""
    kind = resource.get("resourceType")
    if kind == "ValueSet" and "expansion" in resource:
        expansion = dict(resource["expansion"])
        properties, others = [], []
        for extension in expansion.pop("extension", ()):
            if extension.get("url") == f"{_R5}.property":
                properties.append({part["url"]: _value(part) for part in extension["extension"]})
            else:
                others.append(extension)
        if others:
            expansion["extension"] = others
        if properties:
            expansion["property"] = properties
        if "contains" in expansion:
            expansion["contains"] = [_item(one) for one in expansion["contains"]]
        return {key: value for key, value in resource.items() if key != "text"} | {"expansion": expansion}
    if kind == "Parameters":
        return {**resource, "parameter": [_answered(one) for one in resource.get("parameter", ())]}
    return resource


def _item(item: Json) -> Json:
    changed = dict(item)
    properties, others = [], []
    for extension in changed.pop("extension", ()):
        if extension.get("url") == f"{_R5}.contains.property":
            parts = {part["url"]: part for part in extension["extension"]}
            kind = next(key for key in parts["value"] if key.startswith("value"))
            properties.append({"code": _value(parts["code"]), kind: parts["value"][kind]})
        else:
            others.append(extension)
    if others:
        changed["extension"] = others
    if properties:
        changed["property"] = properties
    if "contains" in changed:
        changed["contains"] = [_item(one) for one in changed["contains"]]
    return changed


def _answered(parameter: Json) -> Json:
    if parameter.get("name") == "match":
        parts = [
            {"name": "originMap", "valueCanonical": one["valueUri"]} if one["name"] == "source" else one
            for one in parameter["part"]
        ]
        return {**parameter, "part": parts}
    if "resource" in parameter:
        return {**parameter, "resource": to_r5(parameter["resource"])}
    return parameter


def _value(element: Json) -> Any:
    return next(element[key] for key in element if key.startswith("value"))
