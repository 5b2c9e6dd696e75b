"""The extensions and codes that this dialect brings, as resources that a FHIR client can look up."""

from __future__ import annotations

from fhir_server.conformance import code_system, extension
from fhir_server.jobs.names import Json, Names

from .words import CODE, STATUS


def resources(names: Names) -> list[Json]:
    return [
        extension(
            names,
            "original-gender",
            "Gender as it was given",
            "The word for the gender that a vendor's client sent, where Patient.gender alone does not say it.",
            ["Patient"],
            "string",
        ),
        extension(
            names,
            "confidence-explanation",
            "Explanation of a confidence",
            "A sentence that says what the confidence (extension AIconfidence) was computed from.",
            ["Composition", "ClinicalImpression", "Condition"],
            "string",
        ),
        code_system(
            names,
            "task-code",
            "Task codes",
            "What a Task asks this server's workers to do.",
            [(CODE, "MedMitra case", "Analyse a patient's case: its summary and its laboratory and radiology files.")],
        ),
        code_system(
            names,
            "task-parameter",
            "Task parameters",
            "Types of Task.input and Task.output.",
            [
                ("patient-age", "Age of the patient", "Input: whole years at the date of the case."),
                ("lab-file", "Laboratory file", "Input: a reference to a DocumentReference."),
                ("radiology-file", "Radiology file", "Input: a reference to a DocumentReference."),
                ("soap-note", "SOAP note", "Output: a reference to a Composition."),
                ("case-summary", "Case summary", "Output: a reference to a ClinicalImpression."),
                ("lab-summary", "Laboratory summary", "Output: a reference to a DiagnosticReport."),
                ("radiology-summary", "Radiology summary", "Output: a reference to a DiagnosticReport."),
                ("primary-diagnosis", "Primary diagnosis", "Output: a reference to a Condition."),
                ("imaging-study", "Imaging study", "Output: a reference to an ImagingStudy of a DICOM file."),
            ],
        ),
        code_system(
            names,
            STATUS,
            "Case status",
            "MedMitra's word for the status of a case (Task.businessStatus).",
            [
                ("processing", "Processing", "The analysis waits or runs."),
                ("completed", "Completed", "The analysis has ended well."),
                ("failed", "Failed", "The analysis could not be done."),
                ("pending", "Pending", "The case waits for its user."),
                ("analyzing", "Analyzing", "Somebody is at work on the case."),
                ("archived", "Archived", "The case is closed and put away."),
            ],
        ),
        code_system(
            names,
            "error-code",
            "Error codes",
            "Why a Task failed (Task.statusReason).",
            [
                (
                    "file-unreadable",
                    "File unreadable",
                    "A file of the case is broken, encrypted or too large to be read.",
                ),
            ],
        ),
    ]
