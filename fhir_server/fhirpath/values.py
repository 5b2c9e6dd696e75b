"""What a FHIRPath collection holds: nodes of a resource, and system values.

A collection is a Python list. A system value is bool, int, Decimal, str, Temporal or Quantity. A Node is an element of
a resource; `system(item)` gives the system value of a primitive one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from fhir_server.fhirpath import temporal
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.temporal import Temporal
from terminology.ucum import canonicalise

Item = Any
Collection = list[Item]

_STRING_TYPES: Final = frozenset(
    {"string", "uri", "url", "canonical", "code", "oid", "id", "uuid", "markdown", "base64Binary", "xhtml"}
)
_INTEGER_TYPES: Final = frozenset({"integer", "positiveInt", "unsignedInt", "integer64"})
_TEMPORAL_TYPES: Final = {"date": "date", "dateTime": "dateTime", "instant": "dateTime", "time": "time"}

#: FHIRPath calendar words to UCUM codes; above a week they are not equal to the definite durations (N1 4.1.9).
CALENDAR: Final = {
    "year": "a",
    "month": "mo",
    "week": "wk",
    "day": "d",
    "hour": "h",
    "minute": "min",
    "second": "s",
    "millisecond": "ms",
}
_DEFINITE: Final = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}


@dataclass(frozen=True, slots=True)
class Quantity:
    value: Decimal
    unit: str

    def __str__(self) -> str:
        unit = self.unit if self.unit in CALENDAR else f"'{self.unit}'"
        return f"{self.value} {unit}"


@dataclass(slots=True, eq=False)
class Node:
    """An element of a resource.

    value: its JSON (None when a primitive has only an id or extensions). type: its FHIR type, or the path of its
    definition for a backbone element ("Patient.contact"). extra: the JSON of the ``_name`` sibling of a primitive.
    path: where it is, with indexes ("Patient.contact[0].name"). parent, key, index: the same, for who must change it.
    """

    value: Any
    type: str
    path: str
    extra: dict[str, Any] | None = None
    parent: Node | None = None
    key: str = ""
    index: int | None = None


def is_primitive(type: str) -> bool:
    return type[:1].islower()


def system(item: Item) -> Item:
    """The system value of a primitive or Quantity node, or the item itself. None when there is no value."""
    if not isinstance(item, Node):
        return item
    value = item.value
    kind = item.type
    if kind in _TEMPORAL_TYPES and isinstance(value, str):
        return temporal.parse_temporal(_TEMPORAL_TYPES[kind], value) or value
    if isinstance(value, dict):
        return quantity_of(item) if kind in _QUANTITY_TYPES else item
    if kind == "decimal" and isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(str(value))
    return value


_QUANTITY_TYPES: Final = frozenset(
    {"Quantity", "Age", "Duration", "Distance", "Count", "SimpleQuantity", "MoneyQuantity"}
)


def quantity_of(node: Node) -> Item:
    """The Quantity of a FHIR Quantity; the node itself when it has no value (R4B fhirpath.html)."""
    value = node.value.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return node
    code = node.value.get("code")
    if code is None:
        return Quantity(_decimal(value), str(node.value.get("unit", "1")))
    system = node.value.get("system")
    # A code of another system is a unit that compares with itself only.
    return Quantity(_decimal(value), code if system == "http://unitsofmeasure.org" else f"{system}|{code}")


def _decimal(value: int | float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def system_type(item: Item) -> tuple[str, str]:
    """(namespace, name) of an item's type, as type() gives it."""
    if isinstance(item, Node):
        return ("FHIR", item.type if "." not in item.type else "BackboneElement")
    if isinstance(item, bool):
        return ("System", "Boolean")
    if isinstance(item, int):
        return ("System", "Integer")
    if isinstance(item, Decimal):
        return ("System", "Decimal")
    if isinstance(item, str):
        return ("System", "String")
    if isinstance(item, Quantity):
        return ("System", "Quantity")
    if isinstance(item, Temporal):
        return ("System", {"date": "Date", "dateTime": "DateTime", "time": "Time"}[item.kind])
    raise FhirPathError(f"a value of an unknown kind: {type(item).__name__}")


