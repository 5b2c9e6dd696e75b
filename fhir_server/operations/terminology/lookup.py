"""``CodeSystem/$lookup``: what is known of a code (R4B codesystem-operation-lookup)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.security.caller import Caller
from terminology.server.lookup import lookup, system_of
from terminology.server.problems import Refused
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """code and system (and version), or coding; at instance level the code alone. 404 for what is not known."""
    caller.require("CodeSystem", "r")
    values = values_in(request)
    coding = values.object("coding") or {}
    system, version = values.text("system") or coding.get("system"), values.text("version") or coding.get("version")
    code = values.text("code") or coding.get("code")
    if request.id:
        resource = await hub.read_resource(caller, "CodeSystem", request.id)
        system, version = resource.get("url"), resource.get("version")
    try:
        if not code or not system:
            raise bad("$lookup needs code and system, or coding with both.", "required")

        def work(session: Session) -> dict[str, Any]:
            return lookup(session, system_of(session, system, version), code)

        return OperationResult(encode(await ask(hub, request, values, work)))
    except Refused as error:
        return refused(error)


register(
    Operation(
        name="lookup",
        levels=("type", "instance"),
        types=("CodeSystem",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        documentation="What is known of a code: display, designations, properties, parents and children.",
    )
)
