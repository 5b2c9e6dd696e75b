"""Sporo's words <-> FHIR R4B. Pure: what is read and when it is now are passed in.

an upload, a text, a recording  -> Task, DocumentReference, Patient   (here)
what an engine made             -> DocumentReference, Condition       (results.py)
Task and resources              -> the vendor's JSON                  (projection.py)
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from fhir_server.jobs.names import Json, Names, parameter

UPLOAD: Final = "sporo-upload"
TEXT: Final = "sporo-text"
ICD10: Final = "sporo-icd10"
AUDIO: Final = "sporo-audio-note"
KINDS: Final = {
    UPLOAD: "Summary of uploaded files",
    TEXT: "Summary of a text",
    ICD10: "ICD-10 codes of a text",
    AUDIO: "Note from a recording",
}
"""Task.code in the own code system task-code -> its display."""

UPLOAD_ID: Final = "urn:vendor:sporo:upload-id"
JOB_ID: Final = "urn:vendor:sporo:job-id"
TEMPLATE_ID: Final = "urn:vendor:sporo:template-id"
LOINC: Final = "http://loinc.org"
MEDICAL_RECORDS: Final = {"system": LOINC, "code": "11503-0", "display": "Medical records"}
UNKNOWN_SUBJECT: Final[Json] = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}],
    "display": "Unidentified patient",
}
"""Where R4B asks for a subject and none is known."""

OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")


def new_id(now: datetime) -> str:
    """24 lower-case hex digits that rise with time (to the second) and cannot be guessed."""
    return f"{int(now.timestamp()):08x}{secrets.token_hex(8)}"


def minted(type: str, id: str) -> str:
    """The vendor's id of a resource: its own when that has the form, else made from it."""
    if OBJECT_ID.fullmatch(id):
        return id.lower()
    return hashlib.sha256(f"{type}/{id}".encode()).hexdigest()[:24]


def id_system(code: str) -> str:
    """The identifier system of a Task of this kind."""
    return UPLOAD_ID if code in (UPLOAD, TEXT) else JOB_ID


def to_instant(moment: datetime) -> str:
    """2026-04-21T19:14:02.739182Z"""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_vendor_time(text: object) -> str | None:
    """A FHIR dateTime as the vendor writes it: UTC, six digits, no zone. A partial date begins its period."""
    moment = moment_of(text)
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def moment_of(text: object) -> datetime | None:
    """A FHIR dateTime or instant in UTC; None when it is none."""
    if not isinstance(text, str):
        return None
    whole = (
        f"{text}-01-01" if re.fullmatch(r"\d{4}", text) else f"{text}-01" if re.fullmatch(r"\d{4}-\d\d", text) else text
    )
    # Python knows no more than six digits of a second
    whole = re.sub(r"(\.\d{6})\d+", r"\1", whole)
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def printable(text: str) -> str:
    """Text that a FHIR string may hold: control characters become spaces, halves of characters question marks."""
    kept = "".join(char if char >= " " or char in "\t\r\n" else " " for char in text)
    return kept.encode("utf-8", "replace").decode()


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """The metadata as one string that keeps types and order (and that a FHIR string may hold: pure ASCII)."""
    return json.dumps(metadata, ensure_ascii=True, separators=(",", ":"))


