"""Text of DOCX (Office Open XML, ECMA-376 part 1, WordprocessingML), with limits on what it may unpack to."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any, Final

from fhir_server.files.text import FileUnreadable, Read
from fhir_server.files.xmls import local, parsed_xml

MAX_PART: Final = 50_000_000
"""Bytes of one part, unpacked."""
MAX_ENTRIES: Final = 10_000
MAX_RATIO: Final = 200
"""Unpacked size against packed size, above which a part of more than a megabyte is a zip bomb."""

_PARTS: Final = re.compile(r"word/(header\d*|document|footnotes|endnotes|footer\d*)\.xml$")
_ORDER: Final = ("header", "document", "footnotes", "endnotes", "footer")
_BOMB: Final = "It unpacks to far more than a document has."


def read(content: bytes) -> Read:
    parts: list[tuple[int, str, str]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise FileUnreadable("too-large", _BOMB)
            for entry in entries:
                found = _PARTS.match(entry.filename)
                if found is None:
                    continue
                if entry.flag_bits & 1:
                    raise FileUnreadable("encrypted", "It is encrypted; send it without a password.")
                order = next(index for index, name in enumerate(_ORDER) if found[1].startswith(name))
                parts.append((order, entry.filename, _text(parsed_xml(_unpacked(archive, entry)))))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError):
        raise FileUnreadable("broken", "It is not a whole DOCX file.") from None
    if not any(order == 1 for order, _, _ in parts):
        raise FileUnreadable("broken", "It is not a whole DOCX file: the document is missing in it.")
    seen: dict[str, None] = {}
    for _, _, text in sorted(parts):
        if text.strip():
            seen[text] = None
    return Read("\n\n".join(seen))


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The part's bytes. What the directory says of sizes is not believed."""
    if entry.file_size > MAX_PART:
        raise FileUnreadable("too-large", _BOMB)
    with archive.open(entry) as stream:
        data = stream.read(MAX_PART + 1)
    if len(data) > MAX_PART or (len(data) > 1_000_000 and len(data) > MAX_RATIO * max(entry.compress_size, 1)):
        raise FileUnreadable("too-large", _BOMB)
    return data


def _text(root: Any) -> str:
    """Paragraphs as lines, table cells apart. Deleted text (w:del) and field codes are left out."""
    out: list[str] = []
    pending: list[tuple[bool, Any]] = [(True, root)]
    while pending:
        opening, element = pending.pop()
        name = local(element)
        if not opening:
            if name == "p":
                out.append("\n")
            elif name == "tc":
                # a cell's own paragraphs end its lines; the next cell goes on in the same one
                while out and out[-1] == "\n":
                    out.pop()
                out.append("\t")
            elif name == "tr":
                out.append("\n")
            continue
        if name in ("del", "deltext", "instrtext", "fallback", "sectpr", "ppr", "rpr"):
            continue
        if name == "t":
            out.append(element.text or "")
        elif name == "tab":
            out.append("\t")
        elif name in ("br", "cr"):
            out.append("\n")
        elif name == "nobreakhyphen":
            out.append("-")
        pending.append((False, element))
        pending.extend((True, child) for child in reversed(element))
    return "\n".join(line.rstrip("\t ") for line in "".join(out).split("\n")).strip()
