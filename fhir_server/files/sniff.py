"""What a file is, by its content. The name and the type that the client says decide only where content cannot."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HEAD: Final = 4096
"""Bytes from the beginning that are enough to tell most files apart."""


class Kind(StrEnum):
    PDF = "pdf"
    DOCX = "docx"
    RTF = "rtf"
    HTML = "html"
    TEXT = "text"
    CDA = "cda"
    XML = "xml"
    HL7V2 = "hl7v2"
    FHIR_JSON = "fhir-json"
    DICOM = "dicom"
    IMAGE = "image"
    AUDIO = "audio"
    ARCHIVE = "archive"
    UNKNOWN = "unknown"
    EMPTY = "empty"


DOCX_TYPE: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """media_type: for Attachment.contentType and Binary.contentType, without parameters."""

    kind: Kind
    media_type: str


#: (offset, bytes) -> what it is.
_MAGIC: Final[tuple[tuple[int, bytes, Kind, str], ...]] = (
    (0, b"{\\rtf", Kind.RTF, "application/rtf"),
    (128, b"DICM", Kind.DICOM, "application/dicom"),
    (0, b"\x89PNG\r\n\x1a\n", Kind.IMAGE, "image/png"),
    (0, b"\xff\xd8\xff", Kind.IMAGE, "image/jpeg"),
    (0, b"GIF87a", Kind.IMAGE, "image/gif"),
    (0, b"GIF89a", Kind.IMAGE, "image/gif"),
    (0, b"II*\x00", Kind.IMAGE, "image/tiff"),
    (0, b"MM\x00*", Kind.IMAGE, "image/tiff"),
    (0, b"\x00\x00\x00\x0cjP  ", Kind.IMAGE, "image/jp2"),
    (8, b"WAVE", Kind.AUDIO, "audio/wav"),
    (8, b"WEBP", Kind.IMAGE, "image/webp"),
    (0, b"ID3", Kind.AUDIO, "audio/mpeg"),
    (0, b"OggS", Kind.AUDIO, "audio/ogg"),
    (0, b"fLaC", Kind.AUDIO, "audio/flac"),
    (0, b"#!AMR", Kind.AUDIO, "audio/amr"),
    (0, b"caff\x00\x01", Kind.AUDIO, "audio/x-caf"),
    (0, b".snd", Kind.AUDIO, "audio/basic"),
    (0, b"\x1aE\xdf\xa3", Kind.AUDIO, "audio/webm"),
    (0, b"0&\xb2u\x8ef\xcf\x11", Kind.AUDIO, "audio/x-ms-wma"),
    (0, b"\x1f\x8b", Kind.ARCHIVE, "application/gzip"),
    (0, b"7z\xbc\xaf'\x1c", Kind.ARCHIVE, "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", Kind.ARCHIVE, "application/vnd.rar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind.UNKNOWN, "application/x-ole-storage"),
    (0, b"\x7fELF", Kind.UNKNOWN, "application/octet-stream"),
    (0, b"MZ", Kind.UNKNOWN, "application/octet-stream"),
)
_FTYP_IMAGES: Final = (b"heic", b"heix", b"mif1", b"avif")
_HTML: Final = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_XML: Final = re.compile(rb"\s*<(\?xml|!--|[A-Za-z_][\w:.-]*[\s/>])")
_HL7: Final = re.compile(rb"\s*(FHS|BHS|MSH)[|^~&#!]")
_FHIR: Final = re.compile(rb'\s*\{.*?"resourceType"\s*:\s*"[A-Z]', re.S)
#: Control characters that no text has.
_BINARY: Final = frozenset(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27, 28, 29, 30, 31}


def sniff(content: bytes, *, filename: str = "", declared: str = "") -> Sniffed:
    """What `content` is: all of a file, or its first HEAD bytes (a .docx is then known by its name)."""
    if not content:
        return Sniffed(Kind.EMPTY, "application/octet-stream")
    head = content[:HEAD]
    if b"%PDF-" in head[:1024]:
        return Sniffed(Kind.PDF, "application/pdf")
    if head[4:8] == b"ftyp":
        if head[8:12] in _FTYP_IMAGES:
            return Sniffed(Kind.IMAGE, f"image/{'avif' if head[8:12] == b'avif' else 'heic'}")
        return Sniffed(Kind.AUDIO, "audio/mp4")
    for offset, magic, kind, media in _MAGIC:
        if head.startswith(magic, offset):
            return Sniffed(kind, media)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Sniffed(Kind.AUDIO, "audio/aiff")
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zipped(content, filename, declared)
    if head[:2] == b"BM" and len(content) > 26 and head[14] in (12, 40, 108, 124) and head[15:18] == b"\0\0\0":
        return Sniffed(Kind.IMAGE, "image/bmp")
    if _mpeg_frame(head) and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Sniffed(Kind.AUDIO, "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg")
    return _textual(head, filename)


def _zipped(content: bytes, filename: str, declared: str) -> Sniffed:
    docx = Sniffed(Kind.DOCX, DOCX_TYPE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
        if any(name.startswith("word/") for name in names):
            return docx
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        # only the beginning, or a broken one
        if b"word/" in content[:65536] or filename.lower().endswith(".docx") or declared == DOCX_TYPE:
            return docx
    return Sniffed(Kind.ARCHIVE, "application/zip")


def _mpeg_frame(head: bytes) -> bool:
    """An MPEG audio (or ADTS) frame header: 11 set bits, and no reserved values."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # ADTS: layer 0
        return (head[2] >> 2) & 0x0F < 13
    version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
    return version != 1 and layer != 0 and head[2] >> 4 != 15 and (head[2] >> 2) & 3 != 3


def _textual(head: bytes, filename: str) -> Sniffed:
    plain = Sniffed(Kind.TEXT, "text/plain")
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return plain
    if head.startswith(b"\xef\xbb\xbf"):
        head = head[3:]
    if any(byte in _BINARY for byte in head):
        # UTF-16 without a mark: every other byte of Latin text is 0
        if _wide(head):
            return plain
        return Sniffed(Kind.UNKNOWN, _by_libmagic(head))
    if _HL7.match(head):
        return Sniffed(Kind.HL7V2, "x-application/hl7-v2+er7")
    if _FHIR.match(head):
        return Sniffed(Kind.FHIR_JSON, "application/fhir+json")
    if _HTML.match(head):
        return Sniffed(Kind.HTML, "text/html")
    if b"<ClinicalDocument" in head or b":ClinicalDocument" in head:
        return Sniffed(Kind.CDA, "text/xml")
    if _XML.match(head) and (head.lstrip().startswith(b"<?xml") or filename.lower().endswith(".xml")):
        return Sniffed(Kind.XML, "application/xml")
    if filename.lower().endswith(".csv"):
        return Sniffed(Kind.TEXT, "text/csv")
    return plain


def _wide(head: bytes) -> bool:
    even, odd = head[0::2], head[1::2]
    return len(head) >= 4 and (
        (even.count(0) == 0 and odd.count(0) > 0.6 * len(odd))
        or (odd.count(0) == 0 and even.count(0) > 0.6 * len(even))
    )


def _by_libmagic(head: bytes) -> str:
    """libmagic's opinion, where it is installed, on what this module does not know."""
    try:
        import magic
    except ImportError:
        return "application/octet-stream"
    try:
        return str(magic.from_buffer(head, mime=True)) or "application/octet-stream"
    except Exception:  # a library of C, and files from anyone
        return "application/octet-stream"
