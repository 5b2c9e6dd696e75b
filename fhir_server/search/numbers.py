"""Decimals as strings whose byte order is their numeric order, and what precision implies. R4B 3.1.1.4.5."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

NUMBER_MIN: Final = "A"
NUMBER_MAX: Final = "Z"


def sortable(value: Decimal) -> str:
    """`a < b` as numbers if and only if `sortable(a) < sortable(b)` as bytes; equal numbers give equal strings.
    Any finite Decimal; always between NUMBER_MIN and NUMBER_MAX. ValueError for NaN and infinities."""
    raise NotImplementedError


def unsortable(text: str) -> Decimal:
    """The number (normalized) that `sortable` made `text` from."""
    raise NotImplementedError


def implicit_range(text: str) -> tuple[Decimal, Decimal, Decimal]:
    """A number as written in a search -> (exact value, lo, hi) with [lo, hi) the range its digits imply:
    ``100`` -> (100, 99.5, 100.5), ``100.00`` -> (100.00, 99.995, 100.005). ValueError when it is not a number."""
    raise NotImplementedError
