"""A criterion's name, taken apart: modifiers, chains, reverse chains; then its value, by kind of parameter.

R4B 3.1.1.4.2 (modifiers), 3.1.1.4.16 (chaining), 3.1.1.4.17 (_has).
"""

from __future__ import annotations

from fhir_server.r4b.definitions import definitions
from fhir_server.search.criteria.chains import chained
from fhir_server.search.criteria.composites import MATCHERS, components, composite
from fhir_server.search.criteria.context import (
    Context,
    Field,
    Unsupported,
    UnsupportedModifier,
    all_of,
    any_of,
    bad,
    field_of,
)
from fhir_server.search.criteria.filters import filter_node
from fhir_server.search.criteria.near import near
from fhir_server.search.criteria.special import SPECIAL, missing, parts_of
from fhir_server.search.query import Has, Missing, Node, Not


def criterion(name: str, value: str, types: tuple[str, ...], context: Context, shown: str = "") -> Node:
    """types: those searched, () for all. shown: the whole name as the client wrote it, for errors.

    Raises Unsupported for what does not exist, BadRequest for a bad value."""
    shown = shown or name
    context.step(shown)
    if not value or value.isspace():
        raise bad(shown, "it has no value")
    if name.startswith("_has:"):
        return _has(name, value, types, context, shown)
    head, dot, rest = name.partition(".")
    if dot:
        return _chain(head, rest, value, types, context, shown)
    code, _, modifier = name.partition(":")
    special = SPECIAL.get(code)
    if special is not None:
        return special(shown, modifier, value, types, context)
    if code == "_filter":
        if modifier:
            raise UnsupportedModifier("_filter takes no modifier")
        return filter_node(value, types, context)
    field = field_of(types, code, shown, context.registry)
    if modifier == "missing":
        return _missing(field, value, types, context)
    return _matches(field, modifier, value, types, context)


def _matches(field: Field, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    matcher = MATCHERS.get(field.kind)
    if field.kind == "composite":
        return any_of([composite(field, types, modifier, part, context) for part in parts_of(field.name, value)])
    if field.kind == "special" and field.param == "near":
        return any_of([near(field, modifier, part, context) for part in parts_of(field.name, value)])
    if matcher is None or not field.shape.tables:
        raise Unsupported(f"'{field.param}' cannot be searched here")
    if modifier == "not" and field.kind == "token":
        return Not(any_of([matcher(field, "", part, context) for part in parts_of(field.name, value)]))
    if "," not in value:
        return matcher(field, modifier, value, context)
    parts = parts_of(field.name, value)
    if modifier == "not-in":
        # In none of the value sets, as for :not.
        return all_of([matcher(field, modifier, part, context) for part in parts])
    return any_of([matcher(field, modifier, part, context) for part in parts])


def _missing(field: Field, value: str, types: tuple[str, ...], context: Context) -> Node:
    absent = missing(field.name, value)
    if field.kind == "composite":
        field = components(field, types, context)[0]
    if field.kind == "special" and field.param == "near":
        return Missing(f"{field.param}$lat", "number", absent)
    if not field.shape.tables:
        raise Unsupported(f"'{field.param}' cannot be searched here")
    nodes = [Missing(field.param, table, absent) for table in field.shape.tables]
    return all_of(nodes) if absent else any_of(nodes)


def _chain(head: str, rest: str, value: str, types: tuple[str, ...], context: Context, shown: str) -> Node:
    code, colon, target = head.partition(":")
    field = field_of(types, code, shown, context.registry)
    return chained(
        field, target if colon else None, lambda type: criterion(rest, value, (type,), context, shown), context
    )


def _has(name: str, value: str, types: tuple[str, ...], context: Context, shown: str) -> Node:
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts):
        raise bad(shown, "write _has:[type]:[reference parameter]:[parameter of that type]")
    _, type, code, rest = parts
    if not definitions().is_resource(type):
        raise Unsupported(f"'{type}' is not a resource type")
    field = field_of((type,), code, shown, context.registry)
    if field.kind != "reference":
        raise Unsupported(f"'{code}' of {type} is a {field.kind} parameter, not a reference")
    if types and not set(types) & set(field.targets):
        raise Unsupported(f"'{code}' of {type} does not refer to {', '.join(types)}")
    with context.deeper():
        return Has(type, code, criterion(rest, value, (type,), context, shown))
