"""The _filter language. R4B 3.1.3 (search_filter): grammar, operators, precedence."""

from __future__ import annotations

import json
import re

from fhir_server.r4b.outcome import BadRequest
from fhir_server.r4b.times import time_range
from fhir_server.search.criteria.chains import chained
from fhir_server.search.criteria.composites import MATCHERS, composite
from fhir_server.search.criteria.context import Context, Field, Unsupported, all_of, any_of, bad, field_of
from fhir_server.search.criteria.dates import date
from fhir_server.search.criteria.escapes import escape
from fhir_server.search.criteria.special import SPECIAL, missing
from fhir_server.search.criteria.tokens import subsumption
from fhir_server.search.fold import fold
from fhir_server.search.query import Date, LastUpdated, Missing, Node, Not, String

_NAME = re.compile(r"[A-Za-z_][\w\-]*(?::[A-Z][A-Za-z]+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r"[^\s)\]\"][^\s)\]]*")
_SPACE = re.compile(r"\s*")
_COMPARISONS = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"})
_OPERATORS = _COMPARISONS | {"co", "sw", "ew", "pr", "po", "ss", "sb", "in", "ni", "re"}
_STRINGS = {"co": "contains", "sw": "starts", "ew": "ends", "eq": "equals"}
_MAX_DEPTH = 40


def filter_node(text: str, types: tuple[str, ...], context: Context) -> Node:
    """The tree of a _filter on `types`. Raises BadRequest with the position of what is wrong."""
    reader = _Reader(text, context)
    try:
        node = reader.disjunction(types)
        reader.skip()
        if reader.at != len(text):
            raise reader.refusal("the filter goes on after its end")
    except Unsupported as error:
        raise bad("_filter", str(error)) from error
    return node


class _Reader:
    def __init__(self, text: str, context: Context) -> None:
        self.text = text
        self.context = context
        self.at = 0
        self.depth = 0

    def refusal(self, why: str) -> BadRequest:
        return bad("_filter", f"{why} (at position {self.at + 1}: '{self.text[self.at : self.at + 20]}')")

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def word(self) -> str:
        """The word that comes next, not yet taken."""
        self.skip()
        match = _WORD.match(self.text, self.at)
        return match[0] if match else ""

    def expect(self, symbol: str) -> None:
        self.skip()
        if not self.text.startswith(symbol, self.at):
            raise self.refusal(f"'{symbol}' is expected")
        self.at += len(symbol)

    def disjunction(self, types: tuple[str, ...]) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.refusal("the filter is nested too deeply")
        nodes = [self.conjunction(types)]
        while self.word() == "or":
            self.at += 2
            nodes.append(self.conjunction(types))
        self.depth -= 1
        return any_of(nodes)

    def conjunction(self, types: tuple[str, ...]) -> Node:
        nodes = [self.term(types)]
        while self.word() == "and":
            self.at += 3
            nodes.append(self.term(types))
        return all_of(nodes)

    def term(self, types: tuple[str, ...]) -> Node:
        self.skip()
        if self.text.startswith("(", self.at):
            self.at += 1
            node = self.disjunction(types)
            self.expect(")")
            return node
        if re.compile(r"not\s*\(").match(self.text, self.at):
            self.at += 3
            self.expect("(")
            node = self.disjunction(types)
            self.expect(")")
            return Not(node)
        return self.path(types)

    def path(self, types: tuple[str, ...]) -> Node:
        """``name op value``, ``reference.path op value``, ``reference[filter].path op value``."""
        self.skip()
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise self.refusal("the name of a search parameter is expected")
        self.at = match.end()
        code, _, target = match[0].partition(":")
        condition = self.at if self.text.startswith("[", self.at) else None
        if condition is None and not self.text.startswith(".", self.at):
            if target:
                raise self.refusal("a type is only for chains")
            return self.comparison(code, types)
        field = field_of(types, code, "_filter", self.context.registry)
        start, depth, ends = self.at, self.depth, set[int]()

        def inner(type: str) -> Node:
            # The same text is read once for each type that the reference may point to.
            self.at, self.depth = start, depth
            nodes: list[Node] = []
            if condition is not None:
                self.expect("[")
                nodes.append(self.disjunction((type,)))
                self.expect("]")
            self.expect(".")
            nodes.append(self.path((type,)))
            ends.add(self.at)
            return all_of(nodes)

        self.context.step("_filter")
        node = chained(field, target or None, inner, self.context)
        self.at, self.depth = max(ends), depth
        return node

    def comparison(self, code: str, types: tuple[str, ...]) -> Node:
        operator = self.word()
        if operator not in _OPERATORS:
            raise self.refusal(f"an operator is expected, one of {', '.join(sorted(_OPERATORS))}")
        self.at += len(operator)
        self.skip()
        quoted = _STRING.match(self.text, self.at)
        bare = None if quoted else _BARE.match(self.text, self.at)
        if quoted is not None:
            self.at = quoted.end()
            try:
                value = json.loads(quoted[0], strict=False)
            except ValueError:
                raise self.refusal(f"{quoted[0]} is not a JSON string") from None
        elif bare is not None:
            self.at = bare.end()
            value = bare[0]
        else:
            raise self.refusal("a value is expected")
        if not value:
            raise self.refusal("the value is empty")
        return _compare(code, operator, value, types, self.context)


