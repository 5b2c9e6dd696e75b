"""FHIRPath N1 5.8 tree navigation."""

from __future__ import annotations

from typing import Final

from fhir_server.fhirpath.functions.function import Function, plain
from fhir_server.fhirpath.model import children
from fhir_server.fhirpath.values import Collection, Node


def _children(focus: Collection) -> Collection:
    return [child for item in focus if isinstance(item, Node) for child in children(item)]


def _descendants(focus: Collection) -> Collection:
    result: Collection = []
    level = _children(focus)
    while level:
        result.extend(level)
        level = _children(level)
    return result


FUNCTIONS: Final[dict[str, Function]] = {"children": plain(_children), "descendants": plain(_descendants)}
