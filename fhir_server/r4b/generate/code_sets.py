"""Expanded value sets -> {url: {system: [codes]}}."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
#: Sets that a rule decides and no list of codes can: BCP 13 and UCUM.
BY_RULE = frozenset(("http://hl7.org/fhir/ValueSet/mimetypes", "http://hl7.org/fhir/ValueSet/ucum-units"))


def leaves(contains: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for item in contains:
        if "code" in item and not item.get("abstract"):
            yield item.get("system", ""), item["code"]
        yield from leaves(item.get("contains", ()))


def code_sets(expanded: Iterable[Mapping[str, Any]], wanted: frozenset[str]) -> dict[str, dict[str, list[str]]]:
    """The closed, enumerated ones among `wanted`; says which are left out."""
    sets: dict[str, dict[str, list[str]]] = {}
    for value_set in expanded:
        url = value_set["url"]
        if url not in wanted or url in BY_RULE:
            continue
        expansion = value_set.get("expansion", {})
        systems: dict[str, list[str]] = {}
        for system, code in leaves(expansion.get("contains", ())):
            systems.setdefault(system, []).append(code)
        if any(e["url"] == UNCLOSED for e in expansion.get("extension", ())) or not systems:
            print(f"left out (open or empty): {url}")
            continue
        sets[url] = {system: sorted(set(codes)) for system, codes in systems.items()}
    print("no expansion:", *sorted(wanted - sets.keys()))
    return dict(sorted(sets.items()))
