"""A file's text. One function for every kind; what cannot be read says why in a sentence for the sender."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from fhir_server.files.sniff import Kind, sniff

MAX_TEXT: Final = 20_000_000
"""Characters of text in one file; more is refused."""


class FileUnreadable(ValueError):
    """Text cannot be had from a file. code: empty, encrypted, broken, no-text, unsupported, too-large, not-installed.
    The message is a sentence for the sender, without the file's name and without anything that is in it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Extracted:
    """text: plain, lines ended by "\\n". ocr: whether any of it was read from a picture. pages: None without pages."""

    text: str
    kind: Kind
    media_type: str
    pages: int | None = None
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What the reader of one kind gives."""

    text: str
    pages: int | None = None
    ocr: bool = False


Reader = Callable[[bytes], Read]

_READERS: Final = {
    Kind.PDF: "pdf",
    Kind.DOCX: "docx",
    Kind.RTF: "rtf",
    Kind.HTML: "html",
    Kind.TEXT: "plain",
    Kind.CDA: "cda",
    Kind.XML: "cda",
    Kind.HL7V2: "hl7",
    Kind.FHIR_JSON: "fhir",
    Kind.IMAGE: "ocr",
}
_UNSUPPORTED: Final = {
    Kind.DICOM: "It is a DICOM object, which holds pictures and no text to read.",
    Kind.AUDIO: "It is a recording, which holds no text to read.",
    Kind.ARCHIVE: "It is an archive; send the files that are in it one by one.",
    Kind.UNKNOWN: "It is not a kind of document that can be read.",
}


def text_of(content: bytes, *, filename: str = "", declared: str = "") -> Extracted:
    """The text of a whole file. Slow for large files: call it outside the event loop. Raises FileUnreadable."""
    found = sniff(content, filename=filename, declared=declared)
    if found.kind is Kind.EMPTY:
        raise FileUnreadable("empty", "It is empty.")
    if found.kind not in _READERS:
        raise FileUnreadable("unsupported", _UNSUPPORTED[found.kind])
    reader: Reader = import_module(f"fhir_server.files.{_READERS[found.kind]}").read
    read = reader(content)
    text = tidy(read.text)
    if not text:
        raise FileUnreadable("no-text", "There is no text in it.")
    return Extracted(text, found.kind, found.media_type, read.pages, read.ocr)


_BLANKS: Final = re.compile(r"[^\S\n]+\n")
_EMPTY_LINES: Final = re.compile(r"\n{4,}")
_CONTROLS: Final = {code: None for code in range(32) if chr(code) not in "\t\n"} | {127: None, 0xFEFF: None}


def tidy(text: str) -> str:
    """Plain lines: no control characters, no blanks at ends of lines, no more than two empty lines together."""
    if len(text) > MAX_TEXT:
        raise FileUnreadable("too-large", f"It has more than {MAX_TEXT:,} characters of text.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n").replace("\u2028", "\n")
    lines = lines.translate(_CONTROLS).encode("utf-8", "replace").decode()
    return _EMPTY_LINES.sub("\n\n\n", _BLANKS.sub("\n", lines)).strip()
