"""FHIR R4B resources as HealthSage's JSON. Pure.

Everything is read from the resources as they are now: what a FHIR client changed shows, what he refuted is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fhir_server.jobs.names import Json, own_extension, parameter, parameters, value_of
from fhir_server.jobs.states import instant

from .partial_dates import relative_to
from .resources import DERIVATION, RESULT_TYPES, SNOMED
from .translate import birth_date_of, letter_date_of, local, note_text, specialty_of, whole_date

DEFAULT_PATIENT: Final = "<subject_id>"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EDITION: Final = re.compile(r"/version/(\d{4})(\d{2})(\d{2})$")

STATUSES: Final = {
    "completed": "SUCCESS",
    "failed": "FAILURE",
    "cancelled": "FAILURE",
    "rejected": "FAILURE",
    "entered-in-error": "FAILURE",
}
#: Condition.verificationStatus -> the vendor's status; None: not an extraction any more.
_VERIFICATION: Final[Mapping[str, str | None]] = {
    "confirmed": "confirmed",
    "provisional": "provisional",
    "differential": "differential",
    "unconfirmed": "provisional",
    "refuted": None,
    "entered-in-error": None,
}
#: status of the other types -> the vendor's status; "?": the extension vendor-status says which uncertain one.
_STATUS: Final[Mapping[str, Mapping[str, str | None]]] = {
    "Procedure": {"not-done": None, "entered-in-error": None, "unknown": "?", "preparation": "provisional"},
    "Observation": {
        "cancelled": None,
        "entered-in-error": None,
        "unknown": "?",
        "registered": "?",
        "preliminary": "?",
    },
    "MedicationStatement": {"not-taken": None, "entered-in-error": None, "unknown": "?", "intended": "provisional"},
}
_DEFAULT_TYPES: Final = {
    "Condition": "disorder",
    "Procedure": "procedure",
    "Observation": "observable entity",
    "MedicationStatement": "substance",
}


@dataclass(frozen=True, slots=True)
class View:
    """All that the vendor's routes show of one Task."""

    task: Mapping[str, Any]
    document: Mapping[str, Any] | None
    resources: Sequence[Mapping[str, Any]]
    text: str | None = None
    """The note, when it is not inside the document (a Binary)."""

    @property
    def note(self) -> str | None:
        given = parameter(self.task.get("input"), "note")
        if isinstance(given, str):
            return given
        return self.text if self.text is not None else note_text(self.document)


def status_of(task: Mapping[str, Any]) -> str:
    """The vendor's word for the Task's status. What waits and what runs is both PENDING: clients poll while it is."""
    return STATUSES.get(str(task.get("status")), "PENDING")


def task_json(view: View) -> Json:
    """GET /tasks/{task_id}"""
    task = view.task
    status = status_of(task)
    done = status == "SUCCESS"
    return {
        "task_id": task["id"],
        "status": status,
        "letter_date": letter_date_of(task, view.document),
        "patient_dob": birth_date_of(task),
        "json_data": _json_data(view) if done else None,
        "usage": usage_of(task) if done else None,
    }


def usage_of(task: Mapping[str, Any]) -> Json:
    """Tokens of one Task, from its outputs."""
    tokens = {
        name: int(parameter(task.get("output"), f"usage-{name}-tokens") or 0) for name in ("input", "output", "total")
    }
    total = tokens["total"] or tokens["input"] + tokens["output"]
    return {"input_tokens": tokens["input"], "output_tokens": tokens["output"], "total_tokens": total}


def failure(task: Mapping[str, Any]) -> str:
    """Why a Task that is not SUCCESS and not PENDING ended, in a sentence."""
    reason = task.get("statusReason") or {}
    text = reason.get("text") or next((coding.get("display") for coding in reason.get("coding") or ()), None)
    return text if isinstance(text, str) and text else f"The task ended with the status {task.get('status')}."


