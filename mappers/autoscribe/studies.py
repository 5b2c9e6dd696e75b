"""ImagingStudy and the Task of reading it <-> the vendor's studies. Pure.

The ImagingStudy says what was scanned; a Task with the code read-study says who is to read it and how soon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fhir_server.dicom import uids
from fhir_server.jobs.names import Json, Names, own_extension, value_of
from fhir_server.jobs.states import instant

from . import metadata, reports
from .ids import CUSTOMER, EXTERNAL, REPORT, STUDY, digest

READ_STUDY: Final = "read-study"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
PRIORITIES: Final = {"normal": "routine", "high": "urgent", "stat": "stat"}
_SEVERITIES: Final = {"routine": "normal", "urgent": "high", "asap": "high", "stat": "stat"}
#: What people call a modality -> its DICOM code (PS3.16 CID 29).
_MODALITIES: Final = {
    "MRI": "MR",
    "MRT": "MR",
    "X-RAY": "DX",
    "XRAY": "DX",
    "ULTRASOUND": "US",
    "MAMMOGRAPHY": "MG",
    "MAMMOGRAM": "MG",
    "FLUOROSCOPY": "RF",
    "PET": "PT",
    "NUCLEAR MEDICINE": "NM",
    "CAT": "CT",
}
_CODES: Final = re.compile(
    "AR|BI|BMD|CR|CT|DG|DX|ECG|EPS|ES|GM|HD|IO|IVOCT|IVUS|KER|LEN|LS|MG|MR|NM|OAM|OCT|OP|OPM|OPT|OPV|OT|PA|PT|PX|RF|RG|"
    "RTIMAGE|SM|SR|TG|US|VA|XA|XC"
)
_PRIOR: Final = (
    ("reportText", "report-text"),
    ("externalStudyId", "external-study-id"),
    ("modality", "modality"),
    ("studyDate", "study-date"),
    ("studyDescription", "study-description"),
)
#: Fields of an own extension with one string each.
_TEXTS: Final = (("clinicalHistory", "clinical-history"), ("technologistTechnique", "technologist-technique"))


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study and all that its projection needs. users: "Practitioner/x" -> the vendor's reference to that user."""

    study: Mapping[str, Any]
    task: Mapping[str, Any] | None
    patient: Mapping[str, Any] | None
    reports: Sequence[Mapping[str, Any]]
    created: str | None
    users: Mapping[str, Json]


def new_id(uid: str) -> str:
    """The id of the ImagingStudy of a Study Instance UID: whoever makes it first, it is made once."""
    return digest("ImagingStudy", uid)


def task_id(study_id: str) -> str:
    """The id of the Task of reading a study."""
    return digest("Task", f"{READ_STUDY}/{study_id}")


def is_cancelled(study: Mapping[str, Any]) -> bool:
    return study.get("status") == "cancelled"


def study_type(study: Mapping[str, Any]) -> str:
    said = own_extension(study, "study-type")
    return "external" if said is not None and value_of(said) == "external" else "standard"


def severity_of(task: Mapping[str, Any] | None) -> str:
    return _SEVERITIES.get(str((task or {}).get("priority")), "normal")


def owner_of(task: Mapping[str, Any] | None) -> str | None:
    """ "Practitioner/x" who is to read the study."""
    return reports.local(((task or {}).get("owner") or {}).get("reference"), "Practitioner")


def customer_of(study: Mapping[str, Any]) -> str | None:
    reference = value_of(own_extension(study, "express-customer") or {})
    return ((reference or {}).get("identifier") or {}).get("value")


def description_of(study: Mapping[str, Any]) -> str:
    return str(study.get("description") or metadata.projected(metadata.of_study(study, None)).get("procedure") or "")


