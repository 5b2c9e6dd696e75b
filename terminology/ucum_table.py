"""The atoms and prefixes of UCUM, read from ``data/ucum-essence.xml``."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

_SOURCE = Path(__file__).parent / "data" / "ucum-essence.xml"
_SPACE = "{http://unitsofmeasure.org/ucum-essence}"


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit atom. factor times `unit` defines it; a base unit has unit ''. function: of a special unit ('Cel')."""

    code: str
    metric: bool
    factor: Fraction
    unit: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    prefixes: dict[str, Fraction]
    atoms: dict[str, Atom]


@lru_cache(maxsize=1)
def table() -> Table:
    """Read once, when first asked for."""
    prefixes: dict[str, Fraction] = {}
    atoms: dict[str, Atom] = {}
    # The file is our own, packed with the program.
    for node in ElementTree.parse(_SOURCE).getroot():  # noqa: S314
        kind, code = node.tag.removeprefix(_SPACE), node.get("Code", "")
        value = node.find(f"{_SPACE}value")
        if kind == "prefix" and value is not None:
            prefixes[code] = Fraction(value.get("value", "1"))
        elif kind == "base-unit":
            atoms[code] = Atom(code, True, Fraction(1), "")
        elif kind == "unit" and value is not None:
            atoms[code] = _atom(code, node, value)
    return Table(prefixes, atoms)


def _atom(code: str, node: ElementTree.Element, value: ElementTree.Element) -> Atom:
    metric = node.get("isMetric") == "yes"
    function = value.find(f"{_SPACE}function")
    if function is not None:
        name, factor, unit = function.get("name", ""), function.get("value", "1"), function.get("Unit", "1")
        return Atom(code, metric, Fraction(factor), unit, name)
    unit = value.get("Unit", "1")
    if node.get("isArbitrary") == "yes" and unit == "1":
        # Procedure-defined units are comparable with nothing but themselves (UCUM section 24).
        return Atom(code, metric, Fraction(1), "")
    return Atom(code, metric, Fraction(value.get("value", "1")), unit)
