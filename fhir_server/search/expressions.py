"""The grammar of search expressions: text -> syntax tree. The part of FHIRPath that SearchParameters use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


class ExpressionError(ValueError):
    """The expression is outside what search supports; the text says where and why."""


@dataclass(frozen=True, slots=True)
class This:
    """What the expression stands on (the resource, or the element within where())."""


@dataclass(frozen=True, slots=True)
class Resource:
    """%resource, %context's resource."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | bool | int


@dataclass(frozen=True, slots=True)
class Name:
    of: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    of: Expression
    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    of: Expression
    position: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`of` as type, `of` is type."""

    of: Expression
    operator: str
    type: str


@dataclass(frozen=True, slots=True)
class Union:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """operator: = != and or."""

    operator: str
    left: Expression
    right: Expression


Expression = This | Resource | Literal | Name | Call | Index | TypeTest | Union | Binary

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*|`[^`]+`)"""
    r"""|(?P<special>%resource|%context|\$this)|(?P<symbol>!=|[.()\[\]|=,]))""",
    re.ASCII,
)
_MAX_LENGTH: Final = 20_000
_MAX_DEPTH: Final = 50


def parse_expression(text: str) -> Expression:
    """Raises ExpressionError with the position of what is not understood."""
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {_MAX_LENGTH} characters")
    reader = _Reader(text)
    tree = reader.disjunction()
    reader.expect_end()
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        self.depth = 0
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise ExpressionError(
                    f"'{text[position:].strip()[:20]}' at position {position} is not supported in search"
                )
            kind = match.lastgroup or ""
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        if self.at >= len(self.tokens):
            raise ExpressionError(f"the expression ends where {wanted or 'something'} is expected")
        _, token, position = self.tokens[self.at]
        if wanted and token != wanted:
            raise ExpressionError(f"'{token}' at position {position} stands where '{wanted}' is expected")
        self.at += 1
        return token

    def expect_end(self) -> None:
        if self.at < len(self.tokens):
            _, token, position = self.tokens[self.at]
            raise ExpressionError(f"'{token}' at position {position} is not supported in search")

    def disjunction(self) -> Expression:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ExpressionError("the expression is nested too deeply")
        tree = self.conjunction()
        while self.peek() == "or":
            self.take()
            tree = Binary("or", tree, self.conjunction())
        self.depth -= 1
        return tree

    def conjunction(self) -> Expression:
        tree = self.comparison()
        while self.peek() == "and":
            self.take()
            tree = Binary("and", tree, self.comparison())
        return tree

    def comparison(self) -> Expression:
        tree = self.union()
        while self.peek() in ("=", "!="):
            tree = Binary(self.take(), tree, self.union())
        return tree

    def union(self) -> Expression:
        parts = [self.cast()]
        while self.peek() == "|":
            self.take()
            parts.append(self.cast())
        return parts[0] if len(parts) == 1 else Union(tuple(parts))

    def cast(self) -> Expression:
        tree = self.path()
        while self.peek() in ("as", "is"):
            operator = self.take()
            tree = TypeTest(tree, operator, self.type_name())
        return tree

    def type_name(self) -> str:
        name = self.name()
        while self.peek() == "." and name in ("FHIR", "System"):
            self.take()
            name = self.name()
        return name

    def name(self) -> str:
        kind, token, position = self.tokens[self.at] if self.at < len(self.tokens) else ("", "the end", len(self.text))
        if kind != "name":
            raise ExpressionError(f"'{token}' at position {position} stands where a name is expected")
        self.at += 1
        return token.strip("`")

    def path(self) -> Expression:
        tree = self.start()
        while self.peek() in (".", "["):
            if self.take() == "[":
                position = self.take()
                if not position.isdigit():
                    raise ExpressionError(f"[{position}] is not an index")
                self.take("]")
                tree = Index(tree, int(position))
            else:
                tree = self.step(tree)
        return tree

    def start(self) -> Expression:
        if self.at >= len(self.tokens):
            raise ExpressionError("the expression ends where a path is expected")
        kind, word, _ = self.tokens[self.at]
        if kind == "string":
            self.at += 1
            return Literal(re.sub(r"\\(.)", r"\1", word[1:-1]))
        if kind == "number":
            self.at += 1
            return Literal(int(word))
        if kind == "special":
            self.at += 1
            return This() if word == "$this" else Resource()
        if word == "(":
            self.take()
            tree = self.disjunction()
            self.take(")")
            return tree
        if word in ("true", "false"):
            self.at += 1
            return Literal(word == "true")
        return self.step(This())

    def step(self, of: Expression) -> Expression:
        name = self.name()
        if self.peek() != "(":
            return Name(of, name)
        self.take()
        if name in ("as", "is", "ofType"):
            type = self.type_name()
            self.take(")")
            return TypeTest(of, "is" if name == "is" else "as", type)
        arguments: list[Expression] = []
        while self.peek() != ")":
            if arguments:
                self.take(",")
            arguments.append(self.disjunction())
        self.take(")")
        return Call(of, name, tuple(arguments))
