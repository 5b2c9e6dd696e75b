"""A syntax tree to a closure: `(context, focus) -> collection` (FHIRPath N1 sections 3, 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fhir_server.fhirpath import operators, syntax
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.model import member
from fhir_server.fhirpath.temporal import parse_temporal
from fhir_server.fhirpath.types import is_type
from fhir_server.fhirpath.values import Collection, Item, Node, Quantity, is_number, system


@dataclass(frozen=True, slots=True)
class Context:
    """What an evaluation may see beside its focus.

    resource: the resource that holds the focus (%resource); root: its container (%rootResource). resolve: literal
    reference text to a Node or None. member_of: (item, value set url) to True, False or None. conforms_to: (item,
    profile url) to bool or None. now: a dateTime text, given by the caller so that evaluation has no clock.
    """

    resource: Node | None = None
    root: Node | None = None
    variables: Mapping[str, Collection] = field(default_factory=dict)
    resolve: Callable[[str, Node | None], Node | None] | None = None
    member_of: Callable[[Item, str], bool | None] | None = None
    conforms_to: Callable[[Item, str], bool | None] | None = None
    subsumes: Callable[[Item, Item], bool | None] | None = None
    now: str = ""
    this: Item = None
    index: int = 0
    total: Collection = field(default_factory=list)


Evaluate = Callable[[Context, Collection], Collection]


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Evaluate:
    """Compile once, evaluate often; raises FhirPathError for what cannot be read or names an unknown function."""
    return build(syntax.parse(text))


def build(tree: syntax.Syntax) -> Evaluate:
    match tree:
        case syntax.Literal(kind, value):
            return _literal(kind, value)
        case syntax.QuantityLiteral(value, unit):
            quantity: Collection = [Quantity(value, unit)]
            return lambda context, focus: quantity
        case syntax.Empty():
            return lambda context, focus: []
        case syntax.Variable(name):
            return _variable(name)
        case syntax.Member(name):
            return _first_member(name)
        case syntax.Call(name, arguments):
            return _call(name, arguments)
        case syntax.Step(source, step):
            return _step(build(source), step)
        case syntax.Index(source, index):
            return _index(build(source), build(index))
        case syntax.Unary(operator, operand):
            return _unary(operator, build(operand))
        case syntax.Binary(operator, left, right):
            return operators.binary(operator, build(left), build(right))
        case syntax.TypeTest(operator, operand, type):
            return _type_test(operator, build(operand), type)
    raise FhirPathError(f"cannot compile {tree!r}")


def _literal(kind: str, value: Any) -> Evaluate:
    if kind in ("date", "dateTime", "time"):
        moment = parse_temporal(kind, value.removesuffix("T") if kind == "dateTime" else value)
        if moment is None:
            raise FhirPathError(f"'{value}' is not a {kind}")
        value = moment
    result: Collection = [value]
    return lambda context, focus: result


def _variable(name: str) -> Evaluate:
    if name == "$this":
        return lambda context, focus: [] if context.this is None else [context.this]
    if name == "$index":
        return lambda context, focus: [context.index]
    if name == "$total":
        return lambda context, focus: context.total
    key = name[1:]
    constants = {
        "ucum": "http://unitsofmeasure.org",
        "sct": "http://snomed.info/sct",
        "loinc": "http://loinc.org",
    }
    if key in constants:
        constant: Collection = [constants[key]]
        return lambda context, focus: constant
    if key.startswith("vs-"):
        return lambda context, focus: [f"http://hl7.org/fhir/ValueSet/{key[3:]}"]
    if key.startswith("ext-"):
        return lambda context, focus: [f"http://hl7.org/fhir/StructureDefinition/{key[4:]}"]

    def evaluate(context: Context, focus: Collection) -> Collection:
        if key in context.variables:
            return context.variables[key]
        if key in ("resource", "context"):
            return [] if context.resource is None else [context.resource]
        if key == "rootResource":
            root = context.root or context.resource
            return [] if root is None else [root]
        raise FhirPathError(f"the variable %{key} is not defined")

    return evaluate


def _first_member(name: str) -> Evaluate:
    """A name at the start of a path may be the type of the focus itself ("Patient.name")."""

    def evaluate(context: Context, focus: Collection) -> Collection:
        result: Collection = []
        for item in focus:
            if isinstance(item, Node):
                if name[0].isupper() and is_type(item, name):
                    result.append(item)
                else:
                    member(item, name, result)
        return result

    return evaluate


def _step(source: Evaluate, step: syntax.Member | syntax.Call) -> Evaluate:
    if isinstance(step, syntax.Member):
        name = step.name

        def evaluate(context: Context, focus: Collection) -> Collection:
            result: Collection = []
            for item in source(context, focus):
                if isinstance(item, Node):
                    member(item, name, result)
                elif isinstance(item, Mapping) and name in item:
                    result.append(item[name])
            return result

        return evaluate
    call = _call(step.name, step.arguments)
    return lambda context, focus: call(context, source(context, focus))


def _call(name: str, arguments: tuple[syntax.Syntax, ...]) -> Evaluate:
    from fhir_server.fhirpath.functions import FUNCTIONS

    function = FUNCTIONS.get(name)
    if function is None:
        raise FhirPathError(f"there is no function {name}()")
    if not function.least <= len(arguments) <= function.most:
        raise FhirPathError(f"{name}() takes {function.least} to {function.most} arguments, not {len(arguments)}")
    if function.takes_types:
        return function.build(*(_type_argument(argument) for argument in arguments))
    compiled = [build(argument) for argument in arguments]
    if function.lambdas:
        return function.build(*compiled)
    # An ordinary argument is evaluated on what the whole call stands on, not on the collection it is called on.
    return function.build(*(_outer(argument) for argument in compiled))


def _outer(argument: Evaluate) -> Evaluate:
    return lambda context, focus: argument(context, [] if context.this is None else [context.this])


def _type_argument(tree: syntax.Syntax) -> str:
    match tree:
        case syntax.Member(name):
            return name
        case syntax.Step(syntax.Member(namespace), syntax.Member(name)):
            return f"{namespace}.{name}"
        case syntax.Literal("string", str(name)):
            return name
    raise FhirPathError("expected the name of a type")


def _index(source: Evaluate, index: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        items = source(context, focus)
        places = _outer(index)(context, focus)
        if not places:
            return []
        place = system(places[0])
        if len(places) > 1 or not isinstance(place, int):
            raise FhirPathError("an index must be one integer")
        return [items[place]] if 0 <= place < len(items) else []

    return evaluate


def _unary(operator: str, operand: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        items = operand(context, focus)
        if not items:
            return []
        value = system(items[0])
        if len(items) > 1 or not (is_number(value) or isinstance(value, Quantity)):
            raise FhirPathError(f"the sign {operator} needs one number")
        if operator == "+":
            return [value]
        return [Quantity(-value.value, value.unit) if isinstance(value, Quantity) else -value]

    return evaluate


def _type_test(operator: str, operand: Evaluate, type: str) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        items = operand(context, focus)
        if not items:
            return []
        if len(items) > 1:
            raise FhirPathError(f"'{operator}' needs one item, not {len(items)}")
        matches = is_type(items[0], type)
        if operator == "is":
            return [matches]
        return items if matches else []

    return evaluate


def iterate(context: Context, items: Collection, expression: Evaluate) -> list[tuple[Item, Collection]]:
    """The expression's result for each item, with $this and $index set."""
    return [(item, expression(replace(context, this=item, index=place), [item])) for place, item in enumerate(items)]
