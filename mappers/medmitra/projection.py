"""FHIR R4B resources as MedMitra's JSON. Pure: everything is read from the resources as they are now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from fhir_server.jobs.names import Json, own_extension, parameter, value_of

from .narrative import plain
from .translate import is_parameter, is_parked, is_status
from .words import (
    CATEGORIES,
    CONFIDENCE,
    GENDER_WORDS,
    GENDERS,
    ICD10CM,
    INPUTS,
    OUTPUTS,
    SOAP,
    TASK_STATUS,
    USER,
    WORDS,
)

_GONE: Final = frozenset({"refuted", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class CaseView:
    """All that the vendor's routes show of one case. documents: files and the texts made of them; insights: what
    Task.output names, by the output's name."""

    task: Mapping[str, Any]
    patient: Mapping[str, Any] | None = None
    owner: str | None = None
    documents: Sequence[Mapping[str, Any]] = ()
    insights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def case_json(view: CaseView) -> Json:
    """The case row."""
    task = view.task
    id = str(task["id"])
    return {
        "id": number_of(id),
        "case_id": id,
        "user_id": view.owner,
        "doctor_id": view.owner,
        "patient_name": patient_name(view.patient),
        "patient_age": patient_age(task, view.patient),
        "patient_gender": patient_gender(view.patient),
        "case_summary": task.get("description"),
        "status": status_of(task),
        "created_at": created_at(task),
        "updated_at": moment(task.get("lastModified")) or moment((task.get("meta") or {}).get("lastUpdated")),
    }


def number_of(id: str) -> int:
    """A whole number for clients that want one; always the same for the same case."""
    return int(hashlib.sha256(f"Task/{id}".encode()).hexdigest()[:12], 16)


def status_of(task: Mapping[str, Any]) -> str:
    """MedMitra's word: the one that was set, while Task.status still agrees with it."""
    status = str(task.get("status"))
    word = WORDS.get(status, "processing")
    for coding in (task.get("businessStatus") or {}).get("coding") or ():
        said = coding.get("code")
        if is_status(coding) and TASK_STATUS.get(str(said)) == status and (said != "pending" or is_parked(task)):
            return str(said)
    return "pending" if status in ("requested", "ready") and is_parked(task) else word


def created_at(task: Mapping[str, Any]) -> str | None:
    return moment(task.get("authoredOn")) or moment((task.get("meta") or {}).get("lastUpdated"))


def moment(text: object) -> str | None:
    """A FHIR dateTime with a time as one in UTC, ending in Z; a date stays as it is."""
    if not isinstance(text, str):
        return None
    if "T" not in text:
        return text
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    return when.isoformat(timespec="milliseconds" if when.microsecond else "seconds").replace("+00:00", "Z")


def patient_name(patient: Mapping[str, Any] | None) -> str | None:
    for name in (patient or {}).get("name") or ():
        text = name.get("text") or " ".join(
            [*(name.get("given") or ()), *([name["family"]] if "family" in name else [])]
        )
        if text:
            return str(text)
    return None


def patient_age(task: Mapping[str, Any], patient: Mapping[str, Any] | None) -> int | None:
    """The age that was given; else in whole years at the case's date, when the birth date is known."""
    given = parameter(task.get("input"), "patient-age")
    if isinstance(given, Mapping):  # an Age or a Quantity
        given = given.get("value")
    if isinstance(given, str) and given.strip().isdigit():
        given = int(given)
    if isinstance(given, int | float | Decimal) and not isinstance(given, bool):
        return int(given)
    born, at = (patient or {}).get("birthDate"), created_at(task)
    try:
        birth, then = date.fromisoformat(str(born)), date.fromisoformat(str(at)[:10])
    except ValueError:
        return None
    return then.year - birth.year - ((then.month, then.day) < (birth.month, birth.day))


def patient_gender(patient: Mapping[str, Any] | None) -> str | None:
    """The vendor's own word, while Patient.gender still agrees with it."""
    gender = (patient or {}).get("gender")
    if patient is None or not isinstance(gender, str):
        return None
    said = own_extension(patient, "original-gender")
    word = value_of(said) if said else None
    if isinstance(word, str) and GENDERS.get(word.lower(), "other") == gender:
        return word
    return GENDER_WORDS.get(gender, gender)


