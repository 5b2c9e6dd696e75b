"""FHIRPath N1 5.3 subsetting."""

from __future__ import annotations

from typing import Final

from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.functions.function import Function, plain, typed, with_values
from fhir_server.fhirpath.operators import contains
from fhir_server.fhirpath.values import Collection


def _single(focus: Collection) -> Collection:
    if len(focus) > 1:
        raise FhirPathError(f"single() found {len(focus)} items")
    return focus


def _skip(focus: Collection, number: Collection) -> Collection:
    return focus[max(0, typed(number, int, "skip()") or 0) :]


def _take(focus: Collection, number: Collection) -> Collection:
    return focus[: max(0, typed(number, int, "take()") or 0)]


def _intersect(focus: Collection, other: Collection) -> Collection:
    result: Collection = []
    for item in focus:
        if contains(other, item) and not contains(result, item):
            result.append(item)
    return result


FUNCTIONS: Final[dict[str, Function]] = {
    "single": plain(_single),
    "first": plain(lambda focus: focus[:1]),
    "last": plain(lambda focus: focus[-1:]),
    "tail": plain(lambda focus: focus[1:]),
    "skip": with_values(_skip, 1),
    "take": with_values(_take, 1),
    "intersect": with_values(_intersect, 1),
    "exclude": with_values(lambda focus, other: [item for item in focus if not contains(other, item)], 1),
}
