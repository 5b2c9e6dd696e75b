"""FHIR R4B resources as Sporo's JSON. Pure.

Everything is read from the resources as they are now: what a FHIR client changed shows, what he refuted is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.jobs.names import Json, codes_in, parameters
from fhir_server.jobs.states import task_codes

from .results import ICD10CM
from .translate import (
    AUDIO,
    ICD10,
    TEXT,
    UPLOAD,
    decoded,
    extra_information_of,
    id_system,
    local,
    metadata_of,
    minted,
    moment_of,
    to_vendor_time,
)

_STATUSES: Final = {
    "in-progress": "processing",
    "on-hold": "processing",
    "completed": "completed",
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "failed",
    "entered-in-error": "failed",
}
_ICD10: Final = (ICD10CM, "http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-vn")
_NOT_HELD: Final = frozenset(("refuted", "entered-in-error"))


@dataclass(frozen=True, slots=True)
class View:
    """A Task and what its outputs name. texts: output ("response", "transcript", "note") -> its text as it is now."""

    task: Mapping[str, Any]
    texts: Mapping[str, str | None] = field(default_factory=dict)
    conditions: Sequence[Mapping[str, Any]] = ()


def kind_of(task: Mapping[str, Any]) -> str | None:
    """Which of the four jobs a Task is; None when it is none of them."""
    return next((code for code in task_codes(task) if code in (UPLOAD, TEXT, ICD10, AUDIO)), None)


def vendor_id(task: Mapping[str, Any]) -> str:
    """upload_id or job_id."""
    system = id_system(kind_of(task) or UPLOAD)
    for identifier in task.get("identifier") or ():
        if identifier.get("system") == system and identifier.get("value"):
            return str(identifier["value"])
    return minted("Task", str(task["id"]))


def status_of(task: Mapping[str, Any]) -> str:
    """queued, processing, completed or failed."""
    return _STATUSES.get(str(task.get("status")), "queued")


def upload_json(view: View) -> Json:
    """GET /pcr/{upload_id}"""
    task = view.task
    status = status_of(task)
    found: Json = {
        "status": status,
        "response": view.texts.get("response") if status == "completed" else None,
        "extra_information": extra_information_of(task),
        "metadata": metadata_of(task),
    }
    if status == "failed":
        found["error_message"] = failure(task)[1]
    return found


def job_json(view: View) -> Json:
    """GET /pcr/icd10/{job_id} and /pcr/audio/notes/{job_id}"""
    task = view.task
    status = status_of(task)
    created = moment_of(task.get("authoredOn")) or moment_of((task.get("meta") or {}).get("lastUpdated"))
    updated = moment_of(task.get("lastModified")) or moment_of((task.get("meta") or {}).get("lastUpdated")) or created
    if created is not None and updated is not None:
        updated = max(created, updated)
    found: Json = {
        "job_id": vendor_id(task),
        "status": status,
        "created_at": to_vendor_time(created.isoformat()) if created else None,
        "updated_at": to_vendor_time(updated.isoformat()) if updated else None,
    }
    if status == "failed":
        found["error_code"], found["error_message"] = failure(task)
    elif status == "completed" and kind_of(task) == ICD10:
        found["icd10_codes"] = codes_json(view.conditions)
    elif status == "completed":
        found |= {name: view.texts.get(name) for name in ("transcript", "note")}
    return found


def body_json(view: View) -> Json:
    """What the Task's own GET route answers."""
    return job_json(view) if kind_of(view.task) in (ICD10, AUDIO) else upload_json(view)


def failure(task: Mapping[str, Any]) -> tuple[str, str]:
    """(error_code, error_message) of a Task that ended without a result."""
    status, reason = task.get("businessStatus") or {}, task.get("statusReason") or {}
    code = next((code for concept in (status, reason) for code in codes_in(concept, "error-code")), None)
    if code is None:
        code = next(
            (str(coding["code"]) for coding in status.get("coding") or () if coding.get("code")),
            "internal_error" if task.get("status") == "failed" else str(task.get("status")),
        )
    text = reason.get("text") or next((coding.get("display") for coding in reason.get("coding") or ()), None)
    message = text if isinstance(text, str) and text else f"The job ended with the status {task.get('status')}."
    return code.replace("-", "_"), message


def codes_json(conditions: Sequence[Mapping[str, Any]]) -> list[Json]:
    """icd10_codes: one for each Condition that nobody has refuted."""
    return [_code_json(each) for each in conditions if not _refuted(each)]


def _refuted(condition: Mapping[str, Any]) -> bool:
    codings = (condition.get("verificationStatus") or {}).get("coding") or ()
    return any(coding.get("code") in _NOT_HELD for coding in codings)


def _code_json(condition: Mapping[str, Any]) -> Json:
    code = condition.get("code") or {}
    codings: Sequence[Mapping[str, Any]] = code.get("coding") or ()
    icd10 = next((each for system in _ICD10 for each in codings if each.get("system") == system), {})
    said = [
        concept.get("text") or next((coding.get("display") for coding in concept.get("coding") or ()), None)
        for evidence in condition.get("evidence") or ()
        for concept in evidence.get("code") or ()
    ]
    return {
        "name": code.get("text") or icd10.get("display") or next((each.get("display") for each in codings), None),
        "icd10_code": icd10.get("code"),
        "evidence": next((text for text in said if text), None),
    }


def output_reference(task: Mapping[str, Any], name: str) -> str | None:
    """ "DocumentReference/x" (or Binary) that the Task's last output called `name` refers to."""
    found = [
        reference
        for value in parameters(task.get("output"), name)
        if (reference := local(value, "DocumentReference", "Binary"))
    ]
    return found[-1] if found else None


def output_text(task: Mapping[str, Any], name: str) -> str | None:
    """The text of an output that stands in the Task itself."""
    found = [value for value in parameters(task.get("output"), name) if isinstance(value, str)]
    return found[-1] if found else None


def document_text(document: Mapping[str, Any]) -> str | None:
    """The text inside a DocumentReference or a Binary; None when there is none inside, or it was taken back."""
    if document.get("resourceType") == "Binary":
        return decoded(document.get("data"), document.get("contentType"))
    if document.get("status") == "entered-in-error":
        return None
    for content in document.get("content") or ():
        attachment = content.get("attachment") or {}
        text = decoded(attachment.get("data"), attachment.get("contentType"))
        if text is not None:
            return text
    return None


def condition_references(task: Mapping[str, Any]) -> list[str]:
    """ "Condition/x" that the Task's outputs name; each once."""
    found = (local(value, "Condition") for value in parameters(task.get("output"), "icd10-code"))
    return list(dict.fromkeys(reference for reference in found if reference))
