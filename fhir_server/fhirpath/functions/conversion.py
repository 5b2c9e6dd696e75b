"""FHIRPath N1 5.5 conversion: toX() gives empty for what cannot be converted, convertsToX() says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from fhir_server.fhirpath.functions.function import Function, plain, single, with_values
from fhir_server.fhirpath.temporal import Temporal, parse_temporal
from fhir_server.fhirpath.values import CALENDAR, Collection, Node, Quantity, canonical, is_number

_TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0", "0.0"})
_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:'([^']+)'|([a-zA-Z]+))?\Z")


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_number(value):
        return {1: True, 0: False}.get(value)
    if isinstance(value, str):
        return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None
    return None


def _integer(value: Any) -> int | None:
    if isinstance(value, (bool, int)):
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value) else None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, (bool, int)):
        return Decimal(int(value))
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else None


def _string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (str, int, Quantity, Temporal)):
        return str(value)
    return None


def _temporal(kind: str) -> Callable[[Any], Temporal | None]:
    def convert(value: Any) -> Temporal | None:
        if isinstance(value, Temporal):
            if value.kind == kind:
                return value
            if "time" in (kind, value.kind):
                return None
            text = value.text.split("T")[0] if kind == "date" else value.text
            return parse_temporal(kind, text)
        return parse_temporal(kind, value) if isinstance(value, str) else None

    return convert


def _quantity(value: Any) -> Quantity | None:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, bool):
        return Quantity(Decimal(int(value)), "1")
    if is_number(value):
        return Quantity(Decimal(value), "1")
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, code, word = match.groups()
    if word is not None and word.removesuffix("s") not in CALENDAR:
        return None
    return Quantity(Decimal(number), code or (word.removesuffix("s") if word else "1"))


def _to(name: str, convert: Callable[[Any], Any]) -> Function:
    def evaluate(focus: Collection) -> Collection:
        value = single(focus, f"{name}()")
        result = None if value is None or isinstance(value, Node) else convert(value)
        return [] if result is None else [result]

    return plain(evaluate)


def _converts(name: str, convert: Callable[[Any], Any]) -> Function:
    def evaluate(focus: Collection) -> Collection:
        value = single(focus, f"{name}()")
        return [] if value is None else [not isinstance(value, Node) and convert(value) is not None]

    return plain(evaluate)


def _to_unit(focus: Collection, unit: Collection | None = None) -> Collection:
    quantity = _quantity(single(focus, "toQuantity()"))
    wanted = None if unit is None else single(unit, "toQuantity()")
    if quantity is None or wanted is None or wanted == quantity.unit:
        return [] if quantity is None else [quantity]
    left, right = canonical(quantity.value, quantity.unit), canonical(Decimal(1), wanted)
    if left is None or right is None or left[1] != right[1]:
        return []
    return [Quantity(left[0] / right[0], wanted)]


_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "Boolean": _boolean,
    "Integer": _integer,
    "Decimal": _decimal,
    "String": _string,
    "Date": _temporal("date"),
    "DateTime": _temporal("dateTime"),
    "Time": _temporal("time"),
    "Quantity": _quantity,
}

FUNCTIONS: Final[dict[str, Function]] = {
    **{f"to{name}": _to(f"to{name}", convert) for name, convert in _CONVERSIONS.items()},
    **{f"convertsTo{name}": _converts(f"convertsTo{name}", convert) for name, convert in _CONVERSIONS.items()},
    "toQuantity": with_values(_to_unit, 0, 1),
}
