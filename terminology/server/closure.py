"""$closure (R4B 4.10.15.2): a table of which codes include which, that a client keeps up to date. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
#: What a table is kept as: {"version": n, "concepts": [[system, code]], "entries": [[system, child, parent, version]]}
Table = Mapping[str, Any]
#: Codes above a code of a system, without itself; None when the system is not known.
Above = Callable[[str, str], "set[str] | None"]

EMPTY: Table = {"version": 0, "concepts": [], "entries": []}


def added(table: Table, concepts: Sequence[tuple[str, str]], above: Above) -> Table:
    """The table with more concepts; the same table when all of them are in it already."""
    known = {(system, code) for system, code in table["concepts"]}
    fresh = [one for one in dict.fromkeys(concepts) if one not in known]
    if not fresh:
        return table
    version = table["version"] + 1
    everything = [*known, *fresh]
    entries = []
    new = set(fresh)
    for system, child in everything:
        parents = above(system, child) or set()
        for other_system, parent in everything:
            if other_system == system and parent in parents and ((system, child) in new or (system, parent) in new):
                entries.append([system, child, parent, version])
    return {
        "version": version,
        "concepts": [*table["concepts"], *map(list, fresh)],
        "entries": [*table["entries"], *sorted(entries)],
    }


def since(table: Table, version: int) -> list[list[Any]]:
    """The entries that came after a version."""
    return [entry for entry in table["entries"] if entry[3] > version]


def concept_map(name: str, version: int, entries: Sequence[Sequence[Any]], date: str) -> Json:
    """The answer: for each code the codes that subsume it."""
    systems: dict[str, dict[str, list[Json]]] = {}
    for system, child, parent, _ in entries:
        targets = systems.setdefault(system, {}).setdefault(child, [])
        targets.append({"code": parent, "equivalence": "subsumes"})
    found: Json = {
        "resourceType": "ConceptMap",
        "version": str(version),
        "name": name,
        "status": "active",
        "experimental": True,
        "date": date,
    }
    if systems:
        found["group"] = [
            {
                "source": system,
                "target": system,
                "element": [{"code": code, "target": targets} for code, targets in elements.items()],
            }
            for system, elements in systems.items()
        ]
    return found
