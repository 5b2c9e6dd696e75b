"""A request's body, whole and within limits. R4B 3.1.0.1.12 (compression)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Receive

from fhir_server.r4b.outcome import BadRequest, TooLarge, UnsupportedMediaType

_WINDOW: Final = {b"gzip": zlib.MAX_WBITS | 16, b"x-gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], *, max_body: int, max_inflated: int) -> bytes:
    """The body, inflated when Content-Encoding says so.

    Raises TooLarge (413) as soon as a limit is passed, UnsupportedMediaType (415) for another encoding, BadRequest for
    broken compression, ClientGone.
    """
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity") and encoding not in _WINDOW:
        raise UnsupportedMediaType(
            "Content-Encoding must be gzip, deflate or identity.", headers={"Accept-Encoding": "gzip, deflate"}
        )
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:18]) > max_body:
        raise _too_large(max_body)
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        pieces, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > max_body:
                raise _too_large(max_body)
            pieces.append(piece)
        body = b"".join(pieces)
    if len(body) > max_body:
        raise _too_large(max_body)
    return inflate(body, encoding, max_inflated) if encoding in _WINDOW and body else body


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Decompress, never holding more than `limit` bytes. Raises TooLarge, BadRequest."""
    pieces, size, rest = [], 0, body
    try:
        while rest:
            # gzip allows several members one after the other.
            inflater = zlib.decompressobj(_WINDOW[encoding])
            piece = inflater.decompress(rest, limit - size + 1)
            size += len(piece)
            if size > limit or inflater.unconsumed_tail:
                raise _too_large(limit)
            pieces.append(piece)
            if not inflater.eof:
                raise BadRequest("The compressed body ends too early.")
            rest = inflater.unused_data
    except zlib.error:
        if encoding == b"deflate" and not pieces:
            return _raw_deflate(body, limit)
        raise BadRequest("The body is not compressed the way Content-Encoding says.") from None
    return b"".join(pieces)


def _raw_deflate(body: bytes, limit: int) -> bytes:
    """What some clients call deflate: without the zlib wrapper."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        piece = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest("The body is not compressed the way Content-Encoding says.") from None
    if len(piece) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise BadRequest("The compressed body ends too early.")
    return piece


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request's body passes the limit of {limit} bytes; send it in parts.")
