"""Text of CDA documents (HL7 CDA R2), and of any other XML."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fhir_server.files.text import FileUnreadable, Read
from fhir_server.files.xmls import lines_of, local, parsed_xml


def read(content: bytes) -> Read:
    root = parsed_xml(content)
    if local(root) != "clinicaldocument":
        return Read(lines_of(root))
    parts: list[str] = []
    title = _child(root, "title")
    if title is not None:
        parts.append(lines_of(title))
    for body in _descendants(root, "nonxmlbody"):
        parts.append(_attached(body))
    for body in _descendants(root, "structuredbody"):
        for section in _sections(body):
            heading, text = _child(section, "title"), _child(section, "text")
            said = lines_of(text) if text is not None else ""
            if heading is not None and (said or heading.text):
                parts.append(lines_of(heading))
            if said:
                parts.append(said + "\n")
    return Read("\n".join(part for part in parts if part))


def _sections(body: Any) -> list[Any]:
    """Sections in the order of the document, those inside others too."""
    return list(_descendants(body, "section"))


def _descendants(root: Any, name: str) -> list[Any]:
    return [element for element in root.iter() if local(element) == name]


def _child(element: Any, name: str) -> Any:
    return next((child for child in element if local(child) == name), None)


def _attached(body: Any) -> str:
    """A body that is a file of its own: plain text, or base64 of one."""
    text = _child(body, "text")
    if text is None:
        return ""
    said = "".join(text.itertext())
    if text.get("representation") != "B64":
        return lines_of(text)
    from fhir_server.files.text import text_of

    try:
        inside = base64.b64decode("".join(said.split()), validate=True)
    except (binascii.Error, ValueError):
        raise FileUnreadable("broken", "The document inside it is not base64.") from None
    if b"ClinicalDocument" in inside[:4096]:
        raise FileUnreadable("broken", "It is a document inside a document.")
    return text_of(inside, declared=text.get("mediaType") or "").text
