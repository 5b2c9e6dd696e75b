"""DICOM objects in a request, read as they arrive: of each only the beginning is kept, and only until it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from fhir_server.dicom.headers import HEAD, Instance, Unlinkable, read_header

MAX_BODY: Final = 4 << 30
MAX_FILES: Final = 10_000
_RAW: Final = frozenset({"", "application/dicom", "application/octet-stream"})
_NAME: Final = re.compile(rb"[^\w.\-]+")


@dataclass(slots=True)
class Received:
    """instances: of the objects that could be read; refused: (file, reason) of the others."""

    instances: list[Instance] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def take(self, name: str, head: bytes) -> None:
        if len(self.instances) + len(self.refused) >= MAX_FILES:
            raise HTTPException(413, f"A request may hold at most {MAX_FILES:,} objects.")
        try:
            self.instances.append(read_header(head))
        except Unlinkable as error:
            self.refused.append((name, str(error)))


async def receive(request: Request) -> Received:
    """One object (application/dicom), or many (multipart/related, multipart/form-data). 400, 413, 415."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise HTTPException(413, f"The request is larger than {MAX_BODY:,} bytes.")
    media, options = parse_options_header(request.headers.get("content-type", ""))
    kind = media.decode("latin-1").lower()
    try:
        if kind in _RAW:
            return await _raw(request)
        if kind in ("multipart/related", "multipart/form-data"):
            return await _parts(request, options.get(b"boundary", b""))
    except ClientDisconnect:
        raise HTTPException(400, "The request is not complete.") from None
    raise HTTPException(415, "Send application/dicom, multipart/related or multipart/form-data.")


async def _raw(request: Request) -> Received:
    head = bytearray()
    size = 0
    async for chunk in request.stream():
        size = _counted(size, chunk)
        head += chunk[: HEAD - len(head)]
    if not head:
        raise HTTPException(400, "The body is empty; send DICOM objects.")
    received = Received()
    received.take("1", bytes(head))
    return received


def _counted(size: int, chunk: bytes) -> int:
    if size + len(chunk) > MAX_BODY:
        raise HTTPException(413, f"The request is larger than {MAX_BODY:,} bytes.")
    return size + len(chunk)


async def _parts(request: Request, boundary: bytes) -> Received:
    if not boundary or len(boundary) > 200:
        raise HTTPException(400, "The request is not valid: its Content-Type has no boundary, or one that is too long.")
    reading = _Reading()
    parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
    size = 0
    try:
        async for chunk in request.stream():
            size = _counted(size, chunk)
            if chunk:
                parser.write(chunk)
    except FormParserError:
        raise HTTPException(400, "The request is not a valid multipart message.") from None
    if not reading.ended:
        raise HTTPException(400, "The request is not complete.")
    return reading.received


class _Reading:
    """What the parser calls."""

    def __init__(self) -> None:
        self.received, self.ended = Received(), False
        self._head = bytearray()
        self._header, self._value = bytearray(), bytearray()
        self._name, self._is_field, self._number = "", False, 0

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._head.clear()
        self._header.clear()
        self._value.clear()
        self._number += 1
        self._name, self._is_field = str(self._number), False

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            kind, options = parse_options_header(bytes(self._value))
            filename = options.get(b"filename")
            self._is_field = kind == b"form-data" and filename is None
            if filename:
                self._name = _NAME.sub(b"_", re.split(rb"[/\\]", filename)[-1])[:100].decode("ascii", "replace")
        self._header.clear()
        self._value.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._head += data[start : min(end, start + HEAD - len(self._head))]

    def _part_end(self) -> None:
        if self._is_field:
            self.received.refused.append((self._name, "It is a text field, not a file."))
        else:
            self.received.take(self._name, bytes(self._head))
        self._head.clear()

    def _end(self) -> None:
        self.ended = True
