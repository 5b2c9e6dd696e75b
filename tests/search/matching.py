"""An answer to a query tree by plain reading of its contract, over a handful of resources in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fhir_server.search import query as q
from fhir_server.search.entries import CANONICAL_UCUM, Entries
from fhir_server.search.extract import extract
from fhir_server.search.fold import fold
from fhir_server.search.parse import Parsed, parse_search
from fhir_server.search.registry import Registry, default_registry

BASE = "http://here.org/fhir"
_TABLES = {
    "token": "tokens",
    "string": "strings",
    "date": "dates",
    "number": "numbers",
    "quantity": "quantities",
    "reference": "references",
    "uri": "uris",
}
_LEAF_TABLES: dict[type, str] = {
    q.Token: "tokens",
    q.TokenIn: "tokens",
    q.String: "strings",
    q.Date: "dates",
    q.Number: "numbers",
    q.Quantity: "quantities",
    q.Reference: "references",
    q.Uri: "uris",
}


def parse(type: str | Sequence[str], *criteria: str, registry: Registry | None = None, **options: Any) -> Parsed:
    """parse("Patient", "name=x", "_sort=birthdate")"""
    types = (type,) if isinstance(type, str) else tuple(type)
    pairs = [(name, value) for name, _, value in (c.partition("=") for c in criteria)]
    return parse_search(types, pairs, registry=registry or default_registry(), base_urls=(BASE,), **options)


def where(type: str, *criteria: str, **options: Any) -> q.Node:
    return parse(type, *criteria, **options).query.where


class World:
    """Resources that can be searched."""

    def __init__(self, *resources: dict[str, Any], registry: Registry | None = None) -> None:
        self.registry = registry or default_registry()
        self.resources = [json.loads(json.dumps(r, default=str), parse_float=Decimal) for r in resources]
        self.entries: list[Entries] = [
            extract(r["resourceType"], r, base_urls=(BASE,), registry=self.registry) for r in self.resources
        ]

    def find(self, type: str, *criteria: str, **options: Any) -> list[str]:
        """Ids of what matches."""
        parsed = parse(type, *criteria, registry=self.registry, **options)
        assert not parsed.unknown, parsed.unknown
        return [
            r["id"]
            for r, entries in zip(self.resources, self.entries, strict=True)
            if r["resourceType"] == type and self.holds(parsed.query.where, r, entries)
        ]

    def holds(self, node: q.Node, resource: dict[str, Any], entries: Entries) -> bool:
        match node:
            case q.Everything():
                return True
            case q.Nothing():
                return False
            case q.And(nodes):
                return all(self.holds(n, resource, entries) for n in nodes)
            case q.Or(nodes):
                return any(self.holds(n, resource, entries) for n in nodes)
            case q.Not(inner):
                return not self.holds(inner, resource, entries)
            case q.Id(ids):
                return resource["id"] in ids
            case q.Missing(param, kind, missing):
                return missing != any(e[0] == param for e in getattr(entries, _TABLES[kind]))
            case q.Composite(_, components):
                return bool(set.intersection(*(self.elements(c, entries) for c in components)))
            case q.Chain(param, types, inner, canonical):
                return any(
                    self.holds(inner, other, found)
                    for other, found in zip(self.resources, self.entries, strict=True)
                    if other["resourceType"] in types and self.points(entries, param, other, canonical)
                )
            case q.Has(type, param, inner):
                return any(
                    other["resourceType"] == type
                    and self.points(found, param, resource, False)
                    and self.holds(inner, other, found)
                    for other, found in zip(self.resources, self.entries, strict=True)
                )
            case _:
                return bool(self.elements(node, entries))

    @staticmethod
    def points(entries: Entries, param: str, other: dict[str, Any], canonical: bool) -> bool:
        if canonical:
            return any(e[0] == param and e[1] == other.get("url") for e in entries.uris)
        return any(e[:3] == (param, other["resourceType"], other["id"]) for e in entries.references)

    def elements(self, node: Any, entries: Entries) -> set[int]:
        """Ordinals of the elements on which a leaf (or an Or of leaves) holds."""
        if isinstance(node, q.Or):
            return set().union(*(self.elements(n, entries) for n in node.nodes))
        rows = getattr(entries, _LEAF_TABLES[type(node)])
        return {row[-1] for row in rows if row[0] == node.param and _row_holds(node, row)}


def _row_holds(node: Any, row: Any) -> Any:
    match node:
        case q.Token(_, system, code):
            return system in (None, row[1]) and code in (None, row[2])
        case q.TokenIn(_, pairs):
            return (row[1], row[2]) in pairs
        case q.String(_, match, value):
            return {
                "starts": row[1].startswith(value),
                "contains": value in row[1],
                "equals": row[1] == value,
                "ends": row[1].endswith(value),
                "exact": row[2] == value and row[1] == fold(value),
            }[match]
        case q.Date(_, comparison, lo, hi):
            return _date(comparison, lo, hi, row[1], row[2])
        case q.Number(_, comparison, lo, hi):
            return _number(comparison, lo, hi, row[1], row[2])
        case q.Quantity(_, comparison, lo, hi, system, code):
            if system is None and row[1] == CANONICAL_UCUM:
                return False
            return system in (None, row[1]) and code in (None, row[2]) and _number(comparison, lo, hi, row[3], row[4])
        case q.Reference(_, type, id):
            return type in (None, row[1]) and row[2] == id
        case q.Uri(_, match, value, version):
            same = row[1] == value if match == "exact" else (row[1] + "/").startswith(value.rstrip("/") + "/")
            return same and version in (None, row[2])
    raise AssertionError(node)


def _date(comparison: str, lo: int, hi: int, tlo: int, thi: int) -> bool:
    equal = lo <= tlo and thi <= hi
    return {
        "eq": equal,
        "ne": not equal,
        "gt": thi > hi,
        "lt": tlo < lo,
        "ge": thi > hi or equal,
        "le": tlo < lo or equal,
        "sa": tlo > hi,
        "eb": thi < lo,
        "ap": tlo <= hi and thi >= lo,
    }[comparison]


def _number(comparison: str, lo: str, hi: str, tlo: str, thi: str) -> bool:
    return {
        "eq": lo <= tlo and thi < hi,
        "ne": not (lo <= tlo and thi < hi),
        "gt": thi > lo,
        "lt": tlo < lo,
        "ge": thi >= lo,
        "le": tlo <= lo,
        "sa": tlo > lo,
        "eb": thi < lo,
        "ap": tlo < hi and thi >= lo,
    }[comparison]