def is_number(value: Item) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def equal(left: Item, right: Item) -> bool | None:
    """The = operator on two items (N1 6.1.1). None: empty (precision or units do not allow an answer)."""
    first, second = system(left), system(right)
    if isinstance(first, Node) or isinstance(second, Node):
        if not (isinstance(first, Node) and isinstance(second, Node)):
            return False
        return _equal_json(first.value, second.value) and (first.extra or None) == (second.extra or None)
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if is_number(first) and is_number(second):
        return bool(first == second)
    first, second = _alike(first, second)
    if isinstance(first, Temporal) and isinstance(second, Temporal):
        return temporal.equal(first, second)
    if isinstance(first, Quantity) or isinstance(second, Quantity):
        pair = _same_unit(first, second)
        return None if pair is None else pair[0] == pair[1]
    return type(first) is type(second) and bool(first == second)


def _alike(first: Item, second: Item) -> tuple[Item, Item]:
    """A string that stands where a date is expected is read as one, so that FHIR strings compare as the other side."""
    if isinstance(first, Temporal) and isinstance(second, str):
        return first, temporal.parse_temporal(first.kind, second) or second
    if isinstance(second, Temporal) and isinstance(first, str):
        return temporal.parse_temporal(second.kind, first) or first, second
    return first, second


def _equal_json(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal_json, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def equivalent(left: Item, right: Item) -> bool:
    """The ~ operator on two items (N1 6.1.2): strings without case and runs of space, decimals at the coarser scale."""
    first, second = system(left), system(right)
    if isinstance(first, str) and isinstance(second, str):
        return " ".join(first.casefold().split()) == " ".join(second.casefold().split())
    if is_number(first) and is_number(second):
        return _equivalent_numbers(Decimal(first), Decimal(second))
    if isinstance(first, Temporal) and isinstance(second, Temporal):
        return temporal.equal(first, second) is True
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        pair = _same_unit(first, second, definite=False)
        return pair is not None and _equivalent_numbers(Decimal(pair[0]), Decimal(pair[1]))
    if isinstance(first, Node) and isinstance(second, Node):
        return _equivalent_json(first.value, second.value)
    return equal(first, second) is True


def _equivalent_numbers(first: Decimal, second: Decimal) -> bool:
    scales = [-int(number.as_tuple().exponent) for number in (first, second)]
    step = Decimal(1).scaleb(-max(0, min(scales)))
    return first.quantize(step, ROUND_DOWN) == second.quantize(step, ROUND_DOWN)


def _equivalent_json(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equivalent_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        rest = list(right)
        for one in left:
            found = next((place for place, other in enumerate(rest) if _equivalent_json(one, other)), None)
            if found is None:
                return False
            rest.pop(found)
        return not rest
    return equivalent(left, right)


def compare(left: Item, right: Item) -> int | None:
    """-1, 0, 1 for ordered items, None for empty; FhirPathError when they cannot be ordered (N1 6.2)."""
    first, second = _alike(system(left), system(right))
    if is_number(first) and is_number(second):
        return int(first > second) - int(first < second)
    if isinstance(first, str) and isinstance(second, str):
        return int(first > second) - int(first < second)
    if isinstance(first, Temporal) and isinstance(second, Temporal):
        return temporal.compare(first, second)
    if isinstance(first, Quantity) or isinstance(second, Quantity):
        pair = _same_unit(first, second)
        return None if pair is None else int(pair[0] > pair[1]) - int(pair[0] < pair[1])
    raise FhirPathError(f"cannot order a {system_type(left)[1]} and a {system_type(right)[1]}")


def _same_unit(first: Item, second: Item, *, definite: bool = True) -> tuple[Any, Any] | None:
    """Both values in one unit, None when their units do not compare. A bare number counts as unit '1'."""
    if is_number(first):
        first = Quantity(Decimal(first), "1")
    if is_number(second):
        second = Quantity(Decimal(second), "1")
    if not (isinstance(first, Quantity) and isinstance(second, Quantity)):
        return None
    one, other = _unit(first.unit, definite), _unit(second.unit, definite)
    if one == other:
        return first.value, second.value
    left, right = canonical(first.value, one), canonical(second.value, other)
    if left is None or right is None or left[1] != right[1]:
        return None
    return left[0], right[0]


def _unit(unit: str, definite: bool) -> str:
    code = CALENDAR.get(unit)
    if code is None:
        return unit
    # A calendar year or month is not a definite number of days: it compares with itself only.
    return f"calendar {unit}" if definite and code not in _DEFINITE else code


def canonical(value: Decimal, unit: str) -> tuple[Decimal, str] | None:
    """The value in UCUM base units, None when the unit is not UCUM."""
    return canonicalise(value, unit)
