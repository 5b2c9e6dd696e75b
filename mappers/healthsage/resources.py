"""What an engine found in a note, as FHIR R4B resources. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs.names import Json, Names
from fhir_server.processing.engines import ExtractResult, Mention

from .partial_dates import relative_to
from .translate import local, whole_date

SNOMED: Final = "http://snomed.info/sct"
ICD10CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
DERIVATION: Final = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"

#: The semantic tag of a concept's fully specified name -> the resource type it becomes; any other: Observation.
TYPES: Final = {
    "disorder": "Condition",
    "finding": "Condition",
    "situation": "Condition",
    "event": "Condition",
    "morphologic abnormality": "Condition",
    "procedure": "Procedure",
    "regime/therapy": "Procedure",
    "substance": "MedicationStatement",
    "product": "MedicationStatement",
    "medicinal product": "MedicationStatement",
    "medicinal product form": "MedicationStatement",
    "clinical drug": "MedicationStatement",
    "observable entity": "Observation",
}
#: Where a FHIR client looks for what is extracted, and where the vendor's routes look for what a FHIR client added.
RESULT_TYPES: Final = ("Condition", "Procedure", "Observation", "MedicationStatement")


@dataclass(frozen=True, slots=True)
class Found:
    """Where mentions come from: the note, whose it is (None: unknown), and the letter's date."""

    task_id: str
    document: str
    subject: str | None
    letter_date: str | None


def resources_of(result: ExtractResult, found: Found, names: Names) -> list[Json]:
    """One resource a mention, in the order of the text. Their ids depend on the Task and the mention alone, so that a
    second attempt at the same Task makes the same resources."""
    return [
        _resource(mention, ordinal, result.snomed_version_uri if result.snomed_version else None, found, names)
        for ordinal, mention in enumerate(result.mentions)
    ]


def subject_of(task: dict[str, Any], document: dict[str, Any] | None) -> str | None:
    """ "Patient/x" that the Task (its `for`) or its document names."""
    for reference in (task.get("for"), (document or {}).get("subject")):
        if isinstance(reference, dict):
            found = local(reference.get("reference"), "Patient")
            if found:
                return found
    return None


def _resource(mention: Mention, ordinal: int, version: str | None, found: Found, names: Names) -> Json:
    type = TYPES.get(mention.concept_type, "Observation")
    resource: Json = {
        "resourceType": type,
        "id": str(uuid5(NAMESPACE_URL, f"{found.task_id}/{ordinal}/{mention.start}/{mention.code}")),
        "extension": _extensions(mention, found, names, own_status=type != "Condition"),
    }
    _BUILDERS[type](resource, mention, _concept(mention, version), found)
    return resource


def _extensions(mention: Mention, found: Found, names: Names, *, own_status: bool) -> list[Json]:
    extensions: list[Json] = [{"url": names.extension("concept-type"), "valueCode": mention.concept_type}]
    if own_status and mention.status != "confirmed":
        extensions.append({"url": names.extension("vendor-status"), "valueCode": mention.status})
    letter = whole_date(found.letter_date)
    for name, relative, absolute in (
        ("relative-date", mention.relative_date, mention.date),
        ("relative-end-date", mention.relative_end_date, mention.end_date),
    ):
        said = relative or relative_to(absolute, letter)
        if said:
            extension: Json = {"url": names.extension(name), "valueString": said}
            if absolute:
                # remembers which date this was counted from: it is counted anew once that date is edited
                extension = {"id": f"from-{absolute}", **extension}
            extensions.append(extension)
    extensions.append(
        {
            "url": DERIVATION,
            "extension": [
                {"url": "reference", "valueReference": {"reference": found.document}},
                {"url": "path", "valueString": "DocumentReference.content[0].attachment.data"},
                {"url": "offset", "valueInteger": mention.start},
                {"url": "length", "valueInteger": mention.end - mention.start},
            ],
        }
    )
    return extensions


def _concept(mention: Mention, version: str | None) -> Json:
    coding: Json = {"system": mention.system}
    if version and mention.system == SNOMED:
        coding["version"] = version
    coding |= {"code": mention.code, "display": mention.display}
    codings = [coding]
    if mention.icd10cm:
        second = {"system": ICD10CM, "code": mention.icd10cm}
        if mention.icd10cm_display:
            second["display"] = mention.icd10cm_display
        codings.append(second)
    return {"coding": codings, "text": printable(mention.source)}


def printable(text: str) -> str:
    """Text that a FHIR string may hold: control characters become spaces."""
    return "".join(char if char >= " " or char in "\t\r\n" else " " for char in text)


def _subject(found: Found) -> Json:
    if found.subject:
        return {"reference": found.subject}
    return {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}


def _when(resource: Json, name: str, mention: Mention) -> None:
    if mention.end_date:
        period = {"start": mention.date} if mention.date else {}
        resource[f"{name}Period"] = period | {"end": mention.end_date}
    elif mention.date:
        resource[f"{name}DateTime"] = mention.date


def _condition(resource: Json, mention: Mention, concept: Json, found: Found) -> None:
    if mention.end_date:
        resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": "resolved"}]}
    elif not mention.historical:
        resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": "active"}]}
    resource["verificationStatus"] = {"coding": [{"system": VERIFICATION, "code": mention.status}]}
    resource["code"] = concept
    resource["subject"] = _subject(found)
    if mention.date:
        resource["onsetDateTime"] = mention.date
    if mention.end_date:
        resource["abatementDateTime"] = mention.end_date
    if found.letter_date:
        resource["recordedDate"] = found.letter_date
    resource["evidence"] = [{"detail": [{"reference": found.document}]}]


def _procedure(resource: Json, mention: Mention, concept: Json, found: Found) -> None:
    resource["status"] = "completed" if mention.status == "confirmed" else "unknown"
    resource["code"] = concept
    resource["subject"] = _subject(found)
    _when(resource, "performed", mention)


def _observation(resource: Json, mention: Mention, concept: Json, found: Found) -> None:
    resource["status"] = "final" if mention.status == "confirmed" else "preliminary"
    if mention.concept_type == "observable entity":
        resource["code"] = concept
    else:
        resource["code"] = {"text": f"Mentioned in the note: {mention.concept_type}"}
    resource["subject"] = _subject(found)
    _when(resource, "effective", mention)
    if mention.concept_type != "observable entity":
        resource["valueCodeableConcept"] = concept
    elif mention.value:
        resource["valueString"] = printable(mention.value)
    resource["derivedFrom"] = [{"reference": found.document}]


def _medication(resource: Json, mention: Mention, concept: Json, found: Found) -> None:
    resource["status"] = "active" if mention.status == "confirmed" else "unknown"
    resource["medicationCodeableConcept"] = concept
    resource["subject"] = _subject(found)
    _when(resource, "effective", mention)
    if found.letter_date:
        resource["dateAsserted"] = found.letter_date
    resource["derivedFrom"] = [{"reference": found.document}]


_BUILDERS: Final = {
    "Condition": _condition,
    "Procedure": _procedure,
    "Observation": _observation,
    "MedicationStatement": _medication,
}