def _json_data(view: View) -> Json:
    extractions = extractions_of(view)
    return {
        "extractions": extractions,
        "specialty": specialty_of(view.task, view.document),
        "snomed_ct_version": _edition(view),
    }


def _edition(view: View) -> str | None:
    for resource in view.resources:
        coding = snomed(_concept(resource))
        found = _EDITION.search(str((coding or {}).get("version", "")))
        if found:
            return "-".join(found.groups())
    said = parameter(view.task.get("output"), "snomed-ct-version")
    return said if isinstance(said, str) else None


def extractions_of(view: View) -> list[Json]:
    """The extractions, in the order of the text."""
    note, letter = view.note, letter_date_of(view.task, view.document)
    found = [each for each in (_extraction(resource, note, letter) for resource in view.resources) if each is not None]
    return sorted(found, key=lambda each: (each["start"] is None, each["start"] or 0, each["end"] or 0, each["id"]))


def shown(view: View) -> Iterator[Mapping[str, Any]]:
    """The resources of the extractions, in the same order."""
    by_id = {resource["id"]: resource for resource in view.resources}
    return (by_id[each["id"]] for each in extractions_of(view))


def _extraction(resource: Mapping[str, Any], note: str | None, letter: str | None) -> Json | None:
    status = _vendor_status(resource)
    if status is None:
        return None
    concept = _concept(resource)
    coding = snomed(concept) or {}
    date, end_date = _dates(resource)
    start, end = _span(resource)
    source = note[start:end] if note is not None and start is not None and end is not None else None
    kind = own_extension(resource, "concept-type")
    id = str(resource["id"])
    return {
        "id": id,
        "snomed_ct_code": coding.get("code"),
        "snomed_ct_term": coding.get("display") or concept.get("text"),
        "concept_type": (value_of(kind) if kind else None) or _DEFAULT_TYPES[resource["resourceType"]],
        "status": status,
        "date": date,
        "end_date": end_date,
        "relative_date": _relative(resource, "relative-date", date, letter),
        "relative_end_date": _relative(resource, "relative-end-date", end_date, letter),
        "source": source or concept.get("text"),
        "start": start,
        "end": end,
        "shortened_id": id[:8],
    }


def _vendor_status(resource: Mapping[str, Any]) -> str | None:
    type = str(resource.get("resourceType"))
    if type == "Condition":
        codes = [coding.get("code") for coding in (resource.get("verificationStatus") or {}).get("coding") or ()]
        return next((_VERIFICATION[code] for code in codes if code in _VERIFICATION), "confirmed")
    if type not in _STATUS:
        return None
    status = _STATUS[type].get(str(resource.get("status")), "confirmed")
    if status == "?":
        said = own_extension(resource, "vendor-status")
        value = value_of(said) if said else None
        return value if value in ("provisional", "differential") else "provisional"
    return status


def _concept(resource: Mapping[str, Any]) -> Json:
    """The concept that was extracted: `code`, but the value of an Observation that only says what was mentioned."""
    type = resource.get("resourceType")
    if type == "MedicationStatement":
        return resource.get("medicationCodeableConcept") or {}
    code: Json = resource.get("code") or {}
    if type == "Observation" and snomed(code) is None:
        return resource.get("valueCodeableConcept") or code
    return code


def snomed(concept: Mapping[str, Any]) -> Json | None:
    """The first SNOMED CT coding of a CodeableConcept."""
    return next((coding for coding in concept.get("coding") or () if coding.get("system") == SNOMED), None)


def _dates(resource: Mapping[str, Any]) -> tuple[str | None, str | None]:
    type = resource["resourceType"]
    if type == "Condition":
        onset = resource.get("onsetPeriod") or {}
        abatement = resource.get("abatementPeriod") or {}
        return (
            resource.get("onsetDateTime") or onset.get("start"),
            resource.get("abatementDateTime") or abatement.get("end") or abatement.get("start") or onset.get("end"),
        )
    name = "performed" if type == "Procedure" else "effective"
    period = resource.get(f"{name}Period") or {}
    return resource.get(f"{name}DateTime") or period.get("start"), period.get("end")


