"""MedMitra's words and the codes that stand for them in FHIR."""

from __future__ import annotations

from typing import Any, Final, Literal

CODE: Final = "medmitra-case"
"""Task.code of a case, in the own code system task-code."""
USER: Final = "urn:vendor:medmitra:user-id"
CASE: Final = "urn:vendor:medmitra:case-id"
STATUS: Final = "case-status"
"""The own code system of MedMitra's words for a case's status (Task.businessStatus)."""

Category = Literal["lab", "radiology"]
CATEGORIES: Final[dict[str, dict[str, Any]]] = {
    "lab": {
        "category": {
            "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
            "code": "LAB",
            "display": "Laboratory",
        },
        "type": {"system": "http://loinc.org", "code": "11502-2", "display": "Laboratory report"},
    },
    "radiology": {
        "category": {
            "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
            "code": "RAD",
            "display": "Radiology",
        },
        "type": {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"},
    },
}
INPUTS: Final = {"lab": "lab-file", "radiology": "radiology-file"}
"""Task.input.type of a file, by category."""

SOAP: Final = {
    "subjective": ("61150-9", "Subjective"),
    "objective": ("61149-1", "Objective"),
    "assessment": ("51848-0", "Assessment"),
    "plan": ("18776-5", "Plan of care note"),
}
"""Part of the note -> (LOINC code, display) of its section."""
PROGRESS_NOTE: Final = {"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}
ICD10CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"
CONFIDENCE: Final = "http://hl7.org/fhir/uv/aitransparency/StructureDefinition/AIconfidence"
GENDER_IDENTITY: Final = "http://hl7.org/fhir/StructureDefinition/patient-genderIdentity"
ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

#: MedMitra's word -> Task.status.
TASK_STATUS: Final = {
    "processing": "in-progress",
    "completed": "completed",
    "failed": "failed",
    "pending": "requested",
    "analyzing": "in-progress",
    "archived": "completed",
}
#: Task.status -> MedMitra's word, where no word of its own says more.
WORDS: Final = {
    "draft": "pending",
    "on-hold": "pending",
    "requested": "processing",
    "received": "processing",
    "accepted": "processing",
    "ready": "processing",
    "in-progress": "processing",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
    "rejected": "failed",
    "entered-in-error": "failed",
}
#: MedMitra's word for a gender -> Patient.gender; any other word is "other".
GENDERS: Final = {"male": "male", "female": "female", "transgender": "other", "other": "other", "unknown": "unknown"}
GENDER_WORDS: Final = {"male": "Male", "female": "Female", "other": "Other", "unknown": "Unknown"}

OUTPUTS: Final = {
    "soap-note": "Composition",
    "case-summary": "ClinicalImpression",
    "lab-summary": "DiagnosticReport",
    "radiology-summary": "DiagnosticReport",
    "primary-diagnosis": "Condition",
}
"""Task.output.type of an insight -> the resource type that it is."""
