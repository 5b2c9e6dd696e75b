"""One request on its way through: what the interactions read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive

from fhir_server.hub import Hub
from fhir_server.r4b.outcome import BadRequest, UnsupportedMediaType
from fhir_server.rest.body import read_body
from fhir_server.rest.headers import Prefer
from fhir_server.rest.negotiate import Accepted, body_format
from fhir_server.rest.options import RestOptions
from fhir_server.rest.params import Parameters, parse_query
from fhir_server.rest.route import Route
from fhir_server.security.caller import Caller

_FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Request:
    """headers: lower-case names, raw values. parameters: of the URL, without the general ones (_format, _pretty)."""

    hub: Hub
    options: RestOptions
    method: str
    route: Route
    headers: Mapping[bytes, bytes]
    parameters: Parameters
    accepted: Accepted
    prefer: Prefer
    caller: Caller
    receive: Receive
    pretty: bool = False
    format_named: bool = False

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")

    async def content(self) -> bytes:
        """The body as it was sent, inflated."""
        options = self.options
        return await read_body(self.receive, self.headers, max_body=options.max_body, max_inflated=options.max_inflated)

    async def resource(self) -> bytes:
        """The body as JSON. Raises UnsupportedMediaType for a format that is not read here, BadRequest for none."""
        format = body_format(self.content_type)
        body = await self.content()
        if not body:
            raise BadRequest("The request has no body; send a resource.")
        return format.read(body)

    async def form(self) -> Parameters:
        """The parameters of a form body. R4B 3.1.1.1 (POST _search)."""
        media = self.content_type.partition(";")[0].strip().lower()
        body = await self.content()
        if not body:
            return []
        if media != _FORM:
            raise UnsupportedMediaType(f"A search by POST sends its parameters as {_FORM}.")
        return parse_query(body, limit=self.options.max_parameters)

    def refuse_parameters(self) -> None:
        """For an interaction that takes none: BadRequest under handling=strict, else they are passed over."""
        if self.parameters and self.prefer.strict:
            raise BadRequest(f"The parameter '{self.parameters[0][0][:64]}' means nothing here.", code="not-supported")