def is_user(identifiers: object, user_id: str) -> bool:
    """True when one of the identifiers (of MedMitra's users, or of no system) is this user's."""
    return any(
        isinstance(each, Mapping) and each.get("value") == user_id and each.get("system", USER) == USER
        for each in (identifiers if isinstance(identifiers, list) else [identifiers])
    )


# Files


def files_json(view: CaseView, base: str) -> list[Json]:
    """The files, oldest first, those of one upload as they were sent."""
    values = [item.get("valueReference") or {} for item in view.task.get("input") or ()]
    sent = [local(value.get("reference"), "DocumentReference") for value in values]
    place = {id: number for number, id in enumerate(sent)}
    files = [document for document in view.documents if is_file(document)]
    texts = texts_of(view.documents)
    shown = [file_json(file, view.task, base, texts.get(str(file["id"]))) for file in files]

    def order(file: Json) -> tuple[str, int, str]:
        return file["upload_date"] or "", place.get(file["file_id"], len(sent)), file["file_id"]

    return sorted(shown, key=order)


def is_file(document: Mapping[str, Any]) -> bool:
    """False for the text that was made of a file, and for what was entered in error."""
    made = any(each.get("code") == "transforms" for each in document.get("relatesTo") or ())
    return not made and document.get("status") != "entered-in-error"