def study_json(view: StudyView) -> Json:
    """A study, as every route that gives one shows it."""
    study, task = view.study, view.task
    main = [each for each in view.reports if reports.addendum_of(each) is None and reports.status_of(each)]
    updated = [str((each.get("meta") or {}).get("lastUpdated", "")) for each in (study, task or {})]
    owner = owner_of(task)
    cancelled = own_extension(study, "cancelled-at")
    shown: Json = {
        "cancelledAt": (value_of(cancelled) if cancelled else updated[0]) if is_cancelled(study) else None,
        "createdAt": view.created,
        "isCancelled": is_cancelled(study),
        "reportMetadata": metadata.projected(metadata.of_study(study, view.patient)),
        "severity": severity_of(task),
        "studyDescription": description_of(study),
        "studyId": STUDY.of(study),
        "studyInstanceUid": uids.study_uid(study),
        "studyReportStatus": reports.study_status(view.reports, assigned=owner is not None),
        "updatedAt": max(updated) or None,
        "studyType": study_type(study),
        "reportIds": [
            {"isCritical": reports.is_critical(each), "reportId": REPORT.of(each), "status": reports.status_of(each)}
            for each in view.reports
            if reports.status_of(each)
        ],
    }
    optional: Json = {
        "assignedTo": view.users.get(owner) if owner else None,
        "clinicalIndication": next((each["text"] for each in study.get("reasonCode") or () if each.get("text")), None),
        "createdByApiKey": _api_key(task),
        "expressCustomer": _customer(study),
        "externalPatientId": metadata.external_patient_of(view.patient or {}),
        "externalReportId": next((EXTERNAL.of(each) for each in main if is_external_report(each)), None),
        "isCritical": reports.is_critical(main[0]) if main else None,
        "metadata": _pairs(study) or None,
        "modality": modality_of(study),
        "priorReports": [_prior(each) for each in _own(study, "prior-report")] or None,
        "technologistNotes": [str(each["text"]) for each in study.get("note") or () if each.get("text")] or None,
    }
    for name, extension in _TEXTS:
        said = own_extension(study, extension)
        optional[name] = value_of(said) if said else None
    return shown | {name: value for name, value in optional.items() if value is not None}


def is_external_report(report: Mapping[str, Any]) -> bool:
    return any(each.get("system") == EXTERNAL.system for each in report.get("identifier") or ())


def _api_key(task: Mapping[str, Any] | None) -> Json | None:
    requester = (task or {}).get("requester") or {}
    identifier = requester.get("identifier") or {}
    if not identifier.get("value"):
        return None
    return {"apiKeyId": str(identifier["value"]), "description": str(requester.get("display") or "")}


def _customer(study: Mapping[str, Any]) -> Json | None:
    id = customer_of(study)
    if id is None:
        return None
    reference = value_of(own_extension(study, "express-customer") or {}) or {}
    return {"expressCustomerId": id, "expressCustomerName": str(reference.get("display") or id)}


def modality_of(study: Mapping[str, Any]) -> str | None:
    """The modalities as text: the words that were used for them, else their codes."""
    said = [str(each.get("display") or each.get("code") or "") for each in study.get("modality") or ()]
    return ", ".join(each for each in said if each) or None


def modality_coding(text: str) -> Json:
    """Free text as a Coding: with DICOM's code where the text is one, or a usual word for one."""
    word = text.strip().upper()
    if _CODES.fullmatch(word):
        return {"system": DCM, "code": word} | ({} if word == text else {"display": text})
    code = _MODALITIES.get(word)
    return {"system": DCM, "code": code, "display": text} if code else {"display": text}


