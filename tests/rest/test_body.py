import gzip
import zlib

import pytest
from starlette.types import Message

from fhir_server.r4b.outcome import BadRequest, TooLarge, UnsupportedMediaType
from fhir_server.rest.body import inflate, read_body


async def read(
    *pieces: bytes, headers: dict[bytes, bytes] | None = None, max_body: int = 100, max_inflated: int = 1000
) -> bytes:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    return await read_body(receive, headers or {}, max_body=max_body, max_inflated=max_inflated)


async def test_pieces_are_joined() -> None:
    assert await read(b"a", b"b", b"c") == b"abc"


async def test_a_body_that_grows_past_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        await read(b"x" * 60, b"x" * 60)


async def test_an_announced_length_past_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        await read(b"", headers={b"content-length": b"101"})


async def test_gzip_is_inflated() -> None:
    assert await read(gzip.compress(b"hello"), headers={b"content-encoding": b"gzip"}) == b"hello"


async def test_deflate_with_and_without_its_wrapper_is_inflated() -> None:
    raw = zlib.compressobj(wbits=-15)
    assert inflate(zlib.compress(b"hello"), b"deflate", 100) == b"hello"
    assert inflate(raw.compress(b"hello") + raw.flush(), b"deflate", 100) == b"hello"


async def test_a_bomb_is_refused() -> None:
    with pytest.raises(TooLarge):
        await read(gzip.compress(b"0" * 10_000), headers={b"content-encoding": b"gzip"})


async def test_exactly_the_limit_is_allowed() -> None:
    assert len(inflate(gzip.compress(b"0" * 1000), b"gzip", 1000)) == 1000


WHOLE = gzip.compress(b"hello", mtime=0)


@pytest.mark.parametrize("body", [b"not gzip", WHOLE[:-9], WHOLE[:12]], ids=["foreign", "cut", "cut early"])
async def test_broken_compression_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await read(body, headers={b"content-encoding": b"gzip"})


async def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        await read(b"x", headers={b"content-encoding": b"br"})
