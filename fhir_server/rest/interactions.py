"""One function per interaction: from a Request to the hub and back to a Response. R4B 3.1.0.

`HANDLERS` is what runs, and what the CapabilityStatement is computed from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from fhir_server.interactions.values import Written
from fhir_server.operations.registry import OperationRequest
from fhir_server.operations.registry import find as find_operation
from fhir_server.r4b.outcome import BadRequest, Issue, MethodNotAllowed, NotFound, operation_outcome
from fhir_server.rest import binary, later
from fhir_server.rest.headers import http_date, not_modified
from fhir_server.rest.negotiate import accepted, body_format
from fhir_server.rest.params import general
from fhir_server.rest.request import Request
from fhir_server.rest.respond import RawHeaders, Response
from fhir_server.store.protocol import Version

#: Bodies of operations that are no FHIR format (R4B graphql.html); the operation reads them itself.
_OTHER_BODIES: Final = ("application/graphql",)
Handler = Callable[[Request], Awaitable[Response]]


def version_headers(version: Version) -> RawHeaders:
    """ETag and Last-Modified of a version. R4B 3.1.0.1.3."""
    return [
        (b"etag", b'W/"%d"' % version.version),
        (b"last-modified", http_date(version.last_updated // 1_000_000)),
    ]


def address(base_url: str, version: Version) -> bytes:
    """The absolute URL of a version."""
    return f"{base_url}/{version.type}/{version.id}/_history/{version.version}".encode()


async def read(request: Request) -> Response:
    route = request.route
    return _given(request, await request.hub.read(request.caller, route.type, route.id))


async def vread(request: Request) -> Response:
    route = request.route
    return _given(request, await request.hub.vread(request.caller, route.type, route.id, route.version))


def _given(request: Request, version: Version) -> Response:
    headers = version_headers(version)
    if not_modified(
        version.version, version.last_updated, request.header(b"if-none-match"), request.header(b"if-modified-since")
    ):
        return Response(304, b"", headers)
    headers.append((b"content-location", address(request.hub.base_url, version)))
    if version.type == "Binary" and binary.wanted_raw(request, version):
        return binary.content(version, headers)
    body = version.body or b""
    if request.parameters:
        body = request.hub.view(version, request.parameters, strict=request.prefer.strict)
    return Response(200, body, headers)


async def create(request: Request) -> Response:
    request.refuse_parameters()
    body = await binary.body(request)
    written = await request.hub.create(
        request.caller, request.route.type, body, if_none_exist=request.header(b"if-none-exist")
    )
    return _written(request, written, located=True)


async def update(request: Request) -> Response:
    request.refuse_parameters()
    route = request.route
    written = await request.hub.update(
        request.caller,
        route.type,
        route.id,
        await binary.body(request),
        if_match=request.header(b"if-match"),
        if_none_match=request.header(b"if-none-match"),
    )
    return _written(request, written)


async def conditional_update(request: Request) -> Response:
    written = await request.hub.update_where(
        request.caller,
        request.route.type,
        request.parameters,
        await request.resource(),
        if_match=request.header(b"if-match"),
        if_none_match=request.header(b"if-none-match"),
    )
    return _written(request, written)


async def patch(request: Request) -> Response:
    request.refuse_parameters()
    route = request.route
    written = await request.hub.patch(
        request.caller,
        route.type,
        route.id,
        await request.content(),
        request.content_type,
        if_match=request.header(b"if-match"),
    )
    return _written(request, written)


async def conditional_patch(request: Request) -> Response:
    written = await request.hub.patch_where(
        request.caller,
        request.route.type,
        request.parameters,
        await request.content(),
        request.content_type,
        if_match=request.header(b"if-match"),
    )
    return _written(request, written)


def _written(request: Request, written: Written, *, located: bool = False) -> Response:
    version = written.version
    headers = version_headers(version)
    where = address(request.hub.base_url, version)
    if written.created or located:
        headers.append((b"location", where))
    headers.append((b"content-location", where))
    status = 201 if written.created else 200
    wish = request.prefer.return_
    if wish == "minimal":
        return Response(status, b"", headers)
    if wish == "OperationOutcome":
        done = "created" if written.created else "updated" if written.changed else "left as it was"
        issues = written.issues or (
            Issue(
                "information", "informational", f"{version.type}/{version.id} was {done}; version {version.version}."
            ),
        )
        return Response(status, msgspec.json.encode(operation_outcome(issues)), headers)
    return Response(status, version.body or b"", headers)


async def delete(request: Request) -> Response:
    request.refuse_parameters()
    route = request.route
    deleted = await request.hub.delete(request.caller, route.type, route.id, if_match=request.header(b"if-match"))
    return _deleted(request, deleted.versions, deleted.issues)


async def conditional_delete(request: Request) -> Response:
    deleted = await request.hub.delete_where(request.caller, request.route.type, request.parameters)
    return _deleted(request, deleted.versions, deleted.issues)


def _deleted(request: Request, versions: tuple[Version, ...], issues: tuple[Issue, ...]) -> Response:
    headers = version_headers(versions[0]) if len(versions) == 1 else []
    if request.prefer.return_ == "OperationOutcome" and not issues:
        done = f"{len(versions)} resource(s) deleted." if versions else "There was nothing to delete."
        issues = (Issue("information", "informational", done),)
    if not issues:
        return Response(204, b"", headers)
    return Response(200, msgspec.json.encode(operation_outcome(issues)), headers)


async def search(request: Request) -> Response:
    route, parameters = request.route, request.parameters
    if route.form:
        chosen, pretty, form = general(await request.form())
        if chosen:
            request.accepted = accepted("", chosen)
        if pretty is not None:
            request.pretty = pretty
        parameters = [*parameters, *form]
    strict = request.prefer.strict
    if route.of:
        found = await request.hub.search_compartment(
            request.caller, route.type, route.id, route.of, parameters, strict=strict
        )
    else:
        types = (route.type,) if route.type else ()
        found = await request.hub.search(request.caller, types, parameters, strict=strict)
    return Response(200, found.body)


async def history(request: Request) -> Response:
    route = request.route
    found = await request.hub.history(
        request.caller,
        request.parameters,
        type=route.type or None,
        id=route.id or None,
        strict=request.prefer.strict,
    )
    return Response(200, found.body)


async def bundle(request: Request) -> Response:
    request.refuse_parameters()
    body = await request.hub.bundle(
        request.caller,
        await request.resource(),
        prefer=request.prefer.return_ or "minimal",
        strict=request.prefer.strict,
    )
    return Response(200, body)


async def operation(request: Request) -> Response:
    route = request.route
    found = None if route.version else find_operation(route.operation, route.type, route.id)
    if found is None:
        raise NotFound(f"${route.operation} is not an operation here.", code="not-supported")
    posted = request.method == "POST"
    if found.affects_state and not posted:
        raise MethodNotAllowed(
            f"${route.operation} changes state: it must be invoked by POST.", headers={"Allow": "POST, OPTIONS"}
        )
    body = b""
    if posted:
        body = await request.content()
        if body and request.content_type.partition(";")[0].strip().lower() not in _OTHER_BODIES:
            body = body_format(request.content_type).read(body)
    result = await request.hub.operation(
        request.caller,
        route.operation,
        OperationRequest(
            type=route.type,
            id=route.id,
            parameters=request.parameters,
            body=body,
            strict=request.prefer.strict,
            language=request.header(b"accept-language") or "",
        ),
    )
    headers: RawHeaders = [(name.lower().encode(), value.encode("latin-1")) for name, value in result.headers.items()]
    raw = any(name == b"content-type" for name, _ in headers)
    return Response(result.status, result.body, headers, raw=raw)


HANDLERS: Final[dict[str, Handler]] = {
    "read": read,
    "vread": vread,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "conditional-update": conditional_update,
    "conditional-patch": conditional_patch,
    "conditional-delete": conditional_delete,
    "search": search,
    "history": history,
    "bundle": bundle,
    "operation": operation,
    "async-status": later.status,
    "async-cancel": later.cancel,
}


def check_preferences(request: Request) -> None:
    """Under handling=strict a preference that is not understood is refused. R4B 3.1.1.3.1."""
    prefer = request.prefer
    if prefer.strict and prefer.unknown:
        raise BadRequest(f"The preference '{prefer.unknown[0][:64]}' is not one this server has.", code="not-supported")
