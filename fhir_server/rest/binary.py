"""Binary as what it holds: content in its own media type, in and out. R4B Binary, 2.37.4 (RESTful interactions)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from fhir_server.rest.formats import format_of
from fhir_server.rest.negotiate import parse_media_type, wants_fhir
from fhir_server.rest.request import Request
from fhir_server.rest.respond import RawHeaders, Response
from fhir_server.store.protocol import Version

_MEDIA_TYPE: Final = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;\s*[\w!#$&^.+-]+=(\"[^\"\r\n]*\"|[\w!#$&^.+:/-]*))*\Z"
)
#: Content comes from whoever wrote it: a browser must neither guess its type nor run it.
_SAFE: Final[RawHeaders] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
]


class _Stored(msgspec.Struct, rename="camel"):
    content_type: str = ""
    data: str = ""


class _Kind(msgspec.Struct, rename="camel"):
    resource_type: str = ""


def wanted_raw(request: Request, version: Version) -> bool:
    """True when the reader asked for the content rather than for the resource."""
    if request.parameters or request.format_named:
        return False
    return not wants_fhir(request.header(b"accept") or "", _stored(version).content_type)


def content(version: Version, headers: RawHeaders) -> Response:
    """The content in its own media type."""
    stored = _stored(version)
    try:
        body = base64.b64decode(stored.data)
    except binascii.Error:
        body = b""
    media = stored.content_type if _MEDIA_TYPE.match(stored.content_type) else "application/octet-stream"
    return Response(200, body, [*headers, (b"content-type", media.encode("latin-1", "replace")), *_SAFE], raw=True)


def _stored(version: Version) -> _Stored:
    return msgspec.json.decode(version.body or b"{}", type=_Stored)


async def body(request: Request) -> bytes:
    """The resource to write as JSON: the body itself, or for Binary the content wrapped in one."""
    if request.route.type != "Binary" or not request.content_type:
        return await request.resource()
    media, _ = parse_media_type(request.content_type)
    known = format_of(media)
    if known is not None and "fhir" in media:
        return await request.resource()
    sent = await request.content()
    if known is not None and _is_binary(sent):
        return sent
    wrapped: dict[str, object] = {"resourceType": "Binary"}
    if request.route.id:
        wrapped["id"] = request.route.id
    wrapped["contentType"] = request.content_type
    context = request.header(b"x-security-context")
    if context:
        wrapped["securityContext"] = {"reference": context}
    if sent:
        wrapped["data"] = base64.b64encode(sent).decode()
    return msgspec.json.encode(wrapped)


def _is_binary(sent: bytes) -> bool:
    try:
        return msgspec.json.decode(sent, type=_Kind).resource_type == "Binary"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
