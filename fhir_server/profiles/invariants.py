"""The standard's own invariants (R4B, "Constraints" on every type's page), evaluated as FHIRPath over a resource."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fhir_server.fhirpath import Context, FhirPathError, nodes, root_node
from fhir_server.fhirpath.model import children
from fhir_server.fhirpath.operators import truth
from fhir_server.fhirpath.types import ancestors
from fhir_server.fhirpath.values import Node, is_primitive
from fhir_server.r4b.definitions import Element, Invariant, definitions
from fhir_server.r4b.outcome import Issue

#: dom-6 asks for a narrative: a best practice, which every machine-made resource would be told again and again.
_SILENT = frozenset({"dom-6"})


def invariant_issues(
    resource: dict[str, Any], context: Context | None = None, *, told: frozenset[str] = frozenset()
) -> list[Issue]:
    """An Issue (code "invariant") for each constraint that some element breaks, warnings included.

    told: keys of constraints that others have tested already."""
    root = root_node(resource)
    return list(_walk(root, (), replace(context or Context(), resource=root, root=root), told))


def constraint_issue(invariant: Invariant, node: Node, context: Context) -> Issue | None:
    """None when the node keeps the invariant. One that cannot be evaluated is a warning that says so."""
    try:
        # Empty is no answer, and only a plain false breaks a constraint.
        if truth(nodes(invariant.expression, node, context)) is not False:
            return None
    except FhirPathError as error:
        return Issue("warning", "not-supported", f"{invariant.key} could not be checked: {error}.", node.path)
    return Issue(invariant.severity, "invariant", f"{invariant.key}: {invariant.human}", node.path)


def _walk(
    node: Node, on_element: tuple[Invariant, ...], context: Context, told: frozenset[str] = frozenset()
) -> Iterator[Issue]:
    for invariant in (*_of_type(node.type), *on_element):
        if invariant.key in told:
            continue
        issue = constraint_issue(invariant, node, context)
        if issue is not None:
            yield issue
    if node.type == "xhtml":
        return
    elements = _elements_by_property(node.type)
    for child in children(node):
        if isinstance(child.value, dict) and "resourceType" in child.value:
            root = context.root if child.key == "contained" else child
            yield from _walk(child, (), replace(context, resource=child, root=root), told)
        elif not is_primitive(child.type) or child.extra is not None or elements.get(child.key):
            yield from _walk(child, elements.get(child.key, ()), context, told)


@lru_cache(maxsize=2048)
def _of_type(type: str) -> tuple[Invariant, ...]:
    """What every instance of a type must keep: its own constraints and those of what it derives from."""
    if "." in type:
        return tuple(one for one in _stated(type.partition(".")[0]) if one.path == type and one.key not in _SILENT)
    found: dict[str, Invariant] = {}
    for name in (type, *sorted(ancestors(type) - {type})):
        for one in _stated(name):
            if one.path == name and one.key not in _SILENT and not (name == "Element" and is_primitive(type)):
                found.setdefault(one.key, one)
    return tuple(found.values())


@lru_cache(maxsize=512)
def _stated(type: str) -> tuple[Invariant, ...]:
    return definitions().invariants(type)


@lru_cache(maxsize=2048)
def _elements_by_property(type: str) -> dict[str, tuple[Invariant, ...]]:
    """JSON property -> the constraints stated on that element itself (not on a backbone, which has its own key)."""
    try:
        elements = definitions().elements(type)
    except KeyError:
        return {}
    stated = {(one.path, one.key): one for one in _stated(type.partition(".")[0])}
    result: dict[str, tuple[Invariant, ...]] = {}
    for element in elements.values():
        found = _on_element(element, stated)
        if found:
            result.update(dict.fromkeys(element.json_names, found))
    return result


def _on_element(element: Element, stated: dict[tuple[str, str], Invariant]) -> tuple[Invariant, ...]:
    if element.content == element.path:
        return ()
    return tuple(one for (path, _), one in stated.items() if path == element.path and one.key not in _SILENT)
