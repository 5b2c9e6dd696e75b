"""From an operation's request to a session of the terminology engine, and from its refusals to FHIR errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fhir_server.interactions.catalogue import answered, catalogue_of
from fhir_server.operations.registry import OperationRequest, OperationResult
from fhir_server.r4b.codec import encode, parse_json
from fhir_server.r4b.outcome import BadRequest, NotImplementedHere
from terminology.server.asked import Asked, values_of
from terminology.server.problems import Problem, Refused, outcome
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from terminology.service import Terminology

Json = dict[str, Any]
T = TypeVar("T")
_GENERAL: Final = frozenset(("_format", "_pretty"))


class Values:
    """The parameters of a request, by name, in order."""

    def __init__(self, values: list[tuple[str, Any]]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return any(one == name for one, _ in self.values)

    def all(self, *names: str) -> list[Any]:
        return [value for one, value in self.values if one in names]

    def text(self, *names: str) -> str | None:
        """The first value of the first of these names that is given."""
        for name in names:
            for one, value in self.values:
                if one == name:
                    if not isinstance(value, str) or not value:
                        raise BadRequest(f"The parameter '{name}' must be a string that is not empty.")
                    return value
        return None

    def object(self, *names: str) -> Json | None:
        """As text, for complex types."""
        for name in names:
            for one, value in self.values:
                if one == name:
                    if not isinstance(value, dict):
                        raise BadRequest(f"The parameter '{name}' has another type than is expected.")
                    return value
        return None

    def flag(self, name: str, default: bool = False) -> bool:
        for one, value in self.values:
            if one == name:
                if value in (True, "true"):
                    return True
                if value in (False, "false"):
                    return False
                raise BadRequest(f"The parameter '{name}' must be true or false.")
        return default


def values_in(request: OperationRequest, *, body_as: str | None = None) -> Values:
    """The URL's parameters and a Parameters body. body_as: the parameter that another resource stands for."""
    values: list[tuple[str, Any]] = [(name, text) for name, text in request.parameters if name not in _GENERAL]
    if request.body:
        body = parse_json(request.body)
        if not isinstance(body, dict):
            raise BadRequest("The body must be a Parameters resource.")
        if body.get("resourceType") == "Parameters":
            values += values_of(body)
        elif body_as is not None and "resourceType" in body:
            values.append((body_as, body))
        else:
            raise BadRequest("The body must be a Parameters resource.", expression="resourceType")
    return Values(values)


def sent_with(values: Values) -> list[Json]:
    """The resources that a client sends along for this question."""
    found = [one for one in values.all("tx-resource") if isinstance(one, dict)]
    for name in ("valueSet", "codeSystem", "conceptMap"):
        found += [one for one in values.all(name) if isinstance(one, dict) and one.get("url")]
    for resource in found:
        if resource.get("resourceType") not in ("CodeSystem", "ValueSet", "ConceptMap"):
            raise BadRequest("A tx-resource is a CodeSystem, a ValueSet or a ConceptMap.")
    return found


def terminology_of(hub: Hub) -> Terminology:
    if hub.terminology is None:
        raise NotImplementedHere("This server has no terminology service.")
    terminology: Terminology = hub.terminology
    return terminology


def asked_in(request: OperationRequest, values: Values, *, validating: bool = False) -> Asked:
    asked = Asked(validating=validating)
    asked.header(request.language)
    asked.see_all(values.values)
    return asked


async def ask(
    hub: Hub,
    request: OperationRequest,
    values: Values,
    work: Callable[[Session], T],
    *,
    validating: bool = False,
    heavy: bool = False,
) -> T:
    """`work` with a session over everything this server knows and what the client sent. Raises Refused."""
    catalogue_of(hub)
    terminology = terminology_of(hub)
    sent = sent_with(values)

    def once() -> T:
        return work(Session(terminology.library(sent), asked_in(request, values, validating=validating)))

    return await answered(hub, once, heavy=heavy)


def refused(error: Refused) -> OperationResult:
    """The OperationOutcome of a refusal."""
    return OperationResult(encode(outcome(error.problems)), status=error.status)


def bad(text: str, code: str = "invalid") -> Refused:
    return Refused(Problem("error", code, text), status=400)
