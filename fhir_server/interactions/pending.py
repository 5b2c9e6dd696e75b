"""Whether a resource that is not in the store yet would match a query: for references within a transaction.

Chains, reverse chains and text search reach beyond one resource; they match nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.search.entries import CANONICAL_UCUM, Entries
from fhir_server.search.query import (
    And,
    Composite,
    Date,
    Everything,
    Id,
    Missing,
    Node,
    Not,
    Number,
    Or,
    Quantity,
    Query,
    Reference,
    String,
    Token,
    TokenIn,
    Uri,
)

Row = tuple[Any, ...]


def matches(query: Query, type: str, id: str, entries: Entries) -> bool:
    return (not query.types or type in query.types) and _holds(query.where, id, entries)


def _holds(node: Node, id: str, entries: Entries) -> bool:
    if isinstance(node, And):
        return all(_holds(each, id, entries) for each in node.nodes)
    if isinstance(node, Or):
        return any(_holds(each, id, entries) for each in node.nodes)
    if isinstance(node, Not):
        return not _holds(node.node, id, entries)
    if isinstance(node, Everything):
        return True
    if isinstance(node, Id):
        return id in node.ids
    if isinstance(node, Missing):
        return any(row[0] == node.param for row in _table(node.kind, entries)) != node.missing
    if isinstance(node, Composite):
        found = [_elements(each, entries) for each in node.components]
        return bool(found) and bool(set.intersection(*found))
    return bool(_elements(node, entries))


def _elements(node: Node, entries: Entries) -> set[int]:
    """The elements (`el`) on which a leaf holds, or every one of a composite's component."""
    if isinstance(node, Or):
        return set().union(*(_elements(each, entries) for each in node.nodes))
    if isinstance(node, And):
        return set.intersection(*(_elements(each, entries) for each in node.nodes))
    rows, test = _test(node, entries)
    return {row[-1] for row in rows if test(row)}


def _table(kind: str, entries: Entries) -> Sequence[Row]:
    tables: dict[str, Sequence[Row]] = {
        "token": entries.tokens,
        "string": entries.strings,
        "date": entries.dates,
        "number": entries.numbers,
        "quantity": entries.quantities,
        "reference": entries.references,
        "uri": entries.uris,
    }
    return tables[kind]


def _test(node: Node, entries: Entries) -> tuple[Sequence[Row], Callable[[Row], bool]]:
    if isinstance(node, Token):
        token = node
        return (
            entries.tokens,
            lambda row: (
                row[0] == token.param
                and (token.system is None or row[1] == token.system)
                and (token.code is None or row[2] == token.code)
            ),
        )
    if isinstance(node, TokenIn):
        listed = node
        return entries.tokens, lambda row: row[0] == listed.param and (row[1], row[2]) in listed.pairs
    if isinstance(node, String):
        string = node
        return entries.strings, lambda row: row[0] == string.param and _string(string, row)
    if isinstance(node, Date):
        date = node
        return entries.dates, lambda row: row[0] == date.param and _range(date.comparison, date.lo, date.hi, row, False)
    if isinstance(node, Number):
        number = node
        return (
            entries.numbers,
            lambda row: row[0] == number.param and _range(number.comparison, number.lo, number.hi, row, True),
        )
    if isinstance(node, Quantity):
        quantity = node
        return (
            entries.quantities,
            lambda row: (
                row[0] == quantity.param
                and (row[1] == quantity.system if quantity.system is not None else row[1] != CANONICAL_UCUM)
                and (quantity.code is None or row[2] == quantity.code)
                and _range(quantity.comparison, quantity.lo, quantity.hi, (row[0], row[3], row[4]), True)
            ),
        )
    if isinstance(node, Reference):
        reference = node
        return (
            entries.references,
            lambda row: row[0] == reference.param and row[2] == reference.id and reference.type in (None, row[1]),
        )
    if isinstance(node, Uri) and node.match == "exact":
        uri = node
        return entries.uris, lambda row: row[0] == uri.param and row[1] == uri.value and uri.version in (None, row[2])
    return (), lambda row: False


def _string(node: String, row: Row) -> bool:
    folded, original = row[1], row[2]
    if node.match == "exact":
        return bool(original == node.value)
    if node.match == "starts":
        return bool(folded.startswith(node.value))
    if node.match == "contains":
        return node.value in folded
    return bool(folded == node.value) if node.match == "equals" else bool(folded.endswith(node.value))


def _range(comparison: str, lo: Any, hi: Any, row: Row, open_end: bool) -> bool:
    """R4B 3.1.1.4.6. open_end: hi itself is outside (numbers), and lo == hi stands for one value."""
    low, high = row[1], row[2]
    within = lo <= low and (high < hi or (high <= hi and (not open_end or lo == hi)))
    if comparison == "eq":
        return bool(within)
    if comparison == "ne":
        return not within
    if comparison == "gt":
        return bool(high > hi)
    if comparison == "lt":
        return bool(low < lo)
    if comparison == "ge":
        return bool(high >= lo if open_end else high > hi or within)
    if comparison == "le":
        return bool(low <= hi if open_end else low < lo or within)
    if comparison == "sa":
        return bool(low > hi)
    if comparison == "eb":
        return bool(high < lo)
    return bool(low <= hi and high >= lo)
