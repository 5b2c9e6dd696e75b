"""MedMitra's words -> FHIR R4B. Pure: ids and the present moment are passed in. (The way back: projection.py.)

a new case   -> Patient, Practitioner, DocumentReferences and Task   (`case_resources`)
a change     -> the Task and the Patient as they are to be           (`changed`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs.names import Json, Names, codes_in, is_own, own_extension, without_extension
from fhir_server.jobs.states import instant

from .words import (
    CASE,
    CATEGORIES,
    CODE,
    GENDER_IDENTITY,
    GENDER_WORDS,
    GENDERS,
    INPUTS,
    OUTPUTS,
    STATUS,
    TASK_STATUS,
    USER,
)

PARKED = "9999-12-31T23:59:59.000Z"


@dataclass(frozen=True, slots=True)
class NewCase:
    """A POST /cases/create_case."""

    case_id: str
    patient_id: str
    user_id: str
    patient_name: str
    patient_age: int
    patient_gender: str
    case_summary: str | None
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file of a case, whose bytes are in Binary/`binary_id`. size in bytes; hash: base64 of the SHA-1. study: the
    "ImagingStudy/x" that it is a part of."""

    file_id: str
    binary_id: str
    category: str
    file_name: str
    file_type: str
    file_size: int
    hash: str
    study: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """A PUT of a case: what is None stays."""

    patient_name: str | None = None
    patient_age: int | None = None
    patient_gender: str | None = None
    case_summary: str | None = None
    status: str | None = None


def case_resources(case: NewCase, files: Sequence[NewFile], *, names: Names, now: datetime) -> list[Json]:
    """Patient, DocumentReferences and Task of a new case, as they are to be written together."""
    patient: Json = {"resourceType": "Patient", "id": case.patient_id, "active": True}
    with_name(patient, case.patient_name)
    with_gender(patient, case.patient_gender, names)
    subject = {"reference": f"Patient/{case.patient_id}"}
    documents = [file_document(file, case.case_id, subject, now=now) for file in files]
    inputs: list[Json] = [
        {
            "type": names.concept("task-parameter", "patient-age", "Age of the patient"),
            "valueUnsignedInt": case.patient_age,
        }
    ]
    inputs += [file_input(file, names) for file in files]
    task: Json = {
        "resourceType": "Task",
        "id": case.case_id,
        "identifier": [{"system": CASE, "value": case.case_id}],
        "status": "requested",
        "businessStatus": business_status("processing", names),
        "intent": "order",
        "code": names.concept("task-code", CODE, "MedMitra case"),
        "for": subject,
        "authoredOn": instant(now),
        "lastModified": instant(now),
        "requester": requester_of(case.user_id),
        "input": inputs,
    }
    if case.case_summary:
        task["description"] = case.case_summary
    if case.priority:
        task["priority"] = case.priority
    return [patient, *documents, task]


def practitioner_id(user_id: str) -> str:
    """The id of the Practitioner who stands for a user: the same whoever makes it."""
    return str(uuid5(NAMESPACE_URL, f"{USER}/{user_id}"))


def practitioner(user_id: str) -> Json:
    return {
        "resourceType": "Practitioner",
        "id": practitioner_id(user_id),
        "identifier": [{"system": USER, "value": user_id}],
        "active": True,
    }


def requester_of(user_id: str) -> Json:
    """Task.requester: the Practitioner, and his identifier beside it."""
    return {
        "reference": f"Practitioner/{practitioner_id(user_id)}",
        "identifier": {"system": USER, "value": user_id},
    }


def file_document(file: NewFile, case_id: str, subject: Json | None, *, now: datetime) -> Json:
    """An uploaded file as a DocumentReference (IHE MHD: one attachment each)."""
    kind = CATEGORIES[file.category]
    document: Json = {
        "resourceType": "DocumentReference",
        "id": file.file_id,
        "status": "current",
        "type": {"coding": [dict(kind["type"])]},
        "category": [{"coding": [dict(kind["category"])]}],
        "date": instant(now),
        "content": [
            {
                "attachment": {
                    "contentType": file.file_type,
                    "url": f"Binary/{file.binary_id}",
                    "size": file.file_size,
                    "hash": file.hash,
                    "title": file.file_name,
                    "creation": instant(now),
                }
            }
        ],
        "context": {"related": [{"reference": f"Task/{case_id}"}]},
    }
    if file.study is not None:
        document["context"]["related"].append({"reference": file.study})
    if subject is not None:
        document["subject"] = subject
    return document


def file_input(file: NewFile, names: Names) -> Json:
    """Task.input of a file."""
    return {
        "type": names.concept("task-parameter", INPUTS[file.category], f"{file.category.capitalize()} file"),
        "valueReference": {"reference": f"DocumentReference/{file.file_id}"},
    }


