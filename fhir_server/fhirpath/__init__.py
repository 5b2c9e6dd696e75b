"""FHIRPath (N1, 2.0.0) over FHIR R4B JSON: invariants, FHIRPath Patch, views.

>>> evaluate("Patient.name.given.first()", {"resourceType": "Patient", "name": [{"given": ["Ada"]}]})
['Ada']
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.fhirpath.compile import Context, compile_expression
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.model import root_node
from fhir_server.fhirpath.operators import truth
from fhir_server.fhirpath.values import Collection, Node, system

__all__ = [
    "Context",
    "FhirPathError",
    "Node",
    "compile_expression",
    "evaluate",
    "holds",
    "nodes",
    "root_node",
    "system",
]


def nodes(expression: str, focus: Node | dict[str, Any], context: Context | None = None) -> Collection:
    """The collection an expression gives on a resource or a node of one; raises FhirPathError."""
    node = focus if isinstance(focus, Node) else root_node(focus)
    context = context or Context()
    if context.resource is None:
        context = replace(context, resource=node)
    return compile_expression(expression)(replace(context, this=node), [node])


def evaluate(expression: str, focus: Node | dict[str, Any], context: Context | None = None) -> list[Any]:
    """As nodes, with primitives as system values and complex elements as their JSON."""
    values = [system(item) for item in nodes(expression, focus, context)]
    return [value.value if isinstance(value, Node) else value for value in values]


def holds(expression: str, focus: Node | dict[str, Any], context: Context | None = None) -> bool:
    """True when the expression gives true; empty is not true."""
    return truth(nodes(expression, focus, context)) is True
