"""Chains: criteria on what a reference points to. R4B 3.1.1.4.16."""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest
from fhir_server.search.criteria.context import Context, Field, Unsupported, UnsupportedModifier, any_of, bad
from fhir_server.search.query import Chain, Node

Inner = Callable[[str], Node]
"""What must hold on a target of this type; raises Unsupported or BadRequest."""


def chained(field: Field, target: str | None, inner: Inner, context: Context) -> Node:
    """The chain through `field` to each type it may point to; inner(type) gives what must hold there."""
    if field.kind != "reference":
        raise Unsupported(f"'{field.param}' is a {field.kind} parameter: only references can be chained")
    if target is not None and not definitions().is_resource(target):
        raise Unsupported(f"'{target}' is not a resource type")
    if target is not None and target not in field.targets:
        raise bad(field.name, f"'{field.param}' does not refer to {target}")
    reached: dict[Node, list[str]] = {}
    refusal: Unsupported | BadRequest | None = None
    with context.deeper():
        for type in (target,) if target is not None else field.targets:
            try:
                reached.setdefault(inner(type), []).append(type)
            except (Unsupported, BadRequest) as error:
                # One type may lack the parameter, or have it with another kind of value, as long as some other fits.
                refusal = refusal if isinstance(refusal, BadRequest | UnsupportedModifier) else error
    if not reached:
        raise refusal or Unsupported(f"'{field.param}' refers to nothing that could be searched")
    nodes: list[Node] = []
    for node, found in reached.items():
        if "reference" in field.shape.tables:
            nodes.append(Chain(field.param, tuple(found), node))
        if "uri" in field.shape.tables:
            canonical = tuple(type for type in found if context.registry.get(type, "url") is not None)
            if canonical:
                nodes.append(Chain(field.param, canonical, node, canonical=True))
    return any_of(nodes)
