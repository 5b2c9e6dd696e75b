"""Search expressions compiled once: to typed paths for the indexer, to closures over JSON objects for everyone else.

A compiled expression is a set of `Leaf`s: steps through the JSON, and the FHIR type found at the end. A choice element
gives one leaf for each of its types, so that the type of a value never has to be guessed from the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fhir_server.r4b.definitions import Element, definitions
from fhir_server.search.expressions import (
    Binary,
    Call,
    Expression,
    Index,
    Literal,
    Name,
    Resource,
    This,
    TypeTest,
    Union,
    parse_expression,
)
from fhir_server.search.expressions import ExpressionError as ExpressionError

Values = Callable[[Any, dict[str, Any]], list[Any]]
"""(value, resource) -> values: what an expression gives on a value within a resource."""


@dataclass(frozen=True, slots=True)
class Key:
    """Into a property; an array is flattened."""

    name: str


@dataclass(frozen=True, slots=True)
class Nth:
    """Only this item of what the path before gives."""

    position: int


@dataclass(frozen=True, slots=True)
class Root:
    """Back to the resource (%resource)."""


@dataclass(frozen=True, slots=True)
class Test:
    """Go on only when `holds(value, resource)`. Two tests are the same when their text is."""

    text: str
    holds: Callable[[Any, dict[str, Any]], bool] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Computed:
    """A value that is worked out (a boolean), not found."""

    text: str
    values: Values = field(compare=False)


Step = Key | Nth | Root | Test | Computed


@dataclass(frozen=True, slots=True)
class Leaf:
    """steps: how to get there. type: FHIR type name, or the key of a backbone element. element: None for a resource
    itself and for computed values."""

    steps: tuple[Step, ...]
    type: str
    element: Element | None = None

    def then(self, step: Step) -> Leaf:
        return Leaf((*self.steps, step), self.type, self.element)


@lru_cache(maxsize=4096)
def leaves_of(expression: str, type: str) -> tuple[Leaf, ...]:
    """The typed paths of `expression` on `type` (a resource type, a data type or a backbone key such as
    ``Observation.component``). () when the expression is about other types. Raises ExpressionError."""
    tree = parse_expression(expression)
    return _Compiler(type).leaves(tree, (Leaf((), type),))


@lru_cache(maxsize=4096)
def compile_expression(expression: str, type: str) -> Callable[[dict[str, Any]], list[Any]]:
    """`expression` on resources (or elements) of `type` -> function from the JSON object to the list of values.

    Raises ExpressionError."""
    run = _values_of(leaves_of(expression, type))
    return lambda data: run(data, data)


class _Compiler:
    def __init__(self, type: str) -> None:
        self.type = type

    def leaves(self, tree: Expression, start: tuple[Leaf, ...]) -> tuple[Leaf, ...]:
        match tree:
            case This():
                return start
            case Resource():
                return (Leaf((Root(),), self.type.partition(".")[0]),)
            case Union(parts):
                return tuple(dict.fromkeys(leaf for part in parts for leaf in self.leaves(part, start)))
            case Name(This(), name) if name[0].isupper():
                return tuple(leaf for leaf in start if _is_a(leaf.type, name))
            case Name(of, name):
                return self._child(self.leaves(of, start), name, _where(of))
            case TypeTest(of, "as", type):
                return tuple(leaf for leaf in self.leaves(of, start) if _is_a(leaf.type, type))
            case Index(of, position):
                return tuple(leaf.then(Nth(position)) for leaf in self.leaves(of, start))
            case Call(of, function, arguments):
                return self._call(self.leaves(of, start), function, arguments, start, tree)
            case Binary() | TypeTest():
                return (Leaf((Computed(repr(tree), self._boolean(tree, start)),), "boolean"),)
            case _:
                raise ExpressionError("a literal is not a path")

    def _child(self, parents: tuple[Leaf, ...], name: str, where: str) -> tuple[Leaf, ...]:
        found: list[Leaf] = []
        for parent in parents:
            if parent.type == "Resource":
                found.append(Leaf((*parent.steps, Key(name)), ""))
                continue
            if definitions().is_primitive(parent.type):
                found.extend(_into_primitive(parent, name))
                continue
            try:
                element = definitions().elements(parent.type).get(name)
            except KeyError:
                element = None
            if element is None:
                continue
            for property_name, ref in element.json_names.items():
                type = element.content or ref.code
                found.append(Leaf((*parent.steps, Key(property_name)), type, element))
        if parents and not found:
            kinds = ", ".join(sorted({parent.type or "this place" for parent in parents})[:3])
            raise ExpressionError(f"{kinds} has no element '{name}'{where}")
        return tuple(found)

    def _call(
        self,
        of: tuple[Leaf, ...],
        function: str,
        arguments: tuple[Expression, ...],
        start: tuple[Leaf, ...],
        tree: Expression,
    ) -> tuple[Leaf, ...]:
        match function, arguments:
            case "where", (TypeTest(Call(This(), "resolve", ()), "is", target),):
                test = Test(f"resolve() is {target}", _points_to(target))
                return tuple(leaf.then(test) for leaf in of if leaf.type in ("Reference", "canonical", "uri"))
            case "where", (criterion,):
                return tuple(
                    leaf.then(Test(f"{leaf.type}: {criterion!r}", self._criterion(criterion, leaf))) for leaf in of
                )
            case "extension", (Literal(str(url)),):
                inner = self._child(of, "extension", "")
                return tuple(leaf.then(Test(f"extension {url}", _has_url(url))) for leaf in inner)
            case "first", ():
                return tuple(leaf.then(Nth(0)) for leaf in of)
            case "exists" | "empty" | "not", _:
                return (Leaf((Computed(repr(tree), self._boolean(tree, start)),), "boolean"),)
            case _:
                raise ExpressionError(f"the function {function}() is not supported in search expressions")

    def _criterion(self, tree: Expression, leaf: Leaf) -> Callable[[Any, dict[str, Any]], bool]:
        values = self._boolean(tree, (Leaf((), leaf.type, leaf.element),))
        return lambda value, resource: values(value, resource) == [True]

    def _boolean(self, tree: Expression, start: tuple[Leaf, ...]) -> Values:
        """The values of a tree; [] is FHIRPath's empty."""
        match tree:
            case Literal(value):
                constant = [value]
                return lambda *_: constant
            case Binary("and" | "or" as operator, left, right):
                first, second = self._boolean(left, start), self._boolean(right, start)
                absorbing = operator == "or"

                def junction(value: Any, resource: dict[str, Any]) -> list[Any]:
                    one, two = first(value, resource), second(value, resource)
                    if [absorbing] in (one, two):
                        return [absorbing]
                    return [not absorbing] if one and two else []

                return junction
            case Binary(operator, left, right):
                first, second = self._boolean(left, start), self._boolean(right, start)
                negated = operator == "!="

                def comparison(value: Any, resource: dict[str, Any]) -> list[Any]:
                    one, two = first(value, resource), second(value, resource)
                    return [_same(one, two) != negated] if one and two else []

                return comparison
            case Call(of, "exists" | "empty" as function, arguments):
                if arguments:
                    of = Call(of, "where", arguments)
                inner, wanted = self._boolean(of, start), function == "exists"
                return lambda value, resource: [bool(inner(value, resource)) == wanted]
            case Call(of, "not", ()):
                inner = self._boolean(of, start)
                return lambda value, resource: [not truth for truth in inner(value, resource)]
            case TypeTest(of, "is", type):
                kept = _values_of(self.leaves(TypeTest(of, "as", type), start))
                return lambda value, resource: [bool(kept(value, resource))]
            case _:
                return _values_of(self.leaves(tree, start))