def with_name(patient: Json, name: str) -> None:
    """Set the Patient's first name: the text, and split when it has more than one word."""
    words = name.split()
    said: Json = {"text": name}
    if len(words) > 1:
        said |= {"family": words[-1], "given": words[:-1]}
    others = list(patient.get("name") or ())
    kept = {part: value for part, value in (others[0] if others else {}).items() if part in ("use", "id", "extension")}
    patient["name"] = [kept | said, *others[1:]]


def with_gender(patient: Json, word: str, names: Names) -> None:
    """Set Patient.gender, and keep the vendor's word beside it where the code alone would not give it back."""
    gender = GENDERS.get(word.lower(), "other")
    patient["gender"] = gender
    extensions = [
        extension
        for extension in without_extension(patient, "original-gender")
        if extension.get("url") != GENDER_IDENTITY
    ]
    if word != GENDER_WORDS[gender]:
        extensions.append({"url": names.extension("original-gender"), "valueString": word})
    if gender == "other" and word.lower() != "other":
        extensions.append({"url": GENDER_IDENTITY, "valueCodeableConcept": {"text": word}})
    if extensions:
        patient["extension"] = extensions
    else:
        patient.pop("extension", None)


def business_status(word: str, names: Names) -> Json:
    """Task.businessStatus: MedMitra's exact word."""
    return {"coding": [{"system": names.code_system(STATUS), "code": word}]}


def changed(task: Mapping[str, Any], given: Changes, *, names: Names, now: datetime) -> Json:
    """The Task after a PUT (the Patient's part of it is `with_name` and `with_gender`)."""
    after = dict(task)
    if given.case_summary is not None:
        after["description"] = given.case_summary
        if not given.case_summary:
            del after["description"]
    if given.patient_age is not None:
        others = [item for item in task.get("input") or () if not is_parameter(item, "patient-age")]
        kind = names.concept("task-parameter", "patient-age", "Age of the patient")
        after["input"] = [{"type": kind, "valueUnsignedInt": given.patient_age}, *others]
    if given.status is not None:
        after = with_status(after, given.status, names=names, now=now)
    return touched(after, now)


def touched(task: Json, now: datetime) -> Json:
    """lastModified now; never before authoredOn (inv-1)."""
    task["lastModified"] = max(instant(now), str(task.get("authoredOn") or ""))
    return task


def with_status(task: Mapping[str, Any], word: str, *, names: Names, now: datetime) -> Json:
    """The Task with the status that a user has set by hand. No worker takes it up: one that is pending waits until its
    analysis is asked for, one that is processing or analyzing is somebody else's work."""
    after = dict(task)
    running = str(task.get("status")) in ("requested", "received", "accepted", "ready", "in-progress")
    if word == "processing" and running and own_extension(task, "job-lease") is not None and not is_parked(task):
        return after
    after["status"] = TASK_STATUS[word]
    after["businessStatus"] = business_status(word, names)
    extensions = without_extension(task, "job-lease")
    if word == "pending":
        extensions.append(
            {
                "url": names.extension("job-lease"),
                "extension": [{"url": "until", "valueInstant": PARKED}, {"url": "attempt", "valueInteger": 0}],
            }
        )
    if extensions:
        after["extension"] = extensions
    else:
        after.pop("extension", None)
    if word == "failed":
        after["statusReason"] = {"text": "Set to failed by its user."}
    else:
        after.pop("statusReason", None)
    if word in ("completed", "failed", "archived"):
        start = (task.get("executionPeriod") or {}).get("start")
        after["executionPeriod"] = ({"start": start} if start else {}) | {"end": instant(now)}
    return after


def is_parked(task: Mapping[str, Any]) -> bool:
    """True when the Task waits for its user and not for a worker."""
    lease = own_extension(task, "job-lease") or {}
    return any(part.get("valueInstant") == PARKED for part in lease.get("extension") or ())


def requested_again(task: Mapping[str, Any], *, names: Names, now: datetime) -> Json:
    """The Task so that a worker analyses the case from the beginning; the insights it had are no outputs any more."""
    after = {name: value for name, value in task.items() if name not in ("statusReason", "executionPeriod")}
    extensions = without_extension(task, "job-lease")
    if extensions:
        after["extension"] = extensions
    else:
        after.pop("extension", None)
    after["status"] = "requested"
    after["businessStatus"] = business_status("processing", names)
    outputs = [item for item in task.get("output") or () if not is_insight(item)]
    if outputs:
        after["output"] = outputs
    else:
        after.pop("output", None)
    return touched(after, now)


def is_parameter(item: Mapping[str, Any], name: str) -> bool:
    """True when a Task.input or Task.output item is of the own type `name`."""
    type = item.get("type") or {}
    said = [*codes_in(type, "task-parameter"), type.get("text") or ""]
    return any(code.replace("_", "-") == name for code in said)


def is_insight(item: Mapping[str, Any]) -> bool:
    return any(is_parameter(item, name) for name in OUTPUTS)


def is_status(coding: Mapping[str, Any]) -> bool:
    return is_own(coding.get("system"), "CodeSystem", STATUS)
