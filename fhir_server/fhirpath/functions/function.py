"""What a function is: how many arguments it takes, and how it is built from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.fhirpath.compile import Context, Evaluate
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.values import Collection, Item, system


@dataclass(frozen=True, slots=True)
class Function:
    """build(*arguments) gives the closure. lambdas: arguments are expressions to be evaluated for each item;
    takes_types: arguments are names of types; otherwise each argument is evaluated where the call stands."""

    build: Callable[..., Evaluate]
    least: int = 0
    most: int = 0
    lambdas: bool = False
    takes_types: bool = False


def plain(function: Callable[[Collection], Collection]) -> Function:
    """A function of the focus alone."""
    return Function(lambda: lambda context, focus: function(focus))


def with_values(function: Callable[..., Collection], least: int, most: int | None = None) -> Function:
    """A function of the focus and of its arguments' collections."""

    def build(*arguments: Evaluate) -> Evaluate:
        return lambda context, focus: function(focus, *(argument(context, focus) for argument in arguments))

    return Function(build, least, least if most is None else most)


def single(items: Collection, what: str) -> Item:
    """The one item's system value, None when empty; FhirPathError for several."""
    if not items:
        return None
    if len(items) > 1:
        raise FhirPathError(f"{what} needs one item, not {len(items)}")
    return system(items[0])


def typed(items: Collection, kind: type | tuple[type, ...], what: str) -> Any:
    """As single, and the value must be of that Python type."""
    value = single(items, what)
    if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise FhirPathError(f"{what} does not work on a value like {value!r}")
    return value


__all__ = ["Context", "Evaluate", "Function", "plain", "single", "typed", "with_values"]