def _own(element: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    end = f"/StructureDefinition/{name}"
    return [each for each in element.get("extension") or () if str(each.get("url", "")).endswith(end)]


def _parts(extension: Mapping[str, Any]) -> dict[str, Any]:
    return {str(part.get("url")): value_of(part) for part in extension.get("extension") or ()}


def _pairs(study: Mapping[str, Any]) -> Json:
    return {
        str(parts["key"]): parts.get("value") or ""
        for parts in (_parts(each) for each in _own(study, "study-metadata"))
        if "key" in parts
    }


def _prior(extension: Mapping[str, Any]) -> Json:
    parts = _parts(extension)
    return {field: parts[url] for field, url in _PRIOR if parts.get(url) is not None}


# From the vendor's object to FHIR


def with_fields(study: Mapping[str, Any], given: Mapping[str, Any], names: Names) -> Json:
    """The ImagingStudy with the fields that `given` has, in place of what it had; None (or nothing) clears a field.
    reportMetadata is not among them: see with_metadata."""
    changed = dict(study)
    if given.get("studyDescription"):
        changed["description"] = given["studyDescription"]
    if "modality" in given:
        _set(changed, "modality", [modality_coding(given["modality"])] if given["modality"] else None)
    if "clinicalIndication" in given:
        text = given["clinicalIndication"]
        _set(changed, "reasonCode", [{"text": text}] if text else None)
    if "technologistNotes" in given:
        _set(changed, "note", [{"text": text} for text in given["technologistNotes"] or () if text])
    for field, name in _TEXTS:
        if field in given:
            text = given[field]
            _extend(changed, name, [{"url": names.extension(name), "valueString": text}] if text else [])
    if "metadata" in given:
        _extend(changed, "study-metadata", [_pair(key, text, names) for key, text in (given["metadata"] or {}).items()])
    if "priorReports" in given:
        _extend(changed, "prior-report", [_prior_extension(each, names) for each in given["priorReports"] or ()])
    if "expressCustomerId" in given:
        id = given["expressCustomerId"]
        reference = {"type": "Organization", "identifier": {"system": CUSTOMER.system, "value": id}}
        url = names.extension("express-customer")
        _extend(changed, "express-customer", [{"url": url, "valueReference": reference}] if id else [])
    return changed


def with_metadata(study: Mapping[str, Any], given: Mapping[str, Any], names: Names) -> Json:
    """The ImagingStudy with the circumstances in `given` (all of them: the caller fills in those that stay)."""
    changed = dict(study)
    new = metadata.circumstances(given, names)
    if (given.get("studyDate"), given.get("studyTime")) == _moment_of(study):
        # a time with its time zone stays as exact as it is
        new |= {name: study[name] for name in ("started", "_started") if name in study}
    for name, field in (("location", "facilityName"), ("referrer", "referringPhysicianName")):
        if name in new and (study.get(name) or {}).get("display") == given[field]:
            new[name] = study[name]
    for name in ("procedureCode", "location", "referrer", "started", "_started"):
        _set(changed, name, new.get(name))
    reference = (study.get("subject") or {}).get("reference", "")
    return metadata.with_measures(changed, given, names, subject=reference)


def _moment_of(study: Mapping[str, Any]) -> tuple[str | None, str | None]:
    shown = metadata.projected(metadata.Sources(study=study))
    return shown.get("studyDate"), shown.get("studyTime")


def _set(resource: Json, name: str, value: Any) -> None:
    if value:
        resource[name] = value
    else:
        resource.pop(name, None)


def _extend(resource: Json, name: str, extensions: list[Json]) -> None:
    end = f"/StructureDefinition/{name}"
    others = [each for each in resource.get("extension") or () if not str(each.get("url", "")).endswith(end)]
    _set(resource, "extension", [*others, *extensions])


def _pair(key: str, value: str, names: Names) -> Json:
    parts = [{"url": "key", "valueString": key}] + ([{"url": "value", "valueString": value}] if value else [])
    return {"url": names.extension("study-metadata"), "extension": parts}


def _prior_extension(given: Mapping[str, Any], names: Names) -> Json:
    parts = [{"url": url, "valueString": given[field]} for field, url in _PRIOR if given.get(field)]
    return {"url": names.extension("prior-report"), "extension": parts}


def new_study(uid: str, *, subject: str, external: bool, names: Names) -> Json:
    """An ImagingStudy of which only the UID is known, and whose it is ("Patient/x")."""
    id = new_id(uid)
    study: Json = {
        "resourceType": "ImagingStudy",
        "id": id,
        "identifier": [uids.identifier(uid), STUDY.identifier(id)],
        "status": "registered",
        "subject": {"reference": subject},
    }
    return marked(study, external=external, names=names)


def marked(study: Json, *, external: bool, names: Names) -> Json:
    """The study, with the mark of an imported one when it is."""
    extension = {"url": names.extension("study-type"), "valueCode": "external"}
    _extend(study, "study-type", [extension] if external else [])
    return study


def cancelled(study: Mapping[str, Any], names: Names, now: datetime) -> Json:
    changed = dict(study) | {"status": "cancelled"}
    _extend(changed, "cancelled-at", [{"url": names.extension("cancelled-at"), "valueInstant": instant(now)}])
    return changed


def restored(study: Mapping[str, Any]) -> Json:
    """Not cancelled any more: available when there are pictures, else registered."""
    changed = dict(study) | {"status": "available" if study.get("numberOfInstances") else "registered"}
    _extend(changed, "cancelled-at", [])
    return changed


def new_task(study: Mapping[str, Any], *, names: Names, now: datetime, key_id: str, key_name: str) -> Json:
    """The Task of reading a study, asked for by the holder of an API key."""
    requester: Json = {"identifier": {"system": names.identifiers("api-key"), "value": key_id}}
    if key_name:
        requester["display"] = key_name
    return {
        "resourceType": "Task",
        "id": task_id(str(study["id"])),
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": names.concept("task-code", READ_STUDY, "Read an imaging study"),
        "focus": {"reference": f"ImagingStudy/{study['id']}"},
        "for": study["subject"],
        "authoredOn": instant(now),
        "lastModified": instant(now),
        "requester": requester,
    }


def with_assignment(task: Mapping[str, Any], given: Mapping[str, Any], *, owner: Json | None, now: datetime) -> Json:
    """The Task with the severity and the assignment in `given`. owner: a reference to who `assignedTo` names."""
    changed = dict(task)
    if given.get("severity"):
        changed["priority"] = PRIORITIES[given["severity"]]
    if "assignedTo" in given:
        _set(changed, "owner", owner)
        if changed.get("status") in ("requested", "accepted"):
            changed["status"] = "accepted" if owner else "requested"
    changed["lastModified"] = max(instant(now), str(changed.get("authoredOn", "")))
    return changed
