"""Binary operators (FHIRPath N1 section 6)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from fhir_server.fhirpath import temporal
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.temporal import Temporal
from fhir_server.fhirpath.values import (
    CALENDAR,
    Collection,
    Item,
    Node,
    Quantity,
    canonical,
    compare,
    equal,
    equivalent,
    is_number,
    system,
)

if TYPE_CHECKING:
    from fhir_server.fhirpath.compile import Context, Evaluate

_DEFINITE_UNITS: Final = {code: unit for unit, code in CALENDAR.items()}


def binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if operator in _LOGIC:
        return _logic(_LOGIC[operator], left, right)
    if operator in _ARITHMETIC:
        return _arithmetic(operator, left, right)
    if operator in _ORDER:
        return _ordered(operator, left, right)
    function = _COLLECTIONS[operator]
    return lambda context, focus: function(left(context, focus), right(context, focus))


def truth(items: Collection) -> bool | None:
    """A collection as a condition: empty is None, one item that is not a boolean is true (N1 4.5)."""
    if not items:
        return None
    if len(items) > 1:
        raise FhirPathError(f"a condition must be one item, not {len(items)}")
    value = system(items[0])
    return value if isinstance(value, bool) else True


def union(left: Collection, right: Collection) -> Collection:
    """Both collections without duplicates, in the order found."""
    result: Collection = []
    for item in (*left, *right):
        if not contains(result, item):
            result.append(item)
    return result


def contains(items: Collection, item: Item) -> bool:
    return any(item is other or equal(item, other) for other in items)


def equal_collections(left: Collection, right: Collection) -> bool | None:
    """N1 6.1.1: same length, equal items in order; None when either is empty or precision gives no answer."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answers = [equal(one, other) for one, other in zip(left, right, strict=True)]
    if False in answers:
        return False
    return None if None in answers else True


def equivalent_collections(left: Collection, right: Collection) -> bool:
    """N1 6.1.2: order does not matter; two empty collections are equivalent."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        place = next((place for place, other in enumerate(rest) if equivalent(item, other)), None)
        if place is None:
            return False
        rest.pop(place)
    return True


def _wrap(answer: bool | None) -> Collection:
    return [] if answer is None else [answer]


def _negate(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _membership(items: Collection, container: Collection) -> Collection:
    if not items:
        return []
    if len(items) > 1:
        raise FhirPathError("'in' and 'contains' need one item")
    return [contains(container, items[0])]


def _concatenate(left: Collection, right: Collection) -> Collection:
    pieces = []
    for items in (left, right):
        value = system(items[0]) if items else ""
        if len(items) > 1 or not isinstance(value, str):
            raise FhirPathError("'&' joins strings")
        pieces.append(value)
    return ["".join(pieces)]


_COLLECTIONS: Final[dict[str, Callable[[Collection, Collection], Collection]]] = {
    "|": union,
    "=": lambda left, right: _wrap(equal_collections(left, right)),
    "!=": lambda left, right: _wrap(_negate(equal_collections(left, right))),
    "~": lambda left, right: [equivalent_collections(left, right)],
    "!~": lambda left, right: [not equivalent_collections(left, right)],
    "in": _membership,
    "contains": lambda left, right: _membership(right, left),
    "&": _concatenate,
}

_Logic = Callable[[bool | None, Callable[[], bool | None]], bool | None]


def _and(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is False:
        return False
    other = right()
    if other is False:
        return False
    return None if left is None or other is None else True


def _or(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is True:
        return True
    other = right()
    if other is True:
        return True
    return None if left is None or other is None else False


def _xor(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    other = right()
    return None if left is None or other is None else left is not other


def _implies(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    return _or(_negate(left), right)


_LOGIC: Final[dict[str, _Logic]] = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}


def _logic(function: _Logic, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        return _wrap(function(truth(left(context, focus)), lambda: truth(right(context, focus))))

    return evaluate


_ORDER: Final[dict[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}


def _single(operator: str, items: Collection) -> Item:
    if len(items) > 1:
        raise FhirPathError(f"'{operator}' needs one item on each side, not {len(items)}")
    return items[0]


def _ordered(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    holds = _ORDER[operator]

    def evaluate(context: Context, focus: Collection) -> Collection:
        first, second = left(context, focus), right(context, focus)
        if not first or not second:
            return []
        order = compare(_single(operator, first), _single(operator, second))
        return [] if order is None else [holds(order)]

    return evaluate


_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "div", "mod"})


def _arithmetic(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        first, second = left(context, focus), right(context, focus)
        if not first or not second:
            return []
        one, other = system(_single(operator, first)), system(_single(operator, second))
        try:
            result = _calculate(operator, one, other)
        except (DivisionByZero, InvalidOperation, ZeroDivisionError):
            return []
        return [] if result is None else [result]

    return evaluate


def _calculate(operator: str, one: Any, other: Any) -> Any:
    if is_number(one) and is_number(other):
        return _numbers(operator, one, other)
    if operator == "+" and isinstance(one, str) and isinstance(other, str):
        return one + other
    if isinstance(one, Temporal) and isinstance(other, Quantity) and operator in "+-":
        unit = other.unit if other.unit in CALENDAR else _DEFINITE_UNITS.get(other.unit, other.unit)
        return temporal.add(one, -other.value if operator == "-" else other.value, unit)
    if isinstance(one, Quantity) or isinstance(other, Quantity):
        return _quantities(operator, one, other)
    kinds = [item.type if isinstance(item, Node) else type(item).__name__ for item in (one, other)]
    raise FhirPathError(f"cannot calculate {kinds[0]} {operator} {kinds[1]}")


def _numbers(operator: str, one: Any, other: Any) -> Any:
    if operator == "+":
        return one + other
    if operator == "-":
        return one - other
    if operator == "*":
        return one * other
    if other == 0:
        return None
    if operator == "/":
        return Decimal(one) / Decimal(other)
    quotient = int(Decimal(one) / Decimal(other))
    return quotient if operator == "div" else one - quotient * other


def _quantities(operator: str, one: Any, other: Any) -> Quantity | None:
    first = Quantity(Decimal(one), "1") if is_number(one) else one
    second = Quantity(Decimal(other), "1") if is_number(other) else other
    if not (isinstance(first, Quantity) and isinstance(second, Quantity)) or operator in ("div", "mod"):
        raise FhirPathError(f"cannot calculate a quantity with '{operator}'")
    if operator in "+-":
        sign = 1 if operator == "+" else -1
        if first.unit == second.unit:
            return Quantity(first.value + sign * second.value, first.unit)
        left, right = canonical(first.value, first.unit), canonical(second.value, second.unit)
        if left is None or right is None or left[1] != right[1]:
            return None
        return Quantity(left[0] + sign * right[0], left[1])
    if second.unit == "1":
        return Quantity(_numbers(operator, first.value, second.value), first.unit) if second.value else None
    if operator == "*":
        return Quantity(first.value * second.value, second.unit if first.unit == "1" else f"{first.unit}.{second.unit}")
    if second.value == 0:
        return None
    unit = "1" if first.unit == second.unit else f"{first.unit}/{second.unit}"
    return Quantity(first.value / second.value, unit)