def metadata_of(task: Mapping[str, Any]) -> Json:
    """The metadata of a Task: {} when it has none, or one that is not a JSON object."""
    said = parameter(task.get("input"), "metadata")
    try:
        found = json.loads(said) if isinstance(said, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for what, on which address. subject: a reference to a Patient, or to one in the same transaction."""

    id: str
    code: str
    key_id: str
    key_name: str = ""
    priority: str | None = None
    webhook_url: str | None = None
    extra_information: str | None = None
    metadata: Mapping[str, Any] | None = None
    subject: str | None = None


def task(asked: Asked, inputs: Sequence[Json], *, names: Names, now: datetime) -> Json:
    """The Task of a job. `inputs` come before those that every kind may have."""
    said: list[Json] = list(inputs)
    if asked.extra_information:
        said.append(item(names, "extra_information", "valueString", printable(asked.extra_information)))
    if asked.webhook_url:
        said.append(item(names, "webhook_url", "valueUrl", asked.webhook_url))
    if asked.metadata:
        said.append(item(names, "metadata", "valueString", metadata_text(asked.metadata)))
    requester: Json = {"identifier": {"system": names.identifiers("api-key"), "value": asked.key_id}}
    if asked.key_name:
        requester["display"] = asked.key_name
    found: Json = {
        "resourceType": "Task",
        "id": asked.id,
        "identifier": [{"system": id_system(asked.code), "value": asked.id}],
        "status": "requested",
        "intent": "order",
        "code": names.concept("task-code", asked.code, KINDS[asked.code]),
    }
    if asked.subject:
        found["for"] = {"reference": asked.subject}
    if asked.priority:
        found["priority"] = asked.priority
    found |= {"authoredOn": to_instant(now), "lastModified": to_instant(now), "requester": requester}
    if said:
        found["input"] = said
    return found


TITLES: Final = {
    "file": "Uploaded file",
    "user_input": "Text to be summarized",
    "text": "Clinical text",
    "audio": "Recording",
    "template_id": "Note template",
    "extra_information": "Context or instructions",
    "webhook_url": "Webhook",
    "metadata": "Metadata",
    "response": "Summary",
    "unread_file": "File that could not be read",
    "icd10_code": "ICD-10 code",
    "transcript": "Transcript",
    "note": "Clinical note",
}
"""Types of Task.input and Task.output, in the own code system task-parameter."""


def item(names: Names, code: str, choice: str, value: Any) -> Json:
    """One Task.input or Task.output."""
    return {"type": names.concept("task-parameter", code, TITLES[code]), choice: value}


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file that is kept as Binary/`binary`. hash: base64 of the SHA-1. study: "ImagingStudy/x" that a DICOM
    object is a part of."""

    document: str
    binary: str
    filename: str
    media_type: str
    size: int
    hash: str
    study: str | None = None


def file_document(file: File, *, task_id: str, subject: str | None, now: datetime) -> Json:
    """The DocumentReference of an uploaded file."""
    attachment = {
        "contentType": file.media_type,
        "url": f"Binary/{file.binary}",
        "size": file.size,
        "hash": file.hash,
        "title": printable(file.filename),
        "creation": to_instant(now),
    }
    found: Json = {
        "resourceType": "DocumentReference",
        "id": file.document,
        "status": "current",
        "type": {"coding": [dict(MEDICAL_RECORDS)]},
    }
    if subject:
        found["subject"] = {"reference": subject}
    related = [f"Task/{task_id}", file.study] if file.study else [f"Task/{task_id}"]
    return found | {
        "date": to_instant(now),
        "content": [{"attachment": attachment}],
        "context": {"related": [{"reference": reference} for reference in related]},
    }


def text_attachment(text: str, title: str, now: datetime | None = None) -> Json:
    found: Json = {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(text.encode("utf-8", "replace")).decode("ascii"),
        "title": title,
    }
    if now is not None:
        found["creation"] = to_instant(now)
    return found


def decoded(data: object, content_type: object) -> str | None:
    """base64 of text -> the text; None when it is no base64, no text/*, or not in its charset."""
    if not isinstance(data, str):
        return None
    media, _, options = str(content_type or "text/plain").partition(";")
    if not media.strip().lower().startswith("text/"):
        return None
    charset = "utf-8"
    for option in options.split(";"):
        name, _, value = option.partition("=")
        if name.strip().lower() == "charset" and value.strip():
            charset = value.strip().strip('"')
    try:
        return base64.b64decode(data).decode(charset)
    except (ValueError, LookupError):
        return None


def local(reference: object, *types: str) -> str | None:
    """The relative form "type/id" of a reference (an object or its text) to one of `types`; None for any other."""
    if isinstance(reference, Mapping):
        reference = reference.get("reference")
    if not isinstance(reference, str):
        return None
    parts = reference.split("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 and parts[-2] in types and parts[-1] else None


def webhook_url_of(task: Mapping[str, Any]) -> str | None:
    said = parameter(task.get("input"), "webhook-url")
    return said if isinstance(said, str) else None


def extra_information_of(task: Mapping[str, Any]) -> str | None:
    said = parameter(task.get("input"), "extra-information")
    return said if isinstance(said, str) else None


def subject_of(task: Mapping[str, Any]) -> str | None:
    """ "Patient/x" whom the Task is for."""
    return local(task.get("for"), "Patient")


def day_of(text: object) -> date | None:
    moment = moment_of(text)
    return moment.date() if moment is not None else None