def _span(resource: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """[start, end) in code points, from derivation-reference; (None, None) without."""
    for extension in resource.get("extension") or ():
        if extension.get("url") == DERIVATION:
            parts = {part.get("url"): part for part in extension.get("extension") or ()}
            offset = (parts.get("offset") or {}).get("valueInteger")
            length = (parts.get("length") or {}).get("valueInteger")
            if isinstance(offset, int) and isinstance(length, int) and offset >= 0 and length >= 0:
                return offset, offset + length
    return None, None


def _relative(resource: Mapping[str, Any], name: str, date: str | None, letter: str | None) -> str | None:
    """What the extension says; but counted anew when the date that it was counted from is not the date any more."""
    extension = own_extension(resource, name)
    counted = relative_to(date, whole_date(letter))
    if extension is None:
        return counted
    said = value_of(extension)
    origin = str(extension.get("id", ""))
    if origin.startswith("from-") and origin != f"from-{date}":
        before = relative_to(origin.removeprefix("from-"), whole_date(letter))
        if said == before:
            return counted
    return said if isinstance(said, str) else counted


def output_references(task: Mapping[str, Any]) -> list[str]:
    """ "Condition/x" of every extraction that the Task's outputs name; each once."""
    references: dict[str, None] = {}
    for value in parameters(task.get("output"), "extraction"):
        if isinstance(value, Mapping):
            for type in RESULT_TYPES:
                found = local(value.get("reference"), type)
                if found:
                    references[found] = None
    return list(references)


def is_derived_from(resource: Mapping[str, Any], document: str) -> bool:
    """True when the resource's derivation-reference names `document` ("DocumentReference/x")."""
    for extension in resource.get("extension") or ():
        if extension.get("url") == DERIVATION:
            for part in extension.get("extension") or ():
                reference = part.get("valueReference")
                if (
                    isinstance(reference, Mapping)
                    and local(reference.get("reference"), "DocumentReference") == document
                ):
                    return True
    return False


def bundle(view: View, *, patient: str | None, base: str, now: datetime) -> Json:
    """GET /tasks/fhir/{task_id}: a collection Bundle whose subjects are `patient` (an id, or a reference as it is when
    it holds a "/"). What is stored keeps its own subject. Other references become absolute, under `base`."""
    patient = patient or DEFAULT_PATIENT
    subject = {"reference": patient if "/" in patient else f"Patient/{patient}"}
    entries = []
    for resource in shown(view):
        id = str(resource["id"])
        url = f"urn:uuid:{id}" if _UUID.fullmatch(id) else f"{base}/{resource['resourceType']}/{id}"
        copy = {name: _absolute(value, base) for name, value in resource.items()}
        entries.append({"fullUrl": url, "resource": copy | {"subject": subject}})
    id = str(view.task["id"])
    rendered: Json = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": instant(now),
    }
    if _UUID.fullmatch(id):
        rendered["identifier"] = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id}"}
    else:
        rendered["identifier"] = {"system": "urn:ietf:rfc:3986", "value": f"{base}/Task/{id}"}
    if entries:
        rendered["entry"] = entries
    return rendered


_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?")


def _absolute(value: Any, base: str) -> Any:
    """The element with its relative references made absolute, so that they lead somewhere from inside the Bundle."""
    if isinstance(value, Mapping):
        return {
            name: f"{base}/{part}"
            if name == "reference" and isinstance(part, str) and _RELATIVE.fullmatch(part)
            else _absolute(part, base)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [_absolute(part, base) for part in value]
    return value


def references_of(resources: Iterable[Mapping[str, Any]]) -> set[str]:
    """ "type/id" of each resource."""
    return {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
