"""FHIRPath text to a syntax tree (FHIRPath N1, 2.0.0, appendix "Formal Specifications").

`parse` raises FhirPathError with the position of what it could not read. Trees are small frozen values, so that a
compiled expression can be cached by its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fhir_server.fhirpath.errors import FhirPathError


@dataclass(frozen=True, slots=True)
class Literal:
    """value: bool, int, Decimal, str; or the text of a date, dateTime or time without its '@'."""

    kind: str
    value: bool | int | Decimal | str


@dataclass(frozen=True, slots=True)
class QuantityLiteral:
    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True)
class Variable:
    """$this, $index, $total (name with '$'), or an environment variable (name with '%')."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """`source.step`, where step is a Member or a Call."""

    source: Syntax
    step: Member | Call


@dataclass(frozen=True, slots=True)
class Index:
    source: Syntax
    index: Syntax


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Syntax


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Syntax
    right: Syntax


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`operand is type` or `operand as type`."""

    operator: str
    operand: Syntax
    type: str


Syntax = Literal | QuantityLiteral | Empty | Variable | Member | Call | Step | Index | Unary | Binary | TypeTest

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<dateTime>@\d{4}(?:-\d{2}(?:-\d{2})?)?T(?:\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?(?:Z|[+-]\d{2}:\d{2})?)
    |(?P<time>@T\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)
    |(?P<date>@\d{4}(?:-\d{2}(?:-\d{2})?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<delimited>`(?:[^`\\]|\\.)*`)
    |(?P<variable>\$this|\$index|\$total|%(?:[A-Za-z_][\w-]*|`[^`]*`|'[^']*'))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>!=|!~|<=|>=|[.\[\](){},+\-*/&|<>=~])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}

_PRECEDENCE: Final = {
    "implies": 1,
    "or": 2,
    "xor": 2,
    "and": 3,
    "in": 4,
    "contains": 4,
    "=": 5,
    "~": 5,
    "!=": 5,
    "!~": 5,
    "<": 6,
    ">": 6,
    "<=": 6,
    ">=": 6,
    "|": 7,
    "is": 8,
    "as": 8,
    "+": 9,
    "-": 9,
    "&": 9,
    "*": 10,
    "/": 10,
    "div": 10,
    "mod": 10,
}
_CALENDAR_UNITS: Final = {
    f"{unit}{plural}": unit
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
}
_MAX_DEPTH: Final = 100

_Token = tuple[str, str, int]


def parse(expression: str) -> Syntax:
    """The syntax tree of `expression`; raises FhirPathError."""
    return _Parser(expression).whole()


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        return _ESCAPES.get(escape, escape)

    return _ESCAPE.sub(one, text)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FhirPathError(f"unexpected {text[position]!r} at position {position} of '{text}'")
        kind = match.lastgroup or ""
        if kind != "space":
            found.append((kind, match[0], position))
        position = match.end()
    found.append(("end", "", position))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def whole(self) -> Syntax:
        tree = self.expression(0)
        if self.peek()[0] != "end":
            raise self.unexpected()
        return tree

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, operator: str) -> bool:
        kind, value, _ = self.tokens[self.at]
        if kind == "operator" and value == operator:
            self.at += 1
            return True
        return False

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            raise self.unexpected(f"expected '{operator}'")

    def unexpected(self, hint: str = "") -> FhirPathError:
        kind, value, position = self.peek()
        what = "the end" if kind == "end" else repr(value)
        return FhirPathError(f"unexpected {what} at position {position} of '{self.text}'{': ' + hint if hint else ''}")

    def expression(self, least: int) -> Syntax:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise FhirPathError("the expression is nested too deeply")
        left = self.postfix()
        while True:
            kind, operator, _ = self.peek()
            if kind not in ("operator", "name"):
                break
            precedence = _PRECEDENCE.get(operator)
            if precedence is None or precedence <= least:
                break
            self.take()
            if operator in ("is", "as"):
                left = TypeTest(operator, left, self.type_name())
            else:
                left = Binary(operator, left, self.expression(precedence))
        self.depth -= 1
        return left

    def type_name(self) -> str:
        if self.accept("("):
            name = self.type_name()
            self.expect(")")
            return name
        name = self.identifier()
        if self.accept("."):
            name = f"{name}.{self.identifier()}"
        return name

    def identifier(self) -> str:
        kind, value, _ = self.peek()
        if kind == "name":
            self.take()
            return value
        if kind == "delimited":
            self.take()
            return _unescape(value[1:-1])
        raise self.unexpected("expected a name")

    def postfix(self) -> Syntax:
        kind, value, _ = self.peek()
        if kind == "operator" and value in "+-":
            self.take()
            return Unary(value, self.postfix())
        tree = self.term()
        while True:
            if self.accept("."):
                tree = Step(tree, self.invocation())
            elif self.accept("["):
                index = self.expression(0)
                self.expect("]")
                tree = Index(tree, index)
            else:
                return tree

    def invocation(self) -> Member | Call:
        name = self.identifier()
        if not self.accept("("):
            return Member(name)
        arguments: list[Syntax] = []
        if not self.accept(")"):
            arguments.append(self.expression(0))
            while self.accept(","):
                arguments.append(self.expression(0))
            self.expect(")")
        return Call(name, tuple(arguments))

    def term(self) -> Syntax:
        kind, value, _ = self.peek()
        if kind == "string":
            self.take()
            return Literal("string", _unescape(value[1:-1]))
        if kind == "number":
            self.take()
            return self.number(value)
        if kind in ("date", "dateTime", "time"):
            self.take()
            return Literal(kind, value[2:] if kind == "time" else value[1:])
        if kind == "variable":
            self.take()
            return Variable(value if value[0] == "$" else "%" + value[1:].strip("`'"))
        if kind == "name" and value in ("true", "false"):
            self.take()
            return Literal("boolean", value == "true")
        if kind in ("name", "delimited"):
            return self.invocation()
        if self.accept("("):
            tree = self.expression(0)
            self.expect(")")
            return tree
        if self.accept("{"):
            self.expect("}")
            return Empty()
        raise self.unexpected()

    def number(self, text: str) -> Syntax:
        kind, value, _ = self.peek()
        if kind == "string":
            self.take()
            return QuantityLiteral(Decimal(text), _unescape(value[1:-1]))
        if kind == "name" and value in _CALENDAR_UNITS:
            self.take()
            return QuantityLiteral(Decimal(text), _CALENDAR_UNITS[value])
        return Literal("decimal", Decimal(text)) if "." in text else Literal("integer", int(text))
