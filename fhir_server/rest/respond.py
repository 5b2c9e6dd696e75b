"""From bytes to ASGI messages: lengths, HEAD, gzip for what is large, chunks for what is streamed."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.types import Send

RawHeaders = list[tuple[bytes, bytes]]

#: Above this, compressing would hold up the event loop longer than handing it to a thread costs.
_THREAD_FROM = 128 * 1024


@dataclass(slots=True)
class Response:
    """An answer before it is written. body: bytes of a FHIR resource as JSON, or a stream of such bytes.

    raw: the body goes out as it is (a Binary's content), with the Content-Type found in headers.
    """

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    headers: RawHeaders = field(default_factory=list)
    raw: bool = False


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """True when gzip is named (or `*`) with a quality above zero."""
    star = False
    for part in accept_encoding.lower().split(b","):
        name, _, parameters = part.partition(b";")
        quality = re.search(rb"q\s*=\s*([0-9.]+)", parameters)
        refused = quality is not None and not quality[1].strip(b"0.")
        if name.strip() in (b"gzip", b"x-gzip"):
            return not refused
        if name.strip() == b"*":
            star = not refused
    return star


def _gzip(body: bytes, level: int) -> bytes:
    squeezer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return squeezer.compress(body) + squeezer.flush()


async def send_bytes(
    send: Send, status: int, headers: RawHeaders, body: bytes, *, head: bool, gzip_level: int | None
) -> None:
    """One answer with a known length. gzip_level None: leave as it is."""
    if gzip_level is not None:
        headers.append((b"content-encoding", b"gzip"))
        body = await asyncio.to_thread(_gzip, body, gzip_level) if len(body) > _THREAD_FROM else _gzip(body, gzip_level)
    if status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head or status in (204, 304) else body})


async def send_stream(
    send: Send,
    status: int,
    headers: RawHeaders,
    chunks: AsyncIterator[bytes],
    *,
    head: bool,
    gzip_level: int | None,
) -> None:
    """One answer in chunks. Raises BrokenStream when they end by a failure."""
    if head:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    squeezer = None
    if gzip_level is not None:
        headers.append((b"content-encoding", b"gzip"))
        squeezer = zlib.compressobj(gzip_level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    try:
        async for chunk in chunks:
            piece = squeezer.compress(chunk) if squeezer else chunk
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Exception as error:
        # The connection must break, or half an answer would look whole; the message may quote a patient's data.
        raise BrokenStream(f"{type(error).__qualname__} in the middle of an answer") from None
    await send({"type": "http.response.body", "body": squeezer.flush() if squeezer else b""})


class BrokenStream(Exception):
    """An answer failed after its first part was sent."""


async def begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream with its first chunk made: what refuses does so here, before a status is sent."""
    first = await anext(chunks, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return whole()


async def gather(chunks: AsyncIterator[bytes]) -> bytes:
    """All of a stream."""
    return b"".join([chunk async for chunk in chunks])
