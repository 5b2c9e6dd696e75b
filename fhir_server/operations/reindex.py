"""``$reindex``: the search index is made anew from the resources, while others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions.deferred import tell_progress
from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Forbidden
from fhir_server.search.entries import Entries
from fhir_server.search.extract import extract_bytes
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """Parameters with `count`: the resources that were indexed. `type` (or the address) narrows it.

    Forbidden without the admin scope. With ``Prefer: respond-async`` its progress can be watched."""
    given = arguments(request, ("type",))
    if not caller.admin:
        raise Forbidden("$reindex needs a key with the admin scope.")
    types = [part.strip() for each in given.all("type") for part in str(each).split(",")]
    for type in types:
        if not definitions().is_resource(type):
            raise BadRequest(f"'{type[:64]}' is not a resource type.", code="value", expression="type")
    if request.type:
        types = [request.type]

    def entries(type: str, body: bytes) -> Entries:
        return extract_bytes(type, body, base_urls=hub.base_urls, registry=hub.registry, text=hub.options.full_text)

    count = await hub.store.reindex(
        entries,
        types=tuple(dict.fromkeys(types)),
        progress=lambda done, all: tell_progress(f"{done} of {all} resources indexed"),
    )
    return OperationResult(
        encode({"resourceType": "Parameters", "parameter": [{"name": "count", "valueInteger": count}]})
    )


register(
    Operation(
        name="reindex",
        levels=("system", "type"),
        types=(),
        affects_state=True,
        handler=handle,
        definition="OperationDefinition/reindex",
        documentation="Makes the search index anew from the resources. Needs the admin scope.",
    )
)