def texts_of(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """File id -> its text, from the documents that were made of files."""
    import base64

    found = {}
    for document in documents:
        for each in document.get("relatesTo") or ():
            reference = str((each.get("target") or {}).get("reference", ""))
            data = attachment_of(document).get("data")
            if each.get("code") == "transforms" and isinstance(data, str):
                found[reference.rpartition("/")[2]] = base64.b64decode(data).decode("utf-8", "replace")
    return found


def file_json(document: Mapping[str, Any], task: Mapping[str, Any] | None, base: str, text: str | None = None) -> Json:
    attachment = attachment_of(document)
    id = str(document["id"])
    size = attachment.get("size")
    return {
        "file_id": id,
        "case_id": case_of(document) or (str(task["id"]) if task is not None else None),
        "file_name": attachment.get("title") or document.get("description") or id,
        "file_type": attachment.get("contentType"),
        "file_size": int(size) if size is not None else None,
        "file_url": absolute(attachment.get("url"), base),
        "file_category": category_of(document, task),
        "upload_date": moment(document.get("date")) or moment((document.get("meta") or {}).get("lastUpdated")),
        "text_data": text,
        "ai_summary": document.get("description"),
    }


def attachment_of(document: Mapping[str, Any]) -> Json:
    contents = document.get("content") or [{}]
    found: Json = contents[0].get("attachment") or {}
    return found


def absolute(url: object, base: str) -> str | None:
    if not isinstance(url, str):
        return None
    return url if "://" in url or url.startswith("urn:") else f"{base}/{url.lstrip('/')}"


def category_of(document: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    """lab or radiology: by the document's category, its type, or the Task's input that names it."""
    for name, kind in CATEGORIES.items():
        codings = [coding for concept in document.get("category") or () for coding in concept.get("coding") or ()]
        if any(coding.get("code") == kind["category"]["code"] for coding in codings):
            return name
    for name, kind in CATEGORIES.items():
        if any(c.get("code") == kind["type"]["code"] for c in (document.get("type") or {}).get("coding") or ()):
            return name
    for item in (task or {}).get("input") or ():
        if str((item.get("valueReference") or {}).get("reference", "")).endswith(f"/{document['id']}"):
            for name, code in INPUTS.items():
                if is_parameter(item, code):
                    return name
    return (
        "radiology"
        if str(attachment_of(document).get("contentType")).startswith(("image/", "application/dicom"))
        else "lab"
    )


def case_of(document: Mapping[str, Any]) -> str | None:
    """The id of the case (a Task) that a document belongs to."""
    for related in (document.get("context") or {}).get("related") or ():
        found = local(related.get("reference"), "Task")
        if found:
            return found
    return None


def local(reference: object, type: str) -> str | None:
    """The id in a literal reference to a resource of `type`."""
    if not isinstance(reference, str):
        return None
    parts = reference.split("/_history/")[0].split("/")
    return parts[-1] if len(parts) >= 2 and parts[-2] == type and parts[-1] else None


# Insights


def insights_json(view: CaseView) -> Json | None:
    """ai_insights; None until the analysis has ended well."""
    found = view.insights
    if TASK_STATUS.get(status_of(view.task)) != "completed" or not found:
        return None
    summary, note = found.get("case-summary"), found.get("soap-note")
    diagnosis = found.get("primary-diagnosis")
    parts: Json = {
        "case_summary": _summary(summary, found) if summary is not None else None,
        "soap_note": _soap(note) if note is not None else None,
        "primary_diagnosis": _diagnosis(diagnosis) if diagnosis is not None else None,
    }
    scores = [part["confidence_score"] for part in parts.values() if part and part["confidence_score"] is not None]
    return parts | {
        "overall_confidence_score": round(sum(scores) / len(scores), 4) if scores else None,
        "generated_at": generated_at(view),
        "confidence_explanation": {
            name: explanation_of(found[output])
            for name, output in (
                ("case_summary", "case-summary"),
                ("soap_note", "soap-note"),
                ("primary_diagnosis", "primary-diagnosis"),
            )
            if output in found and parts[name] is not None
        },
    }


def generated_at(view: CaseView) -> str | None:
    note, summary = view.insights.get("soap-note") or {}, view.insights.get("case-summary") or {}
    return (
        moment(note.get("date"))
        or moment(summary.get("date"))
        or moment((view.task.get("executionPeriod") or {}).get("end"))
    )


def _summary(impression: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Json:
    findings = [
        concept.get("text") or next((coding.get("display") for coding in concept.get("coding") or ()), None)
        for concept in ((finding.get("itemCodeableConcept") or {}) for finding in impression.get("finding") or ())
    ]
    return {
        "comprehensive_summary": impression.get("summary") or "",
        "key_findings": [finding for finding in findings if finding],
        "lab_summary": _conclusion(found.get("lab-summary")),
        "radiology_summary": _conclusion(found.get("radiology-summary")),
        "confidence_score": confidence_of(impression),
    }


def _conclusion(report: Mapping[str, Any] | None) -> str:
    if report is None or report.get("status") in ("cancelled", "entered-in-error"):
        return ""
    return str(report.get("conclusion") or "")


def _soap(composition: Mapping[str, Any]) -> Json:
    parts: Json = dict.fromkeys(SOAP, "")
    for section in composition.get("section") or ():
        codes = {coding.get("code") for coding in (section.get("code") or {}).get("coding") or ()}
        title = str(section.get("title") or "").strip().lower()
        for name, (code, _) in SOAP.items():
            if code in codes or (not codes and title == name):
                parts[name] = plain(str((section.get("text") or {}).get("div") or ""))
    return parts | {"confidence_score": confidence_of(composition)}


def _diagnosis(condition: Mapping[str, Any]) -> Json | None:
    """None when it was refuted or entered in error."""
    codes = {coding.get("code") for coding in (condition.get("verificationStatus") or {}).get("coding") or ()}
    if codes & _GONE:
        return None
    concept = condition.get("code") or {}
    coding: Json = next((each for each in concept.get("coding") or () if each.get("system") == ICD10CM), {})
    notes = [note.get("text") for note in condition.get("note") or () if note.get("text")]
    return {
        "primary_diagnosis": concept.get("text") or coding.get("display"),
        "icd_code": coding.get("code"),
        "description": notes[0] if notes else coding.get("display"),
        "confidence_score": confidence_of(condition),
        "supporting_evidence": [
            code["text"]
            for evidence in condition.get("evidence") or ()
            for code in evidence.get("code") or ()
            if code.get("text")
        ],
    }


def confidence_of(resource: Mapping[str, Any]) -> float | None:
    for extension in resource.get("extension") or ():
        if extension.get("url") == CONFIDENCE and "valueDecimal" in extension:
            return float(extension["valueDecimal"])
    return None


def explanation_of(resource: Mapping[str, Any]) -> list[str]:
    return [
        str(extension.get("valueString"))
        for extension in resource.get("extension") or ()
        if str(extension.get("url", "")).endswith("/StructureDefinition/confidence-explanation")
    ]


def output_references(task: Mapping[str, Any]) -> dict[str, str]:
    """Output name -> "Type/id" of the insight; the last one of a name counts."""
    found: dict[str, str] = {}
    for item in task.get("output") or ():
        reference = (item.get("valueReference") or {}).get("reference")
        for name, type in OUTPUTS.items():
            id = local(reference, type)
            if id is not None and is_parameter(item, name):
                found[name] = f"{type}/{id}"
    return found