def _compare(code: str, operator: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    if code in ("_id", "_lastUpdated"):
        return _special(code, operator, value, types, context)
    field = field_of(types, code, code, context.registry)
    if operator == "pr":
        absent = not missing(code, value)
        nodes = [Missing(field.param, table, absent) for table in field.shape.tables]
        if not nodes:
            raise Unsupported(f"'pr' is not defined for '{code}'")
        return all_of(nodes) if absent else any_of(nodes)
    node = _by_kind(field, operator, value, types, context)
    if node is None:
        raise Unsupported(f"the operator '{operator}' is not defined for {field.kind} parameters such as '{code}'")
    return node


def _by_kind(field: Field, operator: str, value: str, types: tuple[str, ...], context: Context) -> Node | None:
    # In a filter only | and $ separate; a backslash is a character of the value.
    raw = value.replace("\\", "\\\\")
    match field.kind, operator:
        case "string", "eq" | "co" | "sw" | "ew":
            return String(field.param, _STRINGS[operator], fold(value))  # type: ignore[arg-type]
        case "string", "ne":
            return Not(String(field.param, "equals", fold(value)))
        case "date", "po":
            found = date(field, "", value, context)
            assert isinstance(found, Date)
            return Date(field.param, "ap", found.lo, found.hi)
        case "date" | "number" | "quantity" as kind, _ if operator in _COMPARISONS:
            return MATCHERS[kind](field, "", operator + raw, context)
        case "token", "in" | "ni":
            return MATCHERS["token"](field, "in" if operator == "in" else "not-in", raw, context)
        case "token", "ss" | "sb":
            system, _, code = value.partition("|")
            if not code:
                raise bad("_filter", f"'{value}' is not system|code, which '{operator}' needs")
            return subsumption(field, "above" if operator == "ss" else "below", system, code, context)
        case "token", "co" | "sw":
            return String(f"{field.param}:text", "contains" if operator == "co" else "starts", fold(value))
        case "token" | "uri" | "reference" as kind, "eq":
            return MATCHERS[kind](field, "", raw, context)
        case "token" | "uri" | "reference" as kind, "ne":
            return Not(MATCHERS[kind](field, "", raw, context))
        case "reference", "re":
            return MATCHERS["reference"](field, "", raw, context)
        case "uri", "sb":
            return MATCHERS["uri"](field, "below", raw, context)
        case "uri", "ss":
            return MATCHERS["uri"](field, "above", raw, context)
        case "composite", "eq":
            return composite(field, types, "", raw, context)
        case _:
            return None


def _special(code: str, operator: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    special = SPECIAL[code]
    if operator == "pr":
        return special(code, "missing", "false" if missing(code, value) else "true", types, context)
    if code == "_id" and operator in ("eq", "ne"):
        node = special(code, "", escape(value), types, context)
        return node if operator == "eq" else Not(node)
    if code == "_lastUpdated" and operator in _COMPARISONS:
        return special(code, "", operator + value, types, context)
    if code == "_lastUpdated" and operator == "po" and (found := time_range(value, search=True)) is not None:
        return LastUpdated("ap", *found)
    raise Unsupported(f"the operator '{operator}' is not defined for {code}")
