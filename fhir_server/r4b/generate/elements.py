"""StructureDefinitions -> rows of elements, and their invariants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
#: Stated on every element and every extension; the validator knows them.
EVERYWHERE = frozenset(("ele-1", "ext-1"))
#: Bits of a row's flags.
CHOICE, SUMMARY, MODIFIER = 1, 2, 4

Row = list[Any]


def type_row(type_: Mapping[str, Any]) -> list[str]:
    """[code, target, ...]; targets only where they narrow what is allowed; for a Quantity, its profile."""
    code = str(type_["code"])
    for extension in type_.get("extension", ()):
        if extension["url"] == FHIR_TYPE:
            code = extension.get("valueUrl") or extension["valueUri"]
    targets = [url.removeprefix(STRUCTURE) for url in type_.get("targetProfile", ())]
    if code == "Quantity":
        targets = [url.removeprefix(STRUCTURE) for url in type_.get("profile", ())]
    return [code] if "Resource" in targets else [code, *targets]


def binding_row(binding: Mapping[str, Any] | None) -> list[str] | None:
    if binding is None or "valueSet" not in binding:
        return None
    return [binding["strength"], binding["valueSet"].partition("|")[0]]


def element_row(element: Mapping[str, Any], paths: frozenset[str]) -> Row:
    """[name, min, max (-1 is *), flags, types, binding, invariant keys, content]."""
    path: str = element["path"]
    choice = path.endswith("[x]")
    flags = CHOICE * choice + SUMMARY * bool(element.get("isSummary")) + MODIFIER * bool(element.get("isModifier"))
    types = [type_row(type_) for type_ in element.get("type", ())]
    reference = element.get("contentReference", "").partition("#")[2]
    content = reference or (path if path in paths else None)
    keys = [c["key"] for c in element.get("constraint", ()) if c["key"] not in EVERYWHERE]
    name = path.rpartition(".")[2].removesuffix("[x]")
    top = -1 if element["max"] == "*" else int(element["max"])
    return [name, element["min"], top, flags, types, binding_row(element.get("binding")), keys, content]


def element_tables(structures: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """({type: [kind, abstract, parent, {path: rows}]}, {type: [[key, severity, human, expression, path], ...]})."""
    tables: dict[str, Any] = {}
    invariants: dict[str, Any] = {}
    for structure in structures:
        name = structure["type"]
        elements: Sequence[Mapping[str, Any]] = structure["snapshot"]["element"]
        paths = frozenset(e["path"].rpartition(".")[0] for e in elements) - {""}
        parent = structure.get("baseDefinition", "").removeprefix(STRUCTURE) or None
        contents: dict[str, list[Row]] = {path: [] for path in sorted(paths)}
        stated: list[list[str]] = []
        for element in elements:
            path = element["path"]
            if path != name:
                contents[path.rpartition(".")[0]].append(element_row(element, paths))
            for rule in element.get("constraint", ()):
                own = rule.get("source", STRUCTURE + name) == STRUCTURE + name
                if own and "expression" in rule:
                    stated.append([rule["key"], rule["severity"], rule["human"], rule["expression"], path])
        kind = structure["kind"]
        tables[name] = [kind, structure["abstract"], parent, contents if kind != "primitive-type" else {}]
        if stated:
            invariants[name] = stated
    return tables, invariants


def required_value_sets(structures: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """URLs (without version) of value sets that some element is bound to with strength required."""
    return frozenset(
        binding["valueSet"].partition("|")[0]
        for structure in structures
        for element in structure["snapshot"]["element"]
        if (binding := element.get("binding")) and binding["strength"] == "required" and "valueSet" in binding
    )
