"""What engines made, as FHIR R4B resources. Pure. Ids depend on the Task alone, so that a second attempt at it makes
the same resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs.names import Json
from fhir_server.processing.engines import CodedDiagnosis

from .translate import LOINC, UNKNOWN_SUBJECT, printable, text_attachment, to_instant

SUMMARY: Final = {"system": LOINC, "code": "34133-9", "display": "Summary of episode note"}
PROGRESS_NOTE: Final = {"system": LOINC, "code": "11506-3", "display": "Progress note"}
ICD10CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"


def result_id(task_id: str, what: str) -> str:
    """The id of what a Task makes."""
    return str(uuid5(NAMESPACE_URL, f"sporo/{task_id}/{what}"))


def text_document(
    text: str,
    what: str,
    *,
    task_id: str,
    type: Json,
    subject: str | None,
    now: datetime,
    sources: Sequence[str] = (),
    title: str = "",
) -> Json:
    """A text that an engine wrote, as a DocumentReference; sources: "DocumentReference/x" that it was made from."""
    found: Json = {
        "resourceType": "DocumentReference",
        "id": result_id(task_id, what),
        "status": "current",
        "docStatus": "preliminary",
        "type": type,
    }
    if subject:
        found["subject"] = {"reference": subject}
    found["date"] = to_instant(now)
    if sources:
        found["relatesTo"] = [{"code": "transforms", "target": {"reference": source}} for source in sources]
    found["content"] = [{"attachment": text_attachment(text, title or what.capitalize(), now)}]
    found["context"] = {"related": [{"reference": f"Task/{task_id}"}]}
    return found


def condition(coded: CodedDiagnosis, *, task_id: str, ordinal: int, subject: str | None, now: datetime) -> Json:
    """One ICD-10 code. An engine's opinion: unconfirmed."""
    return {
        "resourceType": "Condition",
        "id": result_id(task_id, f"icd10/{ordinal}/{coded.code}"),
        "clinicalStatus": _concept("condition-clinical", "active"),
        "verificationStatus": _concept("condition-ver-status", "unconfirmed"),
        "category": [_concept("condition-category", "encounter-diagnosis")],
        "code": {
            "coding": [{"system": coded.system, "code": coded.code, "display": printable(coded.display)}],
            "text": printable(coded.name),
        },
        "subject": {"reference": subject} if subject else dict(UNKNOWN_SUBJECT),
        "recordedDate": to_instant(now),
        "evidence": [
            {"code": [{"text": printable(coded.evidence)}], "detail": [{"reference": f"Task/{task_id}"}]},
        ],
    }


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": f"{_TERMINOLOGY}/{system}", "code": code}]}


def note_type(template: Mapping[str, Any]) -> Json:
    """DocumentReference.type of a note by this Questionnaire: its own LOINC code, else a progress note."""
    for coding in template.get("code") or ():
        if coding.get("system") == LOINC and coding.get("code"):
            return {"coding": [dict(coding)]}
    return {"coding": [dict(PROGRESS_NOTE)]}
