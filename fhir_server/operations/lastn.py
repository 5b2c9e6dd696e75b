"""``Observation/$lastn``: the most recent observations of each kind (R4B observation-operation-lastn)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.arguments import arguments
from fhir_server.operations.bundles import searchset
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.outcome import BadRequest
from fhir_server.r4b.times import time_range
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_MOST = 50_000


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """`max` observations of each code (default 1), newest first. A patient or subject, and a category or code, must
    be among the search parameters."""
    given = arguments(request, ("max",), any_name=True)
    most = given.number("max", least=1) or 1
    parameters = [(name, value) for name, value in request.parameters if name != "max"]
    if request.body:
        raise BadRequest("$lastn takes search parameters: use GET, or POST them as a form.")
    names = {name.partition(":")[0].partition(".")[0] for name, _ in parameters}
    if not names & {"patient", "subject"} or not names & {"category", "code"}:
        raise BadRequest("$lastn needs 'patient' or 'subject', and 'category' or 'code'.", code="required")
    found = await hub.find(caller, "Observation", [*parameters, ("_sort", "-date")], limit=_MOST)
    found.sort(key=_moment, reverse=True)
    return OperationResult(searchset(hub.base_url, last_of_each(found, most)))


def last_of_each(observations: list[Json], most: int) -> list[Json]:
    """The first `most` of each kind, kind by kind. Observations that share a coding are of one kind. Pure."""
    kind_of: dict[tuple[str, str], int] = {}
    kinds: dict[int, list[Json]] = {}
    merged: dict[int, int] = {}

    def root(kind: int) -> int:
        while kind in merged:
            kind = merged[kind]
        return kind

    for place, observation in enumerate(observations):
        keys = _codings(observation)
        known = sorted({root(kind_of[key]) for key in keys if key in kind_of})
        kind = known[0] if known else place
        for other in known[1:]:
            merged[other] = kind
            kinds[kind] = sorted(kinds[kind] + kinds.pop(other), key=_moment, reverse=True)
        for key in keys:
            kind_of[key] = kind
        kinds.setdefault(kind, []).append(observation)
    return [observation for members in kinds.values() for observation in members[:most]]


def _codings(observation: Json) -> list[tuple[str, str]]:
    code = observation.get("code", {})
    found = [(one.get("system", ""), one["code"]) for one in code.get("coding", ()) if "code" in one]
    return found or [("text", str(code.get("text", "")).casefold())]


def _moment(observation: Json) -> int:
    period = observation.get("effectivePeriod", {})
    text = (
        observation.get("effectiveDateTime")
        or observation.get("effectiveInstant")
        or period.get("end")
        or period.get("start")
        or ""
    )
    times = time_range(text) if text else None
    return times[1] if times else -(2**62)


register(
    Operation(
        name="lastn",
        levels=("type",),
        types=("Observation",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        documentation="The most recent observations of each kind for a patient.",
    )
)
