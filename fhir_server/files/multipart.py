"""A multipart/form-data request, taken in as it arrives: small files in memory, large ones straight to the blob store.

RFC 7578. Errors are starlette's HTTPException: 400 (not a whole form), 413 (too much of something), 415 (no form).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from fhir_server.files.filenames import harmless
from fhir_server.files.sniff import HEAD, Sniffed, sniff
from fhir_server.store.protocol import Blob

if TYPE_CHECKING:
    from fhir_server.store.protocol import Store

MAX_FIELDS: Final = 1_000
MAX_FILES: Final = 200
MAX_FIELD: Final = 1_000_000
"""Bytes of all text fields together."""
MAX_NAME: Final = 200


@dataclass(slots=True)
class Upload:
    """One file. filename: harmless, to show and to keep. content_type: as the client said, maybe ''. Its content is in
    `data`, or in `blob` when it is larger than what is kept in memory. sha1: for Attachment.hash."""

    field: str
    filename: str
    content_type: str = ""
    size: int = 0
    data: bytes | None = None
    blob: Blob | None = None
    head: bytes = b""
    sha1: bytes = b""

    @property
    def sniffed(self) -> Sniffed:
        """What it is, by its content."""
        content = self.data if self.data is not None else self.head
        return sniff(content, filename=self.filename, declared=self.content_type.partition(";")[0].strip().lower())

    @property
    def hash(self) -> str:
        """Attachment.hash: base64 of the SHA-1."""
        return base64.b64encode(self.sha1).decode("ascii")


@dataclass(slots=True)
class Form:
    """Text fields and files, each in the order they came; a name may come more than once."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[Upload] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """The first text field of this name."""
        return next((value for its, value in self.fields if its == name), None)


async def read_form(
    request: Request,
    store: Store,
    *,
    in_memory: int = 256 * 1024,
    max_fields: int = MAX_FIELDS,
    max_files: int = MAX_FILES,
    max_field: int = MAX_FIELD,
) -> Form:
    """The form in `request`. Files above `in_memory` bytes go to the blob store while they arrive."""
    media, options = parse_options_header(request.headers.get("content-type", ""))
    if media != b"multipart/form-data":
        raise HTTPException(415, "The body must be a form (Content-Type: multipart/form-data).")
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 70:
        raise HTTPException(400, "The form is not valid: its Content-Type has no boundary, or one that is too long.")
    reading = _Reading(store, in_memory, max_fields, max_files, max_field)
    parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
    try:
        async for chunk in request.stream():
            if chunk:
                parser.write(chunk)
                await reading.drain()
        if not reading.ended:
            raise HTTPException(400, "The form is not complete.")
        await reading.drain()
    except FormParserError:
        raise HTTPException(400, "The form is not valid.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form is not complete.") from None
    finally:
        await reading.abandon()
    return reading.form


class _Reading:
    """What the parser calls, and where what it says goes."""

    def __init__(self, store: Store, in_memory: int, max_fields: int, max_files: int, max_field: int) -> None:
        self.form, self.ended = Form(), False
        self._store, self._in_memory = store, in_memory
        self._max_fields, self._max_files, self._max_field = max_fields, max_files, max_field
        self._header = bytearray()
        self._value = bytearray()
        self._disposition, self._type = b"", b""
        self._name, self._text = "", bytearray()
        self._text_size = 0
        self._file: _File | None = None
        #: Steps to be done outside the parser's callbacks, in order.
        self._steps: list[tuple[_File, bytes | None]] = []
        self._open: set[_File] = set()

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition, self._type = b"", b""
        self._header.clear()
        self._value.clear()

    def _header_end(self) -> None:
        name = bytes(self._header).lower()
        if name == b"content-disposition":
            self._disposition = bytes(self._value)
        elif name == b"content-type":
            self._type = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise HTTPException(400, "The form is not valid: a part has no name.")
        self._name = _decoded(options[b"name"])
        if len(self._name) > MAX_NAME:
            raise HTTPException(400, f"The name of a field is longer than {MAX_NAME} characters.")
        filename = _filename(self._disposition, options)
        if filename is None:
            if len(self.form.fields) >= self._max_fields:
                raise HTTPException(400, f"The form has more than {self._max_fields:,} fields.")
            self._file = None
            self._text = bytearray()
            return
        if len(self.form.files) >= self._max_files:
            raise HTTPException(413, f"The form has more than {self._max_files:,} files.")
        upload = Upload(self._name, harmless(filename), _decoded(self._type).strip()[:200])
        self.form.files.append(upload)
        self._file = _File(upload, self._store, self._in_memory)
        self._open.add(self._file)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._steps.append((self._file, data[start:end]))
            return
        self._text_size += end - start
        if self._text_size > self._max_field:
            raise HTTPException(413, f"The text fields of the form have more than {self._max_field:,} bytes.")
        self._text.extend(data[start:end])

    def _part_end(self) -> None:
        if self._file is not None:
            self._steps.append((self._file, None))
            self._file = None
        else:
            self._text_size += len(self._name)
            self.form.fields.append((self._name, _decoded(bytes(self._text))))

    def _end(self) -> None:
        self.ended = True

    async def drain(self) -> None:
        """Do what the parser has asked for since the last time."""
        steps, self._steps = self._steps, []
        for file, data in steps:
            if data is None:
                await file.finish()
                self._open.discard(file)
            else:
                await file.write(data)

    async def abandon(self) -> None:
        """Stop what is still being written."""
        for file in self._open:
            await file.abandon()
        self._open.clear()


class _File:
    """One file on its way: kept in memory until it is too large for that."""

    def __init__(self, upload: Upload, store: Store, in_memory: int) -> None:
        self._upload, self._store, self._in_memory = upload, store, in_memory
        self._held = bytearray()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._queue: asyncio.Queue[bytes | None] | None = None
        self._writing: asyncio.Task[Blob] | None = None

    async def write(self, data: bytes) -> None:
        upload = self._upload
        upload.size += len(data)
        self._sha1.update(data)
        if len(upload.head) < HEAD:
            upload.head += data[: HEAD - len(upload.head)]
        if self._queue is None:
            self._held.extend(data)
            if len(self._held) <= self._in_memory:
                return
            self._queue = asyncio.Queue(8)
            self._writing = asyncio.create_task(self._store.put_blob(_chunks(self._queue)))
            data = bytes(self._held)
            self._held.clear()
        await self._put(data)

    async def _put(self, data: bytes | None) -> None:
        assert self._queue is not None
        assert self._writing is not None
        putting = asyncio.ensure_future(self._queue.put(data))
        await asyncio.wait((putting, self._writing), return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():  # the store gave up, and will take nothing more
            putting.cancel()
            await self._writing

    async def finish(self) -> None:
        self._upload.sha1 = self._sha1.digest()
        if self._writing is None:
            self._upload.data = bytes(self._held)
            return
        await self._put(None)
        self._upload.blob = await self._writing

    async def abandon(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)


async def _chunks(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (chunk := await queue.get()) is not None:
        yield chunk


_EXTENDED: Final = re.compile(rb";\s*filename\*\s*=\s*([A-Za-z0-9\-]*)'[^']*'([^;\s]*)", re.I)


def _filename(disposition: bytes, options: dict[bytes, bytes]) -> str | None:
    """The file's name as sent; None when the part is not a file. `filename*` (RFC 5987) counts more than `filename`."""
    found = _EXTENDED.search(disposition)
    if found is not None:
        raw = unquote_to_bytes(found[2])
        try:
            return raw.decode(found[1].decode("ascii") or "utf-8")
        except (LookupError, UnicodeDecodeError):
            return raw.decode("utf-8", "replace")
    return _decoded(options[b"filename"]) if b"filename" in options else None


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
