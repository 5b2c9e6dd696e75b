"""``CodeSystem/$find-matches``: the codes that have given properties (R4B codesystem-operation-find-matches)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.security.caller import Caller
from terminology.server.lookup import find_matches, system_of
from terminology.server.problems import Refused
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
_MOST: Final = 100


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """property (code and value, several), exact: match parameters with the code, the best (the first) hundred."""
    caller.require("CodeSystem", "r")
    values = values_in(request)
    system, version = values.text("system"), values.text("version")
    if request.id:
        resource = await hub.read_resource(caller, "CodeSystem", request.id)
        system, version = resource.get("url"), resource.get("version")
    try:
        if not system:
            raise bad("$find-matches needs system.", "required")
        properties = [_property(part) for part in values.all("property")]
        if not properties:
            raise bad("$find-matches needs property, with the parts code and value.", "required")
        exact = values.flag("exact")

        def work(session: Session) -> list[Json]:
            found = system_of(session, str(system), version)
            matches = find_matches(found, properties, exact=exact, limit=_MOST)
            return [
                {"system": found.url, "code": one.code, **({"display": one.display} if one.display else {})}
                for one in matches
            ]

        codings = await ask(hub, request, values, work, heavy=True)
    except Refused as error:
        return refused(error)
    parameters = [{"name": "match", "part": [{"name": "code", "valueCoding": coding}]} for coding in codings]
    answer: Json = {"resourceType": "Parameters"}
    if parameters:
        answer["parameter"] = parameters
    return OperationResult(encode(answer))


def _property(part: Any) -> tuple[str, str]:
    """(code, value as text) of one property parameter."""
    if not isinstance(part, list):
        raise bad("A property has the parts code and value.")
    found: dict[str, Any] = {}
    for item in part:
        found[item.get("name", "")] = next((item[key] for key in item if key.startswith("value")), None)
    code, value = found.get("code"), found.get("value")
    if not isinstance(code, str) or value is None:
        raise bad("A property has the parts code and value.")
    if isinstance(value, dict):
        value = value.get("code", "")
    return code, ("true" if value else "false") if isinstance(value, bool) else str(value)


register(
    Operation(
        name="find-matches",
        levels=("type", "instance"),
        types=("CodeSystem",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-find-matches",
        documentation="The codes that have given properties.",
    )
)
