"""A GraphQL query, read and checked: its fields with arguments filled in and directives understood. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import GraphQLSyntaxError, parse
from graphql.language import ast

from fhir_server.r4b.outcome import BadRequest

_DIRECTIVES: Final = frozenset({"flatten", "first", "singleton", "slice", "skip", "include"})
_MAX_DEPTH: Final = 30


@dataclass(frozen=True, slots=True)
class Field:
    """name: of the element or list; key: what it is called in the answer. slice: the FHIRPath of @slice, or None."""

    name: str
    key: str
    arguments: Mapping[str, Any]
    selections: tuple[Selection, ...]
    flatten: bool = False
    first: bool = False
    singleton: bool = False
    slice: str | None = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """Selections that hold only on one type."""

    type: str
    selections: tuple[Selection, ...]


Selection = Field | Fragment


@dataclass(frozen=True, slots=True)
class Document:
    selections: tuple[Selection, ...]


@dataclass(slots=True)
class _Reader:
    variables: Mapping[str, Any]
    fragments: Mapping[str, ast.FragmentDefinitionNode]
    open: list[str] = field(default_factory=list)

    def selections(self, node: ast.SelectionSetNode | None, depth: int) -> tuple[Selection, ...]:
        if depth > _MAX_DEPTH:
            raise BadRequest("The GraphQL query is nested too deeply.")
        found: list[Selection] = []
        for selection in node.selections if node else ():
            directives = self.directives(selection.directives)
            if directives.get("skip", {}).get("if") is True or directives.get("include", {}).get("if") is False:
                continue
            if isinstance(selection, ast.FieldNode):
                found.append(self.field(selection, directives, depth))
            elif isinstance(selection, ast.InlineFragmentNode):
                inner = self.selections(selection.selection_set, depth + 1)
                if selection.type_condition is None:
                    found.extend(inner)
                else:
                    found.append(Fragment(selection.type_condition.name.value, inner))
            elif isinstance(selection, ast.FragmentSpreadNode):
                found.append(self.spread(selection.name.value, depth))
        return tuple(found)

    def spread(self, name: str, depth: int) -> Fragment:
        fragment = self.fragments.get(name)
        if fragment is None:
            raise BadRequest(f"The fragment '{name}' is not defined.")
        if name in self.open:
            raise BadRequest(f"The fragment '{name}' contains itself.")
        self.open.append(name)
        inner = self.selections(fragment.selection_set, depth + 1)
        self.open.pop()
        return Fragment(fragment.type_condition.name.value, inner)

    def field(self, node: ast.FieldNode, directives: Mapping[str, Mapping[str, Any]], depth: int) -> Field:
        path = directives.get("slice", {})
        slice_path = path.get("fhirpath", path.get("path"))
        if "slice" in directives and not isinstance(slice_path, str):
            raise BadRequest("@slice needs the argument fhirpath, a string.")
        return Field(
            name=node.name.value,
            key=node.alias.value if node.alias else node.name.value,
            arguments={argument.name.value: self.value(argument.value) for argument in node.arguments},
            selections=self.selections(node.selection_set, depth + 1),
            flatten="flatten" in directives,
            first="first" in directives,
            singleton="singleton" in directives,
            slice=slice_path,
        )

    def directives(self, nodes: Sequence[ast.DirectiveNode]) -> dict[str, dict[str, Any]]:
        found = {}
        for node in nodes:
            name = node.name.value
            if name not in _DIRECTIVES:
                raise BadRequest(f"There is no directive @{name}.")
            found[name] = {argument.name.value: self.value(argument.value) for argument in node.arguments}
        return found

    def value(self, node: ast.ValueNode) -> Any:
        match node:
            case ast.VariableNode():
                name = node.name.value
                if name not in self.variables:
                    raise BadRequest(f"The variable ${name} has no value.")
                return self.variables[name]
            case ast.BooleanValueNode() | ast.StringValueNode() | ast.EnumValueNode():
                return node.value
            case ast.IntValueNode():
                return int(node.value)
            case ast.FloatValueNode():
                return node.value
            case ast.NullValueNode():
                return None
            case ast.ListValueNode():
                return [self.value(item) for item in node.values]
        raise BadRequest("An argument must be a scalar, a list of scalars, or a variable.")


def read_document(query: str, variables: Mapping[str, Any], operation: str | None) -> Document:
    """BadRequest for what is not a GraphQL query that this server can answer."""
    try:
        tree = parse(query, max_tokens=20_000)
    except GraphQLSyntaxError as error:
        raise BadRequest(f"The GraphQL query cannot be read: {error.message}") from None
    except RecursionError:
        raise BadRequest("The GraphQL query is nested too deeply.") from None
    definitions = tree.definitions
    fragments = {one.name.value: one for one in definitions if isinstance(one, ast.FragmentDefinitionNode)}
    operations = [one for one in definitions if isinstance(one, ast.OperationDefinitionNode)]
    chosen = [one for one in operations if operation is None or (one.name and one.name.value == operation)]
    if len(chosen) != 1:
        raise BadRequest("The document must hold one query, or operationName must name one of several.")
    if chosen[0].operation.value != "query":
        raise BadRequest(f"A GraphQL {chosen[0].operation.value} is not supported; send a query.", code="not-supported")
    reader = _Reader(variables, fragments)
    known = dict(variables)
    for one in chosen[0].variable_definitions:
        name = one.variable.name.value
        if name not in known and one.default_value is not None:
            known[name] = reader.value(one.default_value)
        elif name not in known and not isinstance(one.type, ast.NonNullTypeNode):
            known[name] = None
    reader.variables = known
    return Document(reader.selections(chosen[0].selection_set, 0))
