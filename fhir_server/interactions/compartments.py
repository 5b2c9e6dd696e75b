"""Compartments as search criteria. R4B 2.36 (CompartmentDefinition), 3.1.1.1 (search context)."""

from __future__ import annotations

from functools import lru_cache

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import NotFound
from fhir_server.search.query import Id, Node, Or, Reference


@lru_cache(maxsize=16)
def members(compartment: str) -> tuple[str, ...]:
    """Resource types that can be in it. Raises NotFound when there is no such compartment."""
    known = definitions().compartments
    if compartment not in known:
        raise NotFound(f"There is no {compartment} compartment; there are {', '.join(known)}.", code="not-supported")
    return tuple(sorted(definitions().compartment(compartment)))


@lru_cache(maxsize=1024)
def parameters(compartment: str, type: str) -> frozenset[str]:
    """Codes of the reference parameters that link `type` into the compartment."""
    if type not in members(compartment):
        return frozenset()
    return frozenset(definitions().compartment(compartment)[type]) - {"_id"}


def criteria(compartment: str, id: str, type: str) -> Node | None:
    """What makes a resource of `type` a member of compartment/id; None when the type never is."""
    if type not in members(compartment):
        return None
    nodes: list[Node] = [Reference(code, compartment, id) for code in sorted(parameters(compartment, type))]
    if type == compartment:
        nodes.append(Id((id,)))
    if not nodes:
        return None
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))
