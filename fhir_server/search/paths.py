"""Search expressions (the part of FHIRPath that SearchParameters use) compiled once to closures over JSON objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ExpressionError(ValueError):
    """The expression is outside what search supports; the text says where and why."""


def compile_expression(expression: str, type: str) -> Callable[[dict[str, Any]], list[Any]]:
    """`expression` on resources (or elements) of `type` -> function from the JSON object to the list of values.

    Raises ExpressionError."""
    raise NotImplementedError
