"""Search as the query tree's docstrings say it, over plain lists: slow, obvious, and what a store is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhir_server.search import query as q
from fhir_server.search.entries import CANONICAL_UCUM, Entries
from fhir_server.search.fold import fold

_KIND = {
    q.Token: "tokens",
    q.TokenIn: "tokens",
    q.String: "strings",
    q.Date: "dates",
    q.Number: "numbers",
    q.Quantity: "quantities",
    q.Reference: "references",
    q.Uri: "uris",
}
_MISSING = {
    "token": "tokens",
    "string": "strings",
    "date": "dates",
    "number": "numbers",
    "quantity": "quantities",
    "reference": "references",
    "uri": "uris",
}


@dataclass
class Model:
    """Current resources in order of their ordinal."""

    resources: dict[tuple[str, str], Entries] = field(default_factory=dict)

    def search(self, query: q.Query) -> list[str]:
        found = [key for key in self.resources if key[0] in query.types and self.matches(key, query.where)]
        for sort in reversed(query.sort):
            have = [key for key in found if self.value(key, sort) is not None]
            lack = [key for key in found if self.value(key, sort) is None]
            have.sort(key=lambda key: self.value(key, sort), reverse=sort.descending)
            # Sorting in reverse is stable too: ties keep their order.
            found = have + lack
        return [id for _, id in found]

    def value(self, key: tuple[str, str], sort: q.Sort) -> Any:
        entries = self.resources[key]
        if sort.kind == "id":
            return key[1]
        rows = [row for row in getattr(entries, _MISSING[sort.kind]) if row[0] == sort.param]
        if sort.kind == "token":
            values = [row[2] for row in rows if row[2]]
        elif sort.kind == "quantity":
            values = [row[3] for row in rows if row[1] != CANONICAL_UCUM]
        elif sort.kind == "reference":
            values = [f"{row[1]}/{row[2]}" if row[1] else row[2] for row in rows]
        else:
            values = [row[1] for row in rows]
        if not values:
            return None
        return max(values) if sort.descending else min(values)

    def matches(self, key: tuple[str, str], node: q.Node) -> bool:
        entries = self.resources[key]
        match node:
            case q.And(nodes):
                return all(self.matches(key, child) for child in nodes)
            case q.Or(nodes):
                return any(self.matches(key, child) for child in nodes)
            case q.Not(child):
                return not self.matches(key, child)
            case q.Nothing():
                return False
            case q.Everything():
                return True
            case q.Id(ids):
                return key[1] in ids
            case q.Missing(param, kind, missing):
                return missing != any(row[0] == param for row in getattr(entries, _MISSING[kind]))
            case q.Composite(_, components):
                elements = [self.elements(entries, component) for component in components]
                return bool(set.intersection(*elements))
            case q.Chain(param, types, child, False):
                return any(
                    row[0] == param
                    and row[1] in types
                    and (row[1], row[2]) in self.resources
                    and self.matches((row[1], row[2]), child)
                    for row in entries.references
                )
            case q.Chain(param, types, child, True):
                return any(
                    row[0] == param and self.canonical(row, other) and self.matches(other, child)
                    for row in entries.uris
                    for other in self.resources
                    if other[0] in types
                )
            case q.Has(type, param, child):
                return any(
                    other[0] == type
                    and any(row[0] == param and (row[1], row[2]) == key for row in of.references)
                    and self.matches(other, child)
                    for other, of in self.resources.items()
                )
            case _:
                return bool(self.elements(entries, node))

    def canonical(self, row: Any, other: tuple[str, str]) -> bool:
        of = self.resources[other]
        return any(uri[0] == "url" and uri[1] == row[1] for uri in of.uris) and (
            not row[2] or any(token[0] == "version" and token[2] == row[2] for token in of.tokens)
        )

    def elements(self, entries: Entries, node: q.Node) -> set[int]:
        if isinstance(node, q.Or):
            return set().union(*(self.elements(entries, child) for child in node.nodes))
        if isinstance(node, q.Nothing):
            return set()
        rows = getattr(entries, _KIND[type(node)])
        return {row[-1] for row in rows if row[0] == node.param and _row(node, row)}  # type: ignore[union-attr]


def _row(node: q.Node, row: Any) -> Any:
    match node:
        case q.Token(_, system, code):
            return (system is None or row[1] == system) and (code is None or row[2] == code)
        case q.TokenIn(_, pairs):
            return (row[1], row[2]) in pairs
        case q.String(_, "starts", value):
            return row[1].startswith(value)
        case q.String(_, "contains", value):
            return value in row[1]
        case q.String(_, "exact", value):
            return row[2] == value and row[1] == fold(value)
        case q.Date(_, comparison, lo, hi):
            return _range(comparison, row[1], row[2], lo, hi)
        case q.Number(_, comparison, lo, hi):
            return _number(comparison, row[1], row[2], lo, hi)
        case q.Quantity(_, comparison, lo, hi, system, code):
            unit = row[1] != CANONICAL_UCUM if system is None else row[1] == system
            return unit and (code is None or row[2] == code) and _number(comparison, row[3], row[4], lo, hi)
        case q.Reference(_, type, id):
            return (row[1] != "" if type is None else row[1] == type) and row[2] == id
        case q.Uri(_, "exact", value, version):
            return row[1] == value and version in (None, row[2])
        case q.Uri(_, "below", value, _):
            return row[1] == value or row[1].startswith(value.rstrip("/") + "/")
        case q.Uri(_, "above", value, _):
            return value == row[1] or value.startswith(row[1].rstrip("/") + "/")
    raise AssertionError(node)


def _range(comparison: str, tlo: int, thi: int, lo: int, hi: int) -> bool:
    eq = lo <= tlo and thi <= hi
    return {
        "eq": eq,
        "ne": not eq,
        "gt": thi > hi,
        "lt": tlo < lo,
        "ge": thi > hi or eq,
        "le": tlo < lo or eq,
        "sa": tlo > hi,
        "eb": thi < lo,
        "ap": tlo <= hi and thi >= lo,
    }[comparison]


def _number(comparison: str, tlo: str, thi: str, lo: str, hi: str) -> bool:
    eq = lo <= tlo and thi < hi
    return {
        "eq": eq,
        "ne": not eq,
        "gt": thi > lo,
        "lt": tlo < lo,
        "ge": thi >= lo,
        "le": tlo <= lo,
        "sa": tlo > lo,
        "eb": thi < lo,
        "ap": tlo < hi and thi >= lo,
    }[comparison]
