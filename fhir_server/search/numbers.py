"""Decimals as strings whose byte order is their numeric order, and what precision implies. R4B 3.1.1.4.5.

A string is ``N`` (negative), ``O`` (zero) or ``P`` (positive), then the power of ten of the first digit, then the
digits without zeros at the end. The power is one character for -36..36, else an escape character and twenty digits.
Everything after ``N`` is complemented, and closed by ``~`` so that more digits sort lower.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

NUMBER_MIN: Final = "A"
NUMBER_MAX: Final = "Z"

_NEAR = 36
_FIRST = ord("0")
_LAST = _FIRST + 2 * _NEAR + 2
_WIDTH = 20
_BIAS = 10 ** (_WIDTH - 1)
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)
#: No rounding in sums and products of numbers that people write; a bound only against absurd ones.
EXACT: Final = Context(prec=2_000, Emax=999_999_999_999, Emin=-999_999_999_999)


@lru_cache(maxsize=8192)
def sortable(value: Decimal) -> str:
    """`a < b` as numbers if and only if `sortable(a) < sortable(b)` as bytes; equal numbers give equal strings.
    Any finite Decimal; always between NUMBER_MIN and NUMBER_MAX. ValueError for NaN and infinities."""
    sign, digit_tuple, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is not a finite number")
    digits = "".join(map(str, digit_tuple)).lstrip("0")
    if not digits:
        return "O"
    power = exponent + len(digits) - 1
    digits = digits.rstrip("0")
    if -_NEAR <= power <= _NEAR:
        place, escape = _FIRST + 1 + _NEAR + power, ""
    else:
        place, escape = (_LAST if power > 0 else _FIRST), f"{power + _BIAS:0{_WIDTH}d}"
    if sign:
        return f"N{chr(_FIRST + _LAST - place)}{(escape + digits).translate(_COMPLEMENT)}~"
    return f"P{chr(place)}{escape}{digits}"


def unsortable(text: str) -> Decimal:
    """The number (normalized) that `sortable` made `text` from."""
    if text == "O":
        return Decimal(0)
    negative, place, rest = text[0] == "N", ord(text[1]), text[2:]
    if negative:
        place, rest = _FIRST + _LAST - place, rest[:-1].translate(_COMPLEMENT)
    if place in (_FIRST, _LAST):
        power, digits = int(rest[:_WIDTH]) - _BIAS, rest[_WIDTH:]
    else:
        power, digits = place - _FIRST - 1 - _NEAR, rest
    return Decimal((int(negative), tuple(map(int, digits)), power - len(digits) + 1))


def implicit_range(text: str) -> tuple[Decimal, Decimal, Decimal]:
    """A number as written in a search -> (exact value, lo, hi) with [lo, hi) the range its digits imply:
    ``100`` -> (100, 99.5, 100.5), ``100.00`` -> (100.00, 99.995, 100.005), ``1e2`` -> (100, 95, 105) as the standard
    has it. ValueError when it is not a number."""
    if not _NUMBER.fullmatch(text) or len(text) > 1000:
        raise ValueError(f"{text!r} is not a number")
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    # The standard's own example: 1e2 is [95, 105), one digit more than its mantissa has.
    half = Decimal((0, (5,), exponent - (2 if exponent > 0 else 1)))
    if abs(exponent) > 10_000:
        return value, value, value
    return value, EXACT.subtract(value, half), EXACT.add(value, half)
