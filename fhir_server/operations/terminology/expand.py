"""``ValueSet/$expand``: the codes of a value set (R4B valueset-operation-expand)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.security.caller import Caller
from terminology.server import messages
from terminology.server.expand import expand
from terminology.server.forms import in_r4b
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub

#: Pages up to this size are made without a thread of their own.
_SMALL = 200


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """url (and valueSetVersion), valueSet, a ValueSet as the body, or an instance. 422 for what is too costly or needs
    content that is not here."""
    caller.require("ValueSet", "r")
    values = values_in(request, body_as="valueSet")
    sent = values.object("valueSet")
    if request.id:
        sent = await hub.read_resource(caller, "ValueSet", request.id)
    url, version = values.text("url"), values.text("valueSetVersion")
    try:
        if "context" in values:
            raise bad("The parameter 'context' is not supported; give url.", "not-supported")
        if sent is None and url is None:
            raise bad("$expand needs a value set: url, or the parameter valueSet.", "required")

        def work(session: Session) -> dict[str, Any]:
            value_set = sent
            if value_set is None:
                canonical = f"{url}|{version}" if version and "|" not in str(url) else str(url)
                value_set = session.value_set(canonical)
                if value_set is None:
                    text = messages.unknown_value_set(session.pinned(canonical))
                    raise Refused(
                        Problem("error", "not-found", text, "not-found", "Unable_to_resolve_value_Set_"), status=404
                    )
            return in_r4b(expand(session, value_set))

        count = values.text("count") if isinstance(next(iter(values.all("count")), None), str) else None
        small = (count or "").isdecimal() and int(count or 0) <= _SMALL
        return OperationResult(encode(await ask(hub, request, values, work, heavy=not small)))
    except Refused as error:
        return refused(error)


register(
    Operation(
        name="expand",
        levels=("type", "instance"),
        types=("ValueSet",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        documentation="The codes of a value set; filter finds by text, count and offset page.",
    )
)
