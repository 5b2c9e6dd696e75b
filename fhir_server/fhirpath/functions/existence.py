"""FHIRPath N1 5.1 existence."""

from __future__ import annotations

from typing import Final

from fhir_server.fhirpath.compile import Context, Evaluate, iterate
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.functions.function import Function, plain, with_values
from fhir_server.fhirpath.operators import contains, truth
from fhir_server.fhirpath.values import Collection, system


def _exists(criteria: Evaluate | None = None) -> Evaluate:
    if criteria is None:
        return lambda context, focus: [bool(focus)]
    return lambda context, focus: [any(truth(answer) for _, answer in iterate(context, focus, criteria))]


def _all(criteria: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        return [all(truth(answer) for _, answer in iterate(context, focus, criteria))]

    return evaluate


def _booleans(focus: Collection) -> list[bool]:
    values = [system(item) for item in focus]
    if not all(isinstance(value, bool) for value in values):
        raise FhirPathError("every item must be a boolean")
    return values


def _not(focus: Collection) -> Collection:
    answer = truth(focus)
    return [] if answer is None else [not answer]


def distinct(focus: Collection) -> Collection:
    result: Collection = []
    for item in focus:
        if not contains(result, item):
            result.append(item)
    return result


FUNCTIONS: Final[dict[str, Function]] = {
    "empty": plain(lambda focus: [not focus]),
    "exists": Function(_exists, 0, 1, lambdas=True),
    "all": Function(_all, 1, 1, lambdas=True),
    "allTrue": plain(lambda focus: [all(_booleans(focus))]),
    "anyTrue": plain(lambda focus: [any(_booleans(focus))]),
    "allFalse": plain(lambda focus: [not any(_booleans(focus))]),
    "anyFalse": plain(lambda focus: [not all(_booleans(focus))]),
    "subsetOf": with_values(lambda focus, other: [all(contains(other, item) for item in focus)], 1),
    "supersetOf": with_values(lambda focus, other: [all(contains(focus, item) for item in other)], 1),
    "count": plain(lambda focus: [len(focus)]),
    "distinct": plain(distinct),
    "isDistinct": plain(lambda focus: [len(distinct(focus)) == len(focus)]),
    "not": plain(_not),
}
