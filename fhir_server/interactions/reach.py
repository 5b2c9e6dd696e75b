"""How far a caller's query may reach: chains tell about other resources, so they need the scopes for those too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhir_server.interactions import compartments, subjects
from fhir_server.r4b.outcome import Forbidden, NotImplementedHere
from fhir_server.search.query import And, Chain, Composite, Everything, Has, Node, Not, Or, Text

if TYPE_CHECKING:
    from fhir_server.security.caller import Caller


def limited(caller: Caller, node: Node, *, full_text: bool) -> Node:
    """`node` as this caller may ask it. Raises Forbidden when it asks about a type that is not open to the caller,
    NotImplementedHere for a text search without a text index."""
    if isinstance(node, And | Or):
        nodes = tuple(limited(caller, each, full_text=full_text) for each in node.nodes)
        return And(nodes) if isinstance(node, And) else Or(nodes)
    if isinstance(node, Not):
        return Not(limited(caller, node.node, full_text=full_text))
    if isinstance(node, Composite):
        return node
    if isinstance(node, Chain):
        return _chain(caller, node, full_text)
    if isinstance(node, Has):
        inner = _inside(caller, node.type, limited(caller, node.node, full_text=full_text))
        return replace(node, node=inner)
    if isinstance(node, Text) and not full_text:
        raise NotImplementedHere("_text and _content need the full-text index, which this server does not keep.")
    return node


def _chain(caller: Caller, node: Chain, full_text: bool) -> Node:
    types = tuple(type for type in node.types if caller.allows(type, "s"))
    if not types:
        for type in node.types[:1]:
            caller.require(type, "s")
    inner = limited(caller, node.node, full_text=full_text)
    if caller.subject is None:
        return replace(node, types=types, node=inner)
    parts: list[Node] = [
        replace(node, types=(type,), node=_inside(caller, type, inner))
        for type in types
        if type in compartments.members("Patient")
    ]
    if not parts:
        raise Forbidden("This key sees one patient only; that chain leads out of the patient's compartment.")
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _inside(caller: Caller, type: str, node: Node) -> Node:
    caller.require(type, "s")
    if caller.subject is None:
        return node
    own = subjects.criteria(caller, type)
    return own if isinstance(node, Everything) else And((node, own))
