"""``$expunge``: every version of a resource is gone for good, for what the law must have forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import Forbidden, NotFound
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """Parameters with `count`: the versions removed. Forbidden without an admin scope."""
    arguments(request, ())
    if not caller.admin:
        raise Forbidden("$expunge destroys history; it needs a key with the admin scope.")
    caller.require(request.type, "d")
    count = await hub.store.purge(request.type, request.id)
    if count == 0:
        raise NotFound(f"There is no {request.type}/{request.id}, and never was.")
    return OperationResult(
        encode({"resourceType": "Parameters", "parameter": [{"name": "count", "valueInteger": count}]})
    )


register(
    Operation(
        name="expunge",
        levels=("instance",),
        types=(),
        affects_state=True,
        handler=handle,
        definition="OperationDefinition/expunge",
        documentation="Removes every version of a resource for good. Needs the admin scope.",
    )
)
