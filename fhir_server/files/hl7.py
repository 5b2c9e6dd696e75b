"""Text of HL7 v2 messages (ORU, MDM, ADT, ...): reports, results, notes, diagnoses and allergies."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.files.plain import decoded
from fhir_server.files.text import FileUnreadable, Read

_CHARSETS: Final = {
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "8859/1": "latin-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ASCII": "cp1252",
    "GB 18030-2000": "gb18030",
}
_ESCAPE: Final = re.compile(r"\\([^\\\r\n]{0,64})\\")


@dataclass(frozen=True, slots=True)
class _Marks:
    """The characters that part a message. HL7 v2.5.1, 2.5.4."""

    field: str
    component: str
    repeat: str
    escape: str
    sub: str


def read(content: bytes) -> Read:
    start = re.search(rb"MSH(.)([^\r\n]{0,400})", content)
    if start is None:
        raise FileUnreadable("broken", "It is not a whole HL7 v2 message: it has no MSH segment.")
    header = start[0].decode("latin-1").split(start[1].decode("latin-1"))
    charset = _CHARSETS.get(header[17].split("~")[0].strip().upper(), "") if len(header) > 17 else ""
    text = decoded(content, charset)
    marks = _Marks("|", "^", "~", "\\", "&")
    lines: list[str] = []
    for segment in re.split(r"[\r\n]+", text.replace("\x0b", "").replace("\x1c", "")):
        if segment.startswith("MSH") and len(segment) >= 8:
            field = segment[3]
            said = segment[4 : segment.find(field, 4)]
            marks = _Marks(field, *(said + "^~\\&"[len(said) :])[:4])
            continue
        fields = segment.split(marks.field)
        reader = _SEGMENTS.get(fields[0].strip())
        if reader is not None:
            line = reader(fields, marks)
            if line:
                lines.append(line)
    return Read("\n".join(lines))


def _at(fields: list[str], number: int) -> str:
    return fields[number] if len(fields) > number else ""


def _plain(text: str, marks: _Marks) -> str:
    """Escapes resolved: \\F\\ and the like, \\.br\\, \\X..\\. HL7 v2.5.1, 2.7."""

    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code.startswith("X"):
            try:
                return bytes.fromhex(code[1:]).decode("latin-1").replace("\r", "\n")
            except ValueError:
                return ""
        if code.startswith(".br") or code.startswith(".sp") or code.startswith(".ce"):
            return "\n"
        return {"F": marks.field, "S": marks.component, "R": marks.repeat, "E": "\\", "T": marks.sub}.get(code, "")

    pattern = _ESCAPE if marks.escape == "\\" else re.compile(_ESCAPE.pattern.replace("\\\\", re.escape(marks.escape)))
    return pattern.sub(one, text)


def _words(field: str, marks: _Marks) -> str:
    """The text of a coded element (its second component), or the first that is there."""
    parts = field.split(marks.repeat)[0].split(marks.component)
    chosen = parts[1] if len(parts) > 1 and parts[1] else next((part for part in parts if part), "")
    return _plain(chosen, marks).strip()


def _observation(fields: list[str], marks: _Marks) -> str:
    type, name = _at(fields, 2).strip(), _words(_at(fields, 3), marks)
    value = _at(fields, 5)
    if type in ("ED", "RP"):
        return _encapsulated(value, marks) if type == "ED" else ""
    if type in ("TX", "FT"):
        return "\n".join(_plain(part, marks) for part in value.split(marks.repeat))
    if type in ("CE", "CWE", "CNE", "CF"):
        shown = ", ".join(_words(part, marks) for part in value.split(marks.repeat))
    else:
        shown = ", ".join(
            " ".join(_plain(piece, marks) for piece in part.split(marks.component) if piece)
            for part in value.split(marks.repeat)
        )
    if not shown.strip():
        return ""
    units, normal, flag = _words(_at(fields, 6), marks), _plain(_at(fields, 7), marks), _plain(_at(fields, 8), marks)
    line = f"{name}: {shown}" if name else shown
    if units:
        line += f" {units}"
    if normal:
        line += f" (reference {normal})"
    if flag and flag != "N":
        line += f" [{flag.replace(marks.repeat, ', ')}]"
    return line


def _encapsulated(value: str, marks: _Marks) -> str:
    """A file inside OBX-5 (ED: source ^ type ^ subtype ^ encoding ^ data)."""
    parts = value.split(marks.component)
    if len(parts) < 5 or parts[3].strip().lower() != "base64":
        return _plain(parts[4], marks) if len(parts) >= 5 else ""
    from fhir_server.files.text import text_of

    try:
        inside = base64.b64decode("".join(_plain(parts[4], marks).split()), validate=True)
    except (binascii.Error, ValueError):
        raise FileUnreadable("broken", "A document inside the message is not base64.") from None
    if inside[:3] in (b"MSH", b"FHS", b"BHS"):
        return ""
    return text_of(inside).text


def _heading(fields: list[str], marks: _Marks) -> str:
    title = _words(_at(fields, 4), marks)
    return f"\n{title}" if title else ""


def _diagnosis(fields: list[str], marks: _Marks) -> str:
    said = _words(_at(fields, 3), marks) or _plain(_at(fields, 4), marks)
    return f"Diagnosis: {said}" if said else ""


def _note(fields: list[str], marks: _Marks) -> str:
    return "\n".join(_plain(part, marks) for part in _at(fields, 3).split(marks.repeat))


_SEGMENTS: Final[dict[str, Callable[[list[str], _Marks], str]]] = {
    "OBX": _observation,
    "OBR": _heading,
    "NTE": _note,
    "DG1": _diagnosis,
    "AL1": lambda fields, marks: f"Allergy: {said}" if (said := _words(_at(fields, 3), marks)) else "",
    "RXE": lambda fields, marks: f"Medication: {said}" if (said := _words(_at(fields, 2), marks)) else "",
    "RXO": lambda fields, marks: f"Medication: {said}" if (said := _words(_at(fields, 1), marks)) else "",
    "PR1": lambda fields, marks: f"Procedure: {said}" if (said := _words(_at(fields, 3), marks)) else "",
    "TXA": lambda fields, marks: f"\n{said}" if (said := _words(_at(fields, 16), marks)) else "",
}
