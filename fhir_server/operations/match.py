"""``Patient/$match``: who might this patient be (R4B patient-operation-match).

A shared identifier decides. Without one, each demographic that agrees or disagrees adds weight, after Fellegi and
Sunter: how much likelier it is among records of one person than among records of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from fhir_server.operations.arguments import arguments
from fhir_server.operations.bundles import searchset
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.outcome import BadRequest
from fhir_server.search.fold import fold
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_GRADE: Final = "http://hl7.org/fhir/StructureDefinition/match-grade"
#: (score at least, grade), best first. Below the last a record is no match.
_GRADES: Final = ((0.95, "certain"), (0.75, "probable"), (0.5, "possible"))
_CANDIDATES: Final = 200
#: log2 odds added when two records agree, partly agree, or disagree on a demographic that both state.
_WEIGHTS: Final[dict[str, tuple[float, float, float]]] = {
    "birthDate": (8.0, 2.0, -6.0),
    "family": (6.5, 4.0, -4.0),
    "given": (5.0, 3.0, -3.0),
    "gender": (1.0, 0.0, -4.0),
    "phone": (6.0, 0.0, -0.5),
    "email": (7.0, 0.0, -0.5),
    "postalCode": (3.5, 1.5, -0.5),
}
#: The sum of weights at which two records are as likely one person as two.
_EVEN: Final = 9.0


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """Matches, best first, each with search.score (0 to 1) and a match-grade. onlyCertainMatches: none if two are."""
    given = arguments(request, ("resource", "onlyCertainMatches", "onlySingleMatch", "count"), resource_as="resource")
    wanted = given.resource("resource")
    if wanted is None or wanted.get("resourceType") != "Patient":
        raise BadRequest("$match needs a Patient: the parameter 'resource'.", expression="Parameters.parameter")
    only_certain = given.flag("onlyCertainMatches")
    count = given.number("count", least=1) or 50
    scored = [(score(wanted, one), one) for one in await _candidates(hub, caller, wanted)]
    scored = [(value, one) for value, one in scored if grade(value) is not None]
    scored.sort(key=lambda pair: (-pair[0], pair[1]["id"]))
    if only_certain:
        scored = [pair for pair in scored if grade(pair[0]) == "certain"]
        # Two records that are both certain are a doubt, and a doubt is not certain.
        scored = scored if len(scored) == 1 else []
    if given.flag("onlySingleMatch") and len(scored) > 1:
        scored = scored[:1] if scored[0][0] > scored[1][0] else []
    scored = scored[:count]
    search = [
        {"extension": [{"url": _GRADE, "valueCode": grade(value)}], "mode": "match", "score": round(value, 4)}
        for value, _ in scored
    ]
    return OperationResult(searchset(hub.base_url, [one for _, one in scored], search=search))


def grade(score: float) -> str | None:
    return next((name for least, name in _GRADES if score >= least), None)


async def _candidates(hub: Hub, caller: Caller, wanted: Json) -> list[Json]:
    """Records that share something selective with the one in hand."""
    found: dict[str, Json] = {}
    for parameters in _blocks(wanted):
        for one in await hub.find(caller, "Patient", parameters, limit=_CANDIDATES):
            found[one["id"]] = one
    return list(found.values())


def _blocks(wanted: Json) -> Iterable[list[tuple[str, str]]]:
    for system, value in _identifiers(wanted):
        yield [("identifier", f"{_escape(system)}|{_escape(value)}")]
    for kind in ("phone", "email"):
        for value in _telecom(wanted, kind):
            yield [(kind, _escape(value))]
    birth = wanted.get("birthDate")
    if isinstance(birth, str):
        yield [("birthdate", birth)]
    for name in wanted.get("name", ()):
        family, given = name.get("family"), (name.get("given") or [None])[0]
        if family and given:
            yield [("family", _escape(family)), ("given", _escape(given[:3]))]
        elif family or name.get("text"):
            yield [("name", _escape(family or name["text"]))]


def _escape(text: str) -> str:
    for character in "\\,$|":
        text = text.replace(character, "\\" + character)
    return text


def score(wanted: Json, other: Json) -> float:
    """0 to 1. Pure."""
    if set(_identifiers(wanted)) & set(_identifiers(other)):
        return 1.0
    total = -_EVEN
    for name, (agree, partly, disagree) in _WEIGHTS.items():
        left, right = _VALUES[name](wanted), _VALUES[name](other)
        if not left or not right:
            continue
        if left & right:
            total += agree
        elif _partly(name, left, right):
            total += partly
        else:
            total += disagree
    # Without an identifier nothing is ever beyond doubt.
    return min(float(2**total / (1 + 2**total)), 0.99) if total < 50 else 0.99


def _partly(name: str, left: set[str], right: set[str]) -> bool:
    if name in ("family", "given"):
        return any(one[:1] == other[:1] and _near(one, other) for one in left for other in right)
    if name == "birthDate":
        return any(
            one.startswith(other) or other.startswith(one) or _swapped(one, other) for one in left for other in right
        )
    return name == "postalCode" and any(one[:3] == other[:3] for one in left for other in right)


def _swapped(one: str, other: str) -> bool:
    """Day and month the other way round."""
    first, second = one.split("-"), other.split("-")
    return len(first) == 3 and first == [second[0], *second[:0:-1]]


def _near(one: str, other: str) -> bool:
    """At most one letter put in, left out, changed or swapped with its neighbour; or an initial."""
    if len(one) == 1 or len(other) == 1:
        return True
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next((place for place, letter in enumerate(short) if letter != long[place]), len(short))
    if len(short) == len(long):
        swapped = short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
        return swapped or short[start + 1 :] == long[start + 1 :]
    return short[start:] == long[start + 1 :]


def _identifiers(patient: Json) -> list[tuple[str, str]]:
    return [
        (one["system"], one["value"])
        for one in patient.get("identifier", ())
        if one.get("system") and one.get("value") and one.get("use") != "old"
    ]


def _telecom(patient: Json, kind: str) -> list[str]:
    return [one["value"] for one in patient.get("telecom", ()) if one.get("system") == kind and one.get("value")]


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())[-9:]


_VALUES: Final[dict[str, Callable[[Json], set[str]]]] = {
    "birthDate": lambda patient: {patient["birthDate"]} if patient.get("birthDate") else set(),
    "family": lambda patient: {fold(one["family"]) for one in patient.get("name", ()) if one.get("family")},
    "given": lambda patient: {
        fold(given) for one in patient.get("name", ()) for given in one.get("given", ()) if given
    },
    "gender": lambda patient: {patient["gender"]} - {"unknown", "other"} if patient.get("gender") else set(),
    "phone": lambda patient: {_digits(value) for value in _telecom(patient, "phone")} - {""},
    "email": lambda patient: {value.casefold() for value in _telecom(patient, "email")},
    "postalCode": lambda patient: {one["postalCode"] for one in patient.get("address", ()) if one.get("postalCode")},
}


register(
    Operation(
        name="match",
        levels=("type",),
        types=("Patient",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Patient-match",
        documentation="Finds the patients that a description may stand for, with a score.",
    )
)
