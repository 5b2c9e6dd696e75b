"""SNOMED CT Expression Constraint Language: the sets of concepts that constraints name (ECL 2.x, brief syntax).

Understood are the hierarchy operators, reference sets, ``*``, AND, OR, MINUS, parentheses, dotted attributes, and
refinements with one attribute a group, ``=`` and ``!=``, cardinality and the reverse flag. Filters, concrete values and
groups of several attributes are refused: the index does not have what they need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from terminology.server.systems import Concept, System

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<comment>/\*.*?\*/)|(?P<term>\|[^|]*\|)|(?P<op><<!|>>!|<<|<!|<|>>|>!|>|\^|!=|=|\.\.|[{}()\[\]:,.*])"
    r"|(?P<word>[A-Za-z]+)|(?P<id>\d+))",
    re.DOTALL,
)
_HIERARCHY: Final = frozenset(("<", "<<", "<!", "<<!", ">", ">>", ">!", ">>!"))
Codes = frozenset[str]
#: Values of an attribute up to which the concepts that have them are looked up by the values.
_FEW: Final = 10_000


class BadConstraint(ValueError):
    """The constraint cannot be read, or asks for what is not understood; the message says which."""


def evaluate(system: System, text: str) -> Codes:
    """The codes that an expression constraint selects. Raises BadConstraint."""
    return _Reader(system, _tokens(text)).whole()


def _tokens(text: str) -> list[str]:
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            if text[at:].startswith("{{"):
                raise BadConstraint("Filters ({{ ... }}) are not supported in an expression constraint.")
            raise BadConstraint(f"The expression constraint cannot be read from '{text[at : at + 20]}' on.")
        at = token.end()
        if token["op"] or token["word"] or token["id"]:
            found.append(token["op"] or token["id"] or token["word"].upper())
    return found


class _Reader:
    """Recursive descent; evaluates as it reads."""

    def __init__(self, system: System, tokens: list[str]) -> None:
        self._system = system
        self._tokens = tokens
        self._at = 0

    def whole(self) -> Codes:
        found = self._expression()
        if self._at < len(self._tokens):
            raise BadConstraint(f"'{self._peek()}' is not expected in the expression constraint.")
        return found

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _take(self, token: str = "") -> str:
        found = self._peek()
        if not found or (token and found != token):
            raise BadConstraint(f"The expression constraint has '{found or 'its end'}' where '{token}' is expected.")
        self._at += 1
        return found

    def _expression(self) -> Codes:
        found = self._refined()
        while self._peek() in ("AND", "OR", "MINUS", ","):
            operator = self._take()
            other = self._refined()
            if operator == "OR":
                found |= other
            elif operator == "MINUS":
                found -= other
            else:
                found &= other
        return found

    def _refined(self) -> Codes:
        found = self._sub()
        while self._peek() == ".":
            self._take()
            attribute = self._sub()
            found = frozenset(value for code in found for name, value in self._attributes(code) if name in attribute)
        if self._peek() == ":":
            self._take()
            found = self._refinement(found)
        return found

    def _sub(self) -> Codes:
        operator = ""
        if self._peek() in _HIERARCHY:
            operator = self._take()
        member = self._peek() == "^"
        if member:
            self._take()
        if self._peek() == "{":
            raise BadConstraint("Filters ({{ ... }}) are not supported in an expression constraint.")
        if self._peek() == "(":
            self._take()
            focus = self._expression()
            self._take(")")
        elif self._peek() == "*":
            self._take()
            focus = frozenset(concept.code for concept in self._system.concepts())
            if operator in ("<<", ">>") and not member:
                return focus
        else:
            code = self._take()
            if not code.isdecimal():
                raise BadConstraint(f"'{code}' is not expected in the expression constraint.")
            # What is not known has nothing above or below it.
            known = not operator or member or self._system.locate(code) is not None
            focus = frozenset((code,)) if known else frozenset()
        if member:
            focus = frozenset(code for name in focus for code in self._system.members(name) or ())
        return self._along(operator, focus)

    def _along(self, operator: str, focus: Codes) -> Codes:
        if not operator:
            return focus
        if operator[0] == "<":
            reach: Callable[[str], Iterable[str]] = self._system.descendants
            step = self._system.children
        else:
            reach, step = self._system.ancestors, self._system.parents
        if operator.endswith("!"):
            found = {one.code for code in focus for one in step(self._concept(code))}
        else:
            found = {one for code in focus for one in reach(code)}
        return frozenset(found | focus) if len(operator.removesuffix("!")) == 2 else frozenset(found)

    def _concept(self, code: str) -> Concept:
        concept = self._system.locate(code)
        assert concept is not None
        return concept

    def _attributes(self, code: str) -> list[tuple[str, str]]:
        concept = self._system.locate(code)
        if concept is None:
            return []
        return [(one.code, one.text) for one in self._system.own_properties(concept) if one.code.isdecimal()]

    # Refinements

    def _refinement(self, focus: Codes) -> Codes:
        found = self._attribute_set(focus)
        while self._peek() in (",", "AND", "OR"):
            operator = self._take()
            other = self._attribute_set(focus)
            found = found | other if operator == "OR" else found & other
        return found

    def _attribute_set(self, focus: Codes) -> Codes:
        if self._peek() == "(":
            self._take()
            found = self._refinement(focus)
            self._take(")")
            return found
        least, most = self._cardinality()
        if self._peek() == "{":
            self._take()
            found = self._attribute(focus)
            if self._peek() != "}":
                raise BadConstraint("Groups of several attributes are not supported in an expression constraint.")
            self._take("}")
            if (least, most) != (1, None):
                raise BadConstraint("The cardinality of groups is not supported in an expression constraint.")
            return found
        return self._attribute(focus, least, most)

    def _cardinality(self) -> tuple[int, int | None]:
        if self._peek() != "[":
            return 1, None
        self._take()
        least = self._take()
        self._take("..")
        most = self._take()
        self._take("]")
        if not least.isdecimal() or not (most == "*" or most.isdecimal()):
            raise BadConstraint("A cardinality is written [0..1] or [1..*].")
        return int(least), None if most == "*" else int(most)

    def _attribute(self, focus: Codes, least: int = 1, most: int | None = None) -> Codes:
        if self._peek() == "[":
            least, most = self._cardinality()
        backwards = self._peek() == "R"
        if backwards:
            self._take()
        names = self._sub()
        comparison = self._take()
        if comparison not in ("=", "!="):
            raise BadConstraint(f"The comparison '{comparison}' is not supported in an expression constraint.")
        values = self._sub()
        if backwards:
            sources: dict[str, int] = {}
            for code in values:
                for name, value in self._attributes(code):
                    if name in names:
                        sources[value] = sources.get(value, 0) + 1
            return frozenset(code for code in focus if _within(sources.get(code, 0), least, most))
        wanted = comparison == "="
        if least >= 1 and wanted and len(values) < _FEW and len(focus) > len(values) * 8:
            focus &= self._having(names, values)
        return frozenset(
            code
            for code in focus
            if _within(
                sum(name in names and (value in values) is wanted for name, value in self._attributes(code)),
                least,
                most,
            )
        )

    def _having(self, names: Codes, values: Codes) -> Codes:
        """Codes that have one of the attributes with one of the values, by way of the values."""
        text = ",".join(values)
        return frozenset(
            code for name in names for code, _ in self._system.having(name, "in", text, values.__contains__)
        )


def _within(count: int, least: int, most: int | None) -> bool:
    return count >= least and (most is None or count <= most)
