"""UCUM unit codes: are they valid, and what is a quantity in base units, exactly.

Factors are rational numbers until the very end, so that ``mg/dL`` and ``g/L`` meet in the same decimal. The grammar is
that of UCUM 2.2, sections 2 to 12 (case-sensitive codes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Final

from terminology.ucum_table import Atom, table

UCUM: Final = "http://unitsofmeasure.org"

#: More digits than any factor and value of practice have together; what does not end (1/3) is cut to fewer.
_EXACT = Context(prec=200, Emax=999_999_999, Emin=-999_999_999)
_ROUNDED = Context(prec=34, Emax=999_999_999, Emin=-999_999_999)
_MAX_LENGTH = 255
_MAX_EXPONENT = 99
#: Special units that are linear after all: value -> (value + offset) * factor, in kelvin.
_OFFSETS = {"Cel": Fraction("273.15"), "degF": Fraction("459.67"), "degRe": Fraction("218.52")}

_SYMBOL = re.compile(r"(.*?[^\d+\-]|10[*^])([+-]?\d+)?", re.ASCII)
_RUN = re.compile(r"(?:\[[^\]\[{}]*\]|[^./(){}\[\]\s])+", re.ASCII)
_ANNOTATION = re.compile(r"\{[\x21-\x7a|~]*\}")


class UnitError(ValueError):
    """Not a UCUM code; the text says why."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A parsed unit: quantity = (value + offset) * factor in `dimensions` (base unit -> exponent, none of them 0).

    special: the function of a unit whose scale is not linear (``lg``, ``pH``); it has no canonical form."""

    factor: Fraction
    dimensions: Mapping[str, int]
    offset: Fraction = Fraction(0)
    special: str = ""


@lru_cache(maxsize=4096)
def parse_unit(code: str) -> Unit:
    """Raises UnitError."""
    if not code or len(code) > _MAX_LENGTH or not code.isascii():
        raise UnitError(f"'{code[:40]}' is not a UCUM code: 1 to {_MAX_LENGTH} ASCII characters")
    reader = _Reader(code)
    unit = reader.main_term()
    if reader.at != len(code):
        raise UnitError(f"'{code}' is not a UCUM code: '{code[reader.at :]}' is not understood")
    return unit


def is_valid(code: str) -> bool:
    """True for a UCUM code, special and arbitrary units and annotations included."""
    try:
        parse_unit(code)
    except UnitError:
        return False
    return True


def canonicalise(value: Decimal, code: str) -> tuple[Decimal, str] | None:
    """A quantity in UCUM unit `code` -> (value in base units, base unit string such as ``g.m-3``, ``1`` for none).

    None when `code` is not UCUM, or on a scale that is not linear. Exact, but for fractions that do not end."""
    scale = _scale(code)
    if scale is None:
        return None
    offset, numerator, denominator, unit = scale
    try:
        # With few digits the default context of the thread is exact as well, but its owner may have changed it.
        product = _EXACT.multiply(_EXACT.add(value, offset) if offset else value, numerator)
        return (product if denominator is None else _ROUNDED.divide(product, denominator)), unit
    except DecimalException:
        return None


def comparable(code: str, other: str) -> bool:
    """True when quantities in the two units can be compared."""
    one, two = _scale(code), _scale(other)
    return one is not None and two is not None and one[3] == two[3]


@lru_cache(maxsize=4096)
def _scale(code: str) -> tuple[Decimal, Decimal, Decimal | None, str] | None:
    """(offset, multiply by, divide by or None, canonical unit)."""
    try:
        unit = parse_unit(code)
    except UnitError:
        return None
    if unit.special:
        return None
    name = ".".join(f"{base}{power if power != 1 else ''}" for base, power in sorted(unit.dimensions.items())) or "1"
    with localcontext(_EXACT):
        offset = Decimal(unit.offset.numerator) / Decimal(unit.offset.denominator)
        numerator, denominator = unit.factor.numerator, unit.factor.denominator
        twos, fives, rest = _powers(denominator, 2), _powers(denominator, 5), denominator
        rest //= 2**twos * 5**fives
        tens = max(twos, fives)
        multiply = Decimal(numerator * 2 ** (tens - twos) * 5 ** (tens - fives)).scaleb(-tens)
    return offset, multiply, None if rest == 1 else Decimal(rest), name


def _powers(number: int, prime: int) -> int:
    count = 0
    while number % prime == 0:
        number //= prime
        count += 1
    return count


class _Reader:
    def __init__(self, code: str) -> None:
        self.code = code
        self.at = 0

    def peek(self) -> str:
        return self.code[self.at] if self.at < len(self.code) else ""

    def main_term(self) -> Unit:
        if self.peek() == "/":
            self.at += 1
            return _product(_ONE, self.term(), -1)
        return self.term()

    def term(self) -> Unit:
        unit = self.component()
        while self.peek() in (".", "/") and self.peek():
            sign = 1 if self.peek() == "." else -1
            self.at += 1
            unit = _product(unit, self.component(), sign)
        return unit

    def component(self) -> Unit:
        start = self.peek()
        if start == "(":
            self.at += 1
            unit = self.main_term()
            if self.peek() != ")":
                raise UnitError(f"'{self.code}' is not a UCUM code: a parenthesis is not closed")
            self.at += 1
        elif start == "{":
            unit = _ONE
        else:
            match = _RUN.match(self.code, self.at)
            if match is None:
                raise UnitError(f"'{self.code}' is not a UCUM code: a unit is missing at position {self.at + 1}")
            self.at = match.end()
            unit = _simple(match[0], self.code)
        if self.peek() == "{":
            match = _ANNOTATION.match(self.code, self.at)
            if match is None:
                raise UnitError(f"'{self.code}' is not a UCUM code: an annotation is not closed or has odd characters")
            self.at = match.end()
        return unit


_ONE = Unit(Fraction(1), {})


def _product(left: Unit, right: Unit, sign: int) -> Unit:
    if left.special or right.special or left.offset or right.offset:
        return Unit(Fraction(1), {}, special="product")
    dimensions = dict(left.dimensions)
    for base, power in right.dimensions.items():
        dimensions[base] = dimensions.get(base, 0) + sign * power
    factor = left.factor * right.factor if sign > 0 else left.factor / right.factor
    return Unit(factor, {base: power for base, power in dimensions.items() if power})


def _simple(run: str, code: str) -> Unit:
    """One unit with its prefix and exponent, or a plain number."""
    if run.isdigit():
        if not int(run):
            raise UnitError(f"'{code}' is not a UCUM code: the factor 0")
        return Unit(Fraction(int(run)), {})
    match = _SYMBOL.fullmatch(run)
    if match is None:
        raise UnitError(f"'{code}' is not a UCUM code: '{run}' is not understood")
    symbol, exponent = match[1], int(match[2] or 1)
    if abs(exponent) > _MAX_EXPONENT:
        raise UnitError(f"'{code}' is not a UCUM code: the exponent {exponent} is out of range")
    unit = _symbol(symbol)
    if unit is None:
        raise UnitError(f"'{code}' is not a UCUM code: there is no unit '{symbol}'")
    if exponent == 1:
        return unit
    if unit.special or unit.offset:
        return Unit(Fraction(1), {}, special="power")
    powers = {base: power * exponent for base, power in unit.dimensions.items() if exponent}
    return Unit(unit.factor**exponent, powers)


@lru_cache(maxsize=1024)
def _symbol(symbol: str) -> Unit | None:
    """An atom, or a metric atom with a prefix."""
    atoms, prefixes = table().atoms, table().prefixes
    if symbol in atoms:
        return _defined(atoms[symbol], Fraction(1))
    for length in (2, 1):
        atom = atoms.get(symbol[length:])
        if atom is not None and atom.metric and symbol[:length] in prefixes:
            return _defined(atom, prefixes[symbol[:length]])
    return None


def _defined(atom: Atom, prefix: Fraction) -> Unit:
    if not atom.unit:
        return Unit(prefix, {atom.code: 1})
    inner = parse_unit(atom.unit)
    if atom.function:
        if atom.function not in _OFFSETS:
            return Unit(Fraction(1), {}, special=atom.function)
        factor = inner.factor * atom.factor
        # (value * prefix + offset) * factor, with the prefix taken out of the sum.
        return Unit(factor * prefix, inner.dimensions, offset=_OFFSETS[atom.function] / prefix)
    return Unit(inner.factor * atom.factor * prefix, inner.dimensions)
