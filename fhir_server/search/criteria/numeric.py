"""Number and quantity parameters, with prefixes, implicit precision and units. R4B 3.1.1.4.5 and 3.1.1.4.11."""

from __future__ import annotations

from decimal import Decimal, DecimalException

from fhir_server.search.amounts import canonical_range
from fhir_server.search.criteria.context import Context, Field, Prefix, UnsupportedModifier, bad
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.criteria.prefixes import prefixed
from fhir_server.search.entries import CANONICAL_UCUM
from fhir_server.search.numbers import EXACT, implicit_range, sortable
from fhir_server.search.query import Node, Number, Quantity
from terminology.ucum import UCUM

_TENTH = Decimal("0.1")


def number(field: Field, modifier: str, value: str, context: Context) -> Node:
    if modifier:
        raise UnsupportedModifier(
            f"the modifier ':{modifier}' is not defined for number parameters such as '{field.param}'"
        )
    comparison, text = prefixed(field.name, value)
    lo, hi = _range(field, comparison, text)
    return Number(field.param, comparison, sortable(lo), sortable(hi))


def quantity(field: Field, modifier: str, value: str, context: Context) -> Node:
    if modifier:
        raise UnsupportedModifier(
            f"the modifier ':{modifier}' is not defined for quantity parameters such as '{field.param}'"
        )
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) not in (1, 3):
        raise bad(field.name, f"'{value}' is not number, number|system|code or number||code")
    comparison, text = prefixed(field.name, parts[0])
    lo, hi = _range(field, comparison, text)
    system, code = (parts[1] or None, parts[2] or None) if len(parts) == 3 else (None, None)
    if system == UCUM and code is not None:
        twin = canonical_range(lo, hi, code)
        if twin is not None:
            return Quantity(field.param, comparison, twin[1], twin[2], CANONICAL_UCUM, twin[0])
    return Quantity(field.param, comparison, sortable(lo), sortable(hi), system, code)


def _range(field: Field, comparison: Prefix, text: str) -> tuple[Decimal, Decimal]:
    try:
        exact, lo, hi = implicit_range(text)
        if comparison in ("eq", "ne"):
            return lo, hi
        if comparison == "ap":
            tenth = EXACT.multiply(abs(exact), _TENTH)
            return min(lo, EXACT.subtract(exact, tenth)), max(hi, EXACT.add(exact, tenth))
    except (ValueError, DecimalException):
        raise bad(field.name, f"'{text}' is not a number") from None
    return exact, exact
