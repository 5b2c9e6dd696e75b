"""Composite parameters: components joined by ``$``, matched on one element. R4B 3.1.1.4.15."""

from __future__ import annotations

from fhir_server.search.criteria.context import Context, Field, Matcher, UnsupportedModifier, bad
from fhir_server.search.criteria.dates import date
from fhir_server.search.criteria.escapes import split
from fhir_server.search.criteria.numeric import number, quantity
from fhir_server.search.criteria.references import reference
from fhir_server.search.criteria.strings import string, uri
from fhir_server.search.criteria.tokens import token
from fhir_server.search.query import Composite, Node

MATCHERS: dict[str, Matcher] = {
    "token": token,
    "string": string,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "uri": uri,
}


def composite(field: Field, types: tuple[str, ...], modifier: str, value: str, context: Context) -> Node:
    if modifier:
        raise UnsupportedModifier(
            f"the modifier ':{modifier}' is not defined for composite parameters such as '{field.param}'"
        )
    assert field.parameter is not None
    fields = components(field, types, context)
    parts = split(value, "$")
    if len(parts) != len(fields) or not all(parts):
        raise bad(field.name, f"'{value}' does not have {len(fields)} parts joined by '$'")
    nodes = [
        MATCHERS[part_field.kind](part_field, "", part, context) for part_field, part in zip(fields, parts, strict=True)
    ]
    return Composite(field.param, tuple(nodes))


def components(field: Field, types: tuple[str, ...], context: Context) -> list[Field]:
    """The components as parameters of their own, named ``param$0`` ..."""
    assert field.parameter is not None
    kinds = context.registry.component_types(field.parameter)
    shapes = context.registry.component_shapes(types[0] if types else "Patient", field.parameter)
    targets = [context.registry.by_url(component.definition) for component in field.parameter.components]
    return [
        Field(field.name, f"{field.param}${number}", kind, shape, target.targets if target else ())
        for number, (kind, shape, target) in enumerate(zip(kinds, shapes, targets, strict=True))
    ]
