"""Text of FHIR resources in JSON: narratives, attached documents, and one line for what has neither."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fhir_server.files.plain import decoded
from fhir_server.files.text import FileUnreadable, Read
from fhir_server.files.xmls import lines_of, parsed_html

MAX_RESOURCES: Final = 20_000
_SILENT: Final = frozenset(
    ("Provenance", "AuditEvent", "OperationOutcome", "Parameters", "Organization", "Practitioner")
)


def read(content: bytes) -> Read:
    try:
        resource = json.loads(decoded(content))
    except (ValueError, RecursionError):
        raise FileUnreadable("broken", "It is not valid JSON.") from None
    if not isinstance(resource, dict):
        raise FileUnreadable("broken", "It is not a FHIR resource.")
    parts: list[str] = []
    for number, each in enumerate(_resources(resource)):
        if number >= MAX_RESOURCES:
            raise FileUnreadable("too-large", f"It has more than {MAX_RESOURCES:,} resources.")
        try:
            said = _text(each)
        except (AttributeError, TypeError):
            raise FileUnreadable("broken", "It is not a FHIR resource.") from None
        if said:
            parts.append(said)
    return Read("\n\n".join(parts))


def _resources(resource: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if resource.get("resourceType") != "Bundle":
        yield resource
        return
    entries = resource.get("entry")
    for entry in entries if isinstance(entries, list) and depth < 5 else ():
        inner = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(inner, dict):
            yield from _resources(inner, depth + 1)


def _text(resource: Mapping[str, Any]) -> str:
    type = str(resource.get("resourceType"))
    parts: list[str] = []
    if type == "Composition":
        parts += [str(resource.get("title") or ""), *_sections(resource.get("section") or (), 0)]
    for content in resource.get("content") or () if type == "DocumentReference" else ():
        parts.append(_attached(content.get("attachment") or {}))
    if type == "DiagnosticReport":
        parts += [_attached(each) for each in resource.get("presentedForm") or ()]
        if not any(parts):
            parts += [_concept(resource.get("code")), str(resource.get("conclusion") or "")]
    if type == "Binary":
        parts.append(_attached(resource))
    if not any(parts):
        parts.append(_narrative(resource.get("text")))
    if not any(parts) and type not in _SILENT:
        parts.append(_line(resource, type))
    return "\n".join(part for part in parts if part)


def _sections(sections: Any, depth: int) -> list[str]:
    found: list[str] = []
    for section in sections if depth < 8 else ():
        said = _narrative(section.get("text"))
        inside = _sections(section.get("section") or (), depth + 1)
        if said or inside:
            found += [str(section.get("title") or ""), said, *inside, ""]
    return found


def _narrative(narrative: Any) -> str:
    div = narrative.get("div") if isinstance(narrative, dict) else None
    return lines_of(parsed_html(div)) if isinstance(div, str) and div.strip() else ""


def _attached(attachment: Mapping[str, Any]) -> str:
    data = attachment.get("data")
    if not isinstance(data, str) or str(attachment.get("contentType", "")).startswith("application/fhir"):
        return ""
    from fhir_server.files.text import text_of

    try:
        inside = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise FileUnreadable("broken", "A document inside it is not base64.") from None
    if inside.lstrip()[:1] == b"{":
        return decoded(inside)
    try:
        return text_of(inside, declared=str(attachment.get("contentType") or "")).text
    except FileUnreadable as error:
        if error.code in ("no-text", "unsupported", "empty", "not-installed"):
            return ""
        raise


def _concept(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    said = concept.get("text") or next((coding.get("display") for coding in concept.get("coding") or ()), "")
    return str(said or "")


def _line(resource: Mapping[str, Any], type: str) -> str:
    """ "Condition: Asthma (active), 2019": one line for a resource without a narrative."""
    what = next(
        (
            said
            for name in ("code", "vaccineCode", "medicationCodeableConcept", "type")
            if (said := _concept(resource.get(name)))
        ),
        "",
    )
    value = next((_value(value) for name, value in resource.items() if name.startswith("value")), "")
    if not what and not value:
        return ""
    line = f"{type}: {what}" if what else f"{type}:"
    if value:
        line += f": {value}" if what else f" {value}"
    status = _concept(resource.get("clinicalStatus")) or next(
        (coding.get("code") for coding in (resource.get("clinicalStatus") or {}).get("coding") or ()), ""
    )
    if status:
        line += f" ({status})"
    when = next(
        (
            resource[name]
            for name in ("onsetDateTime", "effectiveDateTime", "performedDateTime", "occurrenceDateTime", "authoredOn")
            if isinstance(resource.get(name), str)
        ),
        "",
    )
    notes = "; ".join(str(note.get("text")) for note in resource.get("note") or () if note.get("text"))
    return line + (f", {when[:10]}" if when else "") + (f". {notes}" if notes else "")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        if "value" in value:
            return f"{value['value']} {value.get('unit') or value.get('code') or ''}".strip()
        return _concept(value)
    return str(value) if isinstance(value, str | int | float | bool) else ""
