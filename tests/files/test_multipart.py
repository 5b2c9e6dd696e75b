"""Forms as they arrive: in pieces of any size, with too much of anything, cut off."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fhir_server.files import Form, read_form
from fhir_server.store.protocol import Blob

BOUNDARY = "frontier"


class Blobs:
    """Just enough of a store."""

    def __init__(self, *, broken: bool = False) -> None:
        self.kept: dict[str, bytes] = {}
        self.broken = broken

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> Blob:
        content = b""
        async for chunk in chunks:
            content += chunk
            if self.broken:
                raise OSError("disk full")
        id = hashlib.sha256(content).hexdigest()
        self.kept[id] = content
        return Blob(id, len(content))


def part(name: str, content: bytes, filename: str | None = None, raw: str = "") -> bytes:
    said = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "") + raw
    return f"--{BOUNDARY}\r\nContent-Disposition: {said}\r\n\r\n".encode() + content + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def read(body: bytes, *, step: int = 1000, store: Any = None, media: str = "", **options: Any) -> Form:
    pieces = [body[at : at + step] for at in range(0, len(body), step)] or [b""]

    async def receive() -> MutableMapping[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    media = media or f"multipart/form-data; boundary={BOUNDARY}"
    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", media.encode())]}, receive)
    return await read_form(request, store or Blobs(), **options)


async def refused(body: bytes, **options: Any) -> int:
    with pytest.raises(HTTPException) as raised:
        await read(body, **options)
    assert isinstance(raised.value.detail, str)
    return raised.value.status_code


async def test_fields_and_files_in_order() -> None:
    form = await read(whole(part("a", b"1"), part("files", b"hello", "x.txt"), part("a", "ü".encode())))
    assert form.fields == [("a", "1"), ("a", "ü")]
    [file] = form.files
    assert (file.filename, file.size, file.data, file.head) == ("x.txt", 5, b"hello", b"hello")
    assert file.sha1 == hashlib.sha1(b"hello").digest()


async def test_a_large_file_goes_to_the_blob_store() -> None:
    store, content = Blobs(), bytes(range(256)) * 4000
    form = await read(whole(part("files", content, "x.bin")), store=store, in_memory=1000, step=65_536)
    [file] = form.files
    assert file.data is None
    assert file.blob is not None
    assert store.kept[file.blob.id] == content
    assert file.size == len(content)


async def test_a_store_that_fails_does_not_hang() -> None:
    with pytest.raises(OSError, match="disk full"):
        await read(whole(part("files", b"x" * 100_000, "x")), store=Blobs(broken=True), in_memory=10, step=100)


async def test_names_in_other_alphabets() -> None:
    form = await read(
        whole(
            part("files", b"1", "Größe.pdf"),
            part("files", b"1", raw="; filename*=UTF-8''%E2%82%AC%20rates.txt"),
            part("files", b"1", "../../etc/passwd"),
        )
    )
    assert [file.filename for file in form.files] == ["Größe.pdf", "€ rates.txt", "passwd"]


async def test_a_form_cut_off_is_refused() -> None:
    assert await refused(whole(part("files", b"hello", "x"))[:-20]) == 400


async def test_what_is_no_form_is_refused() -> None:
    assert await refused(b"{}", media="application/json") == 415
    assert await refused(b"x", media="multipart/form-data") == 400
    assert await refused(b"rubbish without any boundary") == 400


async def test_too_many_fields_are_refused() -> None:
    assert await refused(whole(*(part(f"f{n}", b"") for n in range(10_000)))) == 400


async def test_too_much_text_is_refused() -> None:
    assert await refused(whole(part("f", b"x" * 2_000_000)), step=65_536) == 413


async def test_a_part_without_a_name_is_refused() -> None:
    body = f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()
    assert await refused(body) == 400


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=300)), min_size=1, max_size=5), st.integers(1, 80))
async def test_content_survives_however_it_is_cut(files: list[tuple[str, bytes]], step: int) -> None:
    files = [(name, content.replace(BOUNDARY.encode(), b"")) for name, content in files]
    store = Blobs()
    form = await read(
        whole(*(part(name, content, "f") for name, content in files)), step=step, store=store, in_memory=100
    )
    for (name, content), file in zip(files, form.files, strict=True):
        found = file.data if file.blob is None else store.kept[file.blob.id]
        assert (file.field, found, file.size) == (name, content, len(content))