def _where(tree: Expression) -> str:
    match tree:
        case Name(_, name):
            return f" (after '{name}')"
        case _:
            return ""


def _is_a(type: str, wanted: str) -> bool:
    wanted = _SPELLINGS.get(wanted, wanted)
    step: str | None = type
    while step is not None:
        if step == wanted:
            return True
        step = definitions().parent(step)
    return False


# The standard itself writes as(DateTime).
_SPELLINGS = {"DateTime": "dateTime", "Date": "date", "String": "string", "Boolean": "boolean", "Instant": "instant"}


def _into_primitive(parent: Leaf, name: str) -> list[Leaf]:
    """``birthDate.extension``: JSON keeps it beside the value, under ``_birthDate``."""
    if name not in ("extension", "id") or not parent.steps or not isinstance(parent.steps[-1], Key):
        return []
    beside = Key("_" + parent.steps[-1].name)
    element = definitions().elements("Element")[name]
    type = "Extension" if name == "extension" else "string"
    return [Leaf((*parent.steps[:-1], beside, Key(name)), type, element)]


def _has_url(url: str) -> Callable[[Any, dict[str, Any]], bool]:
    return lambda value, _: value.get("url") == url


def _points_to(target: str) -> Callable[[Any, dict[str, Any]], bool]:
    """where(resolve() is T) without resolving: by the type in the literal, Reference.type or the contained resource."""
    start, within = f"{target}/", f"/{target}/"

    def holds(value: Any, resource: dict[str, Any]) -> bool:
        if isinstance(value, str):
            return value.startswith(start) or within in value
        text = value.get("reference")
        if not isinstance(text, str):
            return bool(value.get("type") == target)
        if text.startswith("#"):
            contained = resource.get("contained", ())
            return any(inner.get("id") == text[1:] and inner.get("resourceType") == target for inner in contained)
        # A conditional or urn reference is replaced before it is stored; Reference.type is all that is left to ask.
        return text.startswith(start) or within in text or value.get("type") == target

    return holds


def _same(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(
        a == b and isinstance(a, bool) == isinstance(b, bool) for a, b in zip(left, right, strict=True)
    )


def _values_of(leaves: Sequence[Leaf]) -> Values:
    paths = [leaf.steps for leaf in leaves]

    def values(value: Any, resource: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        for steps in paths:
            found.extend(follow(steps, value, resource))
        return found

    return values


def follow(steps: tuple[Step, ...], value: Any, resource: dict[str, Any]) -> list[Any]:
    """The values at the end of `steps` from `value`, which is somewhere in `resource`."""
    values = [value]
    for step in steps:
        match step:
            case Key(name):
                below: list[Any] = []
                for parent in values:
                    child = parent.get(name) if isinstance(parent, dict) else None
                    if isinstance(child, list):
                        below.extend(item for item in child if item is not None)
                    elif child is not None:
                        below.append(child)
                values = below
            case Test(_, holds):
                values = [item for item in values if holds(item, resource)]
            case Nth(position):
                values = values[position : position + 1]
            case Root():
                values = [resource] if values else []
            case Computed(_, compute):
                values = [result for item in values for result in compute(item, resource)]
        if not values:
            return values
    return values
