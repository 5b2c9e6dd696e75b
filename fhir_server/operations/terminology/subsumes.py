"""``CodeSystem/$subsumes``: how two codes lie in a hierarchy (R4B codesystem-operation-subsumes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.security.caller import Caller
from terminology.server.lookup import subsumes, system_of
from terminology.server.problems import Refused
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """outcome: equivalent, subsumes, subsumed-by or not-subsumed, of codeA to codeB."""
    caller.require("CodeSystem", "r")
    values = values_in(request)
    one, other = values.object("codingA") or {}, values.object("codingB") or {}
    a, b = values.text("codeA") or one.get("code"), values.text("codeB") or other.get("code")
    system, version = values.text("system") or one.get("system"), values.text("version") or one.get("version")
    if request.id:
        resource = await hub.read_resource(caller, "CodeSystem", request.id)
        system, version = resource.get("url"), resource.get("version")
    try:
        if not a or not b or not system:
            raise bad("$subsumes needs system, codeA and codeB, or codingA and codingB.", "required")
        if other.get("system", system) != system:
            raise bad("$subsumes compares codes of one system.")

        def work(session: Session) -> str:
            return subsumes(system_of(session, system, version), a, b)

        outcome = await ask(hub, request, values, work)
    except Refused as error:
        return refused(error)
    parameter = {"name": "outcome", "valueCode": outcome}
    return OperationResult(encode({"resourceType": "Parameters", "parameter": [parameter]}))


register(
    Operation(
        name="subsumes",
        levels=("type", "instance"),
        types=("CodeSystem",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
        documentation="Whether one code includes another.",
    )
)
