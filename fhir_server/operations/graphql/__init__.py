"""``$graphql`` on the system and on an instance (R4B graphql.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.r4b.codec import encode, parse_json
from fhir_server.r4b.outcome import BadRequest, FhirError
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_JSON = {"Content-Type": "application/json"}


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """``{"data": …}``, with ``errors`` when a part could not be answered; 400 when the query cannot be read."""
    # The parser takes longer to load than most of the server, and few ever ask.
    from fhir_server.operations.graphql.document import read_document
    from fhir_server.operations.graphql.selection import Selector

    query, variables, name = _query(request)
    try:
        document = read_document(query, variables, name)
    except BadRequest as error:
        return OperationResult(encode(_errors(error)), status=400, headers=_JSON)
    selector = Selector(hub, caller, document)
    try:
        if request.id:
            resource = await hub.read_resource(caller, request.type, request.id)
            data = await selector.of_resource(resource)
        else:
            data = await selector.of_system()
    except BadRequest as error:
        return OperationResult(encode(_errors(error)), status=400, headers=_JSON)
    answer: dict[str, Any] = {"data": data}
    if selector.problems:
        answer["errors"] = selector.problems
    return OperationResult(encode(answer), headers=_JSON)


def _errors(error: FhirError) -> dict[str, Any]:
    return {"errors": [{"message": issue.diagnostics} for issue in error.issues]}


def _query(request: OperationRequest) -> tuple[str, dict[str, Any], str | None]:
    """The query from the URL, an application/json body, or an application/graphql body."""
    given = dict(request.parameters)
    query: Any = given.get("query")
    name: Any = given.get("operationName")
    variables: Any = parse_json(given["variables"].encode()) if given.get("variables") else {}
    if request.body:
        text = request.body.decode("utf-8", "replace")
        query = text
        if text.lstrip().startswith("{"):
            try:
                body = parse_json(request.body)
            except FhirError:
                body = None
            if isinstance(body, dict):
                query, name = body.get("query"), body.get("operationName") or name
                variables = body.get("variables") or variables
    if not isinstance(query, str) or not query.strip():
        raise BadRequest("$graphql needs a query: the parameter 'query', or a body.")
    if not isinstance(variables, dict):
        raise BadRequest("The variables of a GraphQL query must be an object.")
    return query, variables, name if isinstance(name, str) else None


register(
    Operation(
        name="graphql",
        levels=("system", "instance"),
        types=(),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Resource-graphql",
        documentation="A GraphQL query over resources.",
    )
)

__all__ = ["handle"]
