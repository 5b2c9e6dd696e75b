"""FHIRPath N1 5.7 mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.functions.function import Function, plain, single, with_values
from fhir_server.fhirpath.values import Collection, Quantity, is_number


def _number(items: Collection, what: str) -> Any:
    value = single(items, what)
    if value is not None and not is_number(value):
        raise FhirPathError(f"{what} needs a number")
    return value


def _of_number(name: str, function: Callable[[Decimal], Any]) -> Function:
    def evaluate(focus: Collection) -> Collection:
        value = _number(focus, f"{name}()")
        if value is None:
            return []
        try:
            result = function(Decimal(value))
        except (InvalidOperation, ValueError, OverflowError):
            return []
        return [] if result is None else [result]

    return plain(evaluate)


def _abs(focus: Collection) -> Collection:
    value = single(focus, "abs()")
    if isinstance(value, Quantity):
        return [Quantity(abs(value.value), value.unit)]
    return [] if _number(focus, "abs()") is None else [abs(value)]


def _log(focus: Collection, base: Collection) -> Collection:
    value, other = _number(focus, "log()"), _number(base, "log()")
    if value is None or other is None or value <= 0 or other <= 0 or other == 1:
        return []
    return [Decimal(str(math.log(value, other)))]


def _power(focus: Collection, exponent: Collection) -> Collection:
    value, other = _number(focus, "power()"), _number(exponent, "power()")
    if value is None or other is None:
        return []
    try:
        if isinstance(value, int) and isinstance(other, int) and 0 <= other <= 1000:
            return [value**other]
        return [Decimal(value) ** Decimal(other)]
    except (InvalidOperation, OverflowError, ZeroDivisionError):
        return []


def _round(focus: Collection, precision: Collection | None = None) -> Collection:
    value = _number(focus, "round()")
    places = 0 if precision is None else _number(precision, "round()")
    if value is None:
        return []
    if not isinstance(places, int) or not 0 <= places <= 50:
        raise FhirPathError("round() needs a precision of 0 or more")
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), "ROUND_HALF_UP")
    return [rounded]


FUNCTIONS: Final[dict[str, Function]] = {
    "abs": plain(_abs),
    "ceiling": _of_number("ceiling", math.ceil),
    "floor": _of_number("floor", math.floor),
    "truncate": _of_number("truncate", int),
    "exp": _of_number("exp", lambda value: value.exp()),
    "ln": _of_number("ln", lambda value: value.ln() if value > 0 else None),
    "sqrt": _of_number("sqrt", lambda value: value.sqrt() if value >= 0 else None),
    "log": with_values(_log, 1),
    "power": with_values(_power, 1),
    "round": with_values(_round, 0, 1),
}
