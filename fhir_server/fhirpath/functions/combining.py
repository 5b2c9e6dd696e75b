"""FHIRPath N1 5.4 combining, and utility functions of 5.9."""

from __future__ import annotations

from typing import Final

from fhir_server.fhirpath.compile import Context, Evaluate
from fhir_server.fhirpath.functions.function import Function, with_values
from fhir_server.fhirpath.operators import union
from fhir_server.fhirpath.temporal import parse_temporal
from fhir_server.fhirpath.values import Collection


def _moment(kind: str) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        date, _, clock = context.now.partition("T")
        text = {"dateTime": context.now, "date": date, "time": clock[:12].rstrip("Z")}[kind]
        moment = parse_temporal(kind, text)
        return [] if moment is None else [moment]

    return evaluate


FUNCTIONS: Final[dict[str, Function]] = {
    "union": with_values(union, 1),
    "combine": with_values(lambda focus, other: focus + other, 1),
    "trace": Function(lambda *arguments: lambda context, focus: focus, 1, 2, lambdas=True),
    "now": Function(lambda: _moment("dateTime")),
    "today": Function(lambda: _moment("date")),
    "timeOfDay": Function(lambda: _moment("time")),
}
