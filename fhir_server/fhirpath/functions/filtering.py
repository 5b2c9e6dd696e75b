"""FHIRPath N1 5.2 filtering and projection, 7 aggregates, and the type functions of 6.3."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fhir_server.fhirpath.compile import Context, Evaluate, iterate
from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.functions.function import Function
from fhir_server.fhirpath.operators import contains, truth
from fhir_server.fhirpath.types import is_type
from fhir_server.fhirpath.values import Collection

_REPEAT_LIMIT: Final = 100_000


def _where(criteria: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        return [item for item, answer in iterate(context, focus, criteria) if truth(answer)]

    return evaluate


def _select(projection: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        return [found for _, answer in iterate(context, focus, projection) for found in answer]

    return evaluate


def _repeat(projection: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        result: Collection = []
        waiting = list(focus)
        while waiting:
            found = [item for _, answer in iterate(context, waiting, projection) for item in answer]
            waiting = []
            for item in found:
                if not contains(result, item):
                    result.append(item)
                    waiting.append(item)
            if len(result) > _REPEAT_LIMIT:
                raise FhirPathError("repeat() found too many items")
        return result

    return evaluate


def _of_type(name: str) -> Evaluate:
    return lambda context, focus: [item for item in focus if is_type(item, name)]


def _is(name: str) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        if len(focus) > 1:
            raise FhirPathError(f"is() needs one item, not {len(focus)}")
        return [is_type(item, name) for item in focus]

    return evaluate


def _aggregate(aggregator: Evaluate, start: Evaluate | None = None) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        total = [] if start is None else start(context, [] if context.this is None else [context.this])
        for place, item in enumerate(focus):
            total = aggregator(replace(context, this=item, index=place, total=total), [item])
        return total

    return evaluate


def _iif(criterion: Evaluate, yes: Evaluate, no: Evaluate | None = None) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        inner = replace(context, this=focus[0]) if len(focus) == 1 else context
        if truth(criterion(inner, focus)):
            return yes(inner, focus)
        return [] if no is None else no(inner, focus)

    return evaluate


FUNCTIONS: Final[dict[str, Function]] = {
    "where": Function(_where, 1, 1, lambdas=True),
    "select": Function(_select, 1, 1, lambdas=True),
    "repeat": Function(_repeat, 1, 1, lambdas=True),
    "ofType": Function(_of_type, 1, 1, takes_types=True),
    "as": Function(_of_type, 1, 1, takes_types=True),
    "is": Function(_is, 1, 1, takes_types=True),
    "aggregate": Function(_aggregate, 1, 2, lambdas=True),
    "iif": Function(_iif, 2, 3, lambdas=True),
}
