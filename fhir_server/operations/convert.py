"""``$convert``: a resource in, the same out in the format that was asked for (R4B resource-operation-convert)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import BadRequest, Unprocessable
from fhir_server.r4b.validate import validate
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """The resource, unchanged; Unprocessable when it is not a valid one."""
    resource = arguments(request, ("resource", "input"), resource_as="resource")
    found = resource.resource("resource") or resource.resource("input")
    if found is None:
        raise BadRequest("$convert needs a resource: send one.")
    issues = [issue for issue in validate(found) if issue.severity in ("error", "fatal")]
    if issues:
        raise Unprocessable(issues=issues)
    return OperationResult(encode(found))


register(
    Operation(
        name="convert",
        levels=("system",),
        types=(),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Resource-convert",
        documentation="Gives a resource back in another format.",
    )
)
