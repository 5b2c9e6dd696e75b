"""HealthSage CDT's words <-> FHIR R4B. Pure: what is read and when it is now are passed in.

a submission        -> Patient, DocumentReference and Task            (`submission`)
a Task and its note -> what the engine is asked                       (`asked`)
what it found       -> Condition, Procedure, Observation, ...         (resources.py)
Task and resources  -> the vendor's JSON, and the Bundle              (projection.py)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fhir_server.jobs.names import Json, Names, parameter
from fhir_server.jobs.states import instant

CODE = "cdt-extraction"
"""Task.code of an extraction, in the own code system task-code."""

CONSULT_NOTE = {"system": "http://loinc.org", "code": "11488-4", "display": "Consult note"}


@dataclass(frozen=True, slots=True)
class Submission:
    """A POST /generate, and the ids that its resources are to have."""

    note: str
    specialty: str
    letter_date: date
    patient_dob: date | None
    task_id: str
    document_id: str
    patient_id: str
    key_id: str
    key_name: str = ""
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Task asks for. specialty, letter_date and patient_dob as the Task says them, None when it does not."""

    note: str
    specialty: str | None
    letter_date: str | None
    patient_dob: str | None


def submission(given: Submission, *, names: Names, now: datetime) -> list[Json]:
    """The resources of a submission: a Patient of whom only the birth date may be known (the vendor's JSON names
    none, and a Condition needs a subject), the note as a DocumentReference, and the Task."""
    patient: Json = {"resourceType": "Patient", "id": given.patient_id, "active": True}
    if given.patient_dob is not None:
        patient["birthDate"] = given.patient_dob.isoformat()
    subject = {"reference": f"Patient/{given.patient_id}"}
    document: Json = note_document(
        given.note, id=given.document_id, specialty=given.specialty, letter_date=given.letter_date.isoformat()
    )
    document["subject"] = subject
    inputs: list[Json] = [
        {
            "type": _parameter(names, "note", "Clinical note"),
            "valueReference": {"reference": f"DocumentReference/{given.document_id}"},
        },
        {"type": _parameter(names, "specialty", "Medical specialty"), "valueString": given.specialty},
        {"type": _parameter(names, "letter-date", "Date of the letter"), "valueDate": given.letter_date.isoformat()},
    ]
    if given.patient_dob is not None:
        inputs.append(
            {
                "type": _parameter(names, "patient-dob", "Patient's date of birth"),
                "valueDate": given.patient_dob.isoformat(),
            }
        )
    requester: Json = {"identifier": {"system": names.identifiers("api-key"), "value": given.key_id}}
    if given.key_name:
        requester["display"] = given.key_name
    task: Json = {
        "resourceType": "Task",
        "id": given.task_id,
        "status": "requested",
        "intent": "order",
        "code": names.concept("task-code", CODE, "Clinical concept extraction"),
        "focus": {"reference": f"DocumentReference/{given.document_id}"},
        "for": subject,
        "authoredOn": instant(now),
        "lastModified": instant(now),
        "requester": requester,
        "input": inputs,
    }
    if given.priority:
        task["priority"] = given.priority
    return [patient, document, task]


def note_document(note: str, *, id: str, specialty: str | None, letter_date: str | None) -> Json:
    """A clinic letter as a DocumentReference with its text inside."""
    attachment: Json = {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(note.encode()).decode("ascii"),
    }
    if letter_date:
        attachment["creation"] = letter_date
    document: Json = {
        "resourceType": "DocumentReference",
        "id": id,
        "status": "current",
        "type": {"coding": [CONSULT_NOTE]},
        "content": [{"attachment": attachment}],
    }
    if letter_date and len(letter_date) == 10:
        document["date"] = f"{letter_date}T00:00:00Z"
    if specialty:
        document["context"] = {"practiceSetting": {"text": specialty}}
    return document


def note_text(document: Mapping[str, Any] | None) -> str | None:
    """The text inside a DocumentReference; None when there is none inside (it may be behind a url)."""
    for content in (document or {}).get("content") or ():
        attachment = content.get("attachment") or {}
        text = decoded(attachment.get("data"), attachment.get("contentType"))
        if text is not None:
            return text
    return None


def decoded(data: object, content_type: object) -> str | None:
    """base64 of plain text -> the text; None when it is no base64, no text/*, or not in its charset."""
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


def document_reference(task: Mapping[str, Any]) -> str | None:
    """ "DocumentReference/x" that the Task is about: its input `note`, or its focus."""
    given = parameter(task.get("input"), "note")
    for reference in (given, task.get("focus")):
        if isinstance(reference, Mapping):
            found = local(reference.get("reference"), "DocumentReference")
            if found:
                return found
    return None


def local(reference: object, type: str) -> str | None:
    """The relative form "type/id" of a literal reference (an absolute one, or one of a version, is shortened)."""
    if not isinstance(reference, str):
        return None
    parts = reference.split("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 and parts[-2] == type and parts[-1] else None


def asked(task: Mapping[str, Any], document: Mapping[str, Any] | None, text: str | None = None) -> Asked | None:
    """What a Task asks for. `text`: the note, when it had to be fetched from a Binary. None: the Task has no note.

    A note may stand in the Task itself (input `note`, valueString or valueMarkdown) or in the DocumentReference. What
    the Task does not say is taken from the document.
    """
    given = parameter(task.get("input"), "note")
    note = given if isinstance(given, str) else text if text is not None else note_text(document)
    if note is None or not note.strip():
        return None
    return Asked(note, specialty_of(task, document), letter_date_of(task, document), birth_date_of(task))


def specialty_of(task: Mapping[str, Any], document: Mapping[str, Any] | None) -> str | None:
    given = parameter(task.get("input"), "specialty")
    if isinstance(given, Mapping):  # a CodeableConcept or a Coding
        given = (
            given.get("text")
            or given.get("display")
            or next((coding.get("display") or coding.get("code") for coding in given.get("coding") or ()), None)
        )
    if isinstance(given, str):
        return given
    setting = ((document or {}).get("context") or {}).get("practiceSetting") or {}
    return setting.get("text") or next((coding.get("display") for coding in setting.get("coding") or ()), None)


def letter_date_of(task: Mapping[str, Any], document: Mapping[str, Any] | None) -> str | None:
    """The letter's date; without one, the day on which the Task was asked for."""
    given = parameter(task.get("input"), "letter-date") or (document or {}).get("date") or task.get("authoredOn")
    return given[:10] if isinstance(given, str) else None


def birth_date_of(task: Mapping[str, Any]) -> str | None:
    given = parameter(task.get("input"), "patient-dob")
    return given[:10] if isinstance(given, str) else None


def whole_date(text: str | None) -> date | None:
    """A date of a day; None for a partial one."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _parameter(names: Names, code: str, display: str) -> Json:
    return names.concept("task-parameter", code, display)
