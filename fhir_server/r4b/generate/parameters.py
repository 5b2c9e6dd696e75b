"""SearchParameters and CompartmentDefinitions -> compact rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CANONICAL = "http://hl7.org/fhir/SearchParameter/"


def parameter_table(parameters: Iterable[Mapping[str, Any]]) -> list[list[Any]]:
    """[id, code, type, expression, bases, targets, components, comparators, modifiers, chain, multipleOr, multipleAnd,
    name, description], without the specification's examples and packs of extensions."""
    rows = []
    for p in parameters:
        # Only the 1,414 that belong to the standard itself are dated; packs of extensions and examples are not.
        if p.get("version") != "4.3.0" or "date" not in p or not p.get("base"):
            continue
        rows.append(
            [
                p["url"].removeprefix(CANONICAL),
                p["code"],
                p["type"],
                p.get("expression", ""),
                p["base"],
                p.get("target", []),
                [[c["definition"].removeprefix(CANONICAL), c["expression"]] for c in p.get("component", ())],
                p.get("comparator", []),
                p.get("modifier", []),
                p.get("chain", []),
                p.get("multipleOr", True),
                p.get("multipleAnd", True),
                p["name"],
                description(p),
            ]
        )
    return sorted(rows, key=lambda row: row[0])


def description(parameter: Mapping[str, Any]) -> Any:
    """One line, or {base: line} where the standard gives one for each base."""
    text = parameter["description"].replace("\r", "")
    if not text.startswith("Multiple Resources"):
        return text.strip().partition("\n")[0]
    lines = {}
    for line in text.split("\n"):
        if line.startswith("* ["):
            base, _, words = line[3:].partition("]")
            lines[base] = words.partition("): ")[2].strip()
    return lines


def compartment_table(compartments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """{compartment: {resource type: [parameter code, ...]}}; the resource itself is linked by _id."""
    return {
        c["code"]: {
            r["code"]: ["_id" if code == "{def}" else code for code in r["param"]]
            for r in c["resource"]
            if r.get("param")
        }
        for c in compartments
        if not c["url"].endswith("/example")
    }
