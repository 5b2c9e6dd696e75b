"""``Composition/[id]/$document``: a document Bundle of a composition and all it refers to (R4B composition.html)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from fhir_server.operations.arguments import arguments
from fhir_server.operations.bundles import collection
from fhir_server.operations.following import closure
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import BadRequest, Unprocessable
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """The Bundle; `persist` keeps it. Unprocessable when a reference of the composition leads nowhere."""
    given = arguments(request, ("id", "persist", "graph"))
    if given.one("graph") is not None:
        raise BadRequest("$document does not take a graph; the whole document is built.", code="not-supported")
    id = request.id or (given.text("id") or "").rsplit("/", 1)[-1]
    if not id:
        raise BadRequest("$document needs a composition: Composition/[id]/$document, or the parameter id.")
    composition = await hub.read_resource(caller, "Composition", id)
    others, dangling = await closure(hub, caller, composition)
    if dangling:
        names = ", ".join("/".join(key) for key in dangling[:5])
        raise Unprocessable(f"The composition refers to what is not here: {names}.", code="not-found")
    document = collection(hub.base_url, [composition, *others], kind="document")
    if given.flag("persist"):
        document["id"] = str(uuid.uuid4())
        version = await hub.save(caller, document)
        return OperationResult(version.body or b"", headers={"Location": f"{hub.base_url}/Bundle/{version.id}"})
    return OperationResult(encode(document))


register(
    Operation(
        name="document",
        levels=("type", "instance"),
        types=("Composition",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Composition-document",
        documentation="A document Bundle of a composition and all that it refers to.",
    )
)
