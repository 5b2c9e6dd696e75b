"""The extensions, codes and the search parameter that this dialect brings, as resources a FHIR client can look up."""

from __future__ import annotations

from typing import Final

from fhir_server.conformance import code_system, complex_extension, extension
from fhir_server.jobs.names import Json, Names

from .studies import READ_STUDY

_STUDY: Final = ["ImagingStudy"]


def resources(names: Names) -> list[Json]:
    return [
        extension(
            names,
            "report-critical",
            "Critical report",
            "Whether the report was marked critical at sign-off.",
            ["DiagnosticReport"],
            "boolean",
        ),
        extension(
            names,
            "signed-label",
            "Original sign-off",
            "When an archived report was signed, in the words of its source; an instant is in issued.",
            ["DiagnosticReport"],
            "string",
        ),
        complex_extension(
            names,
            "snapshot-metadata",
            "Snapshot metadata",
            "Who was scanned, what and when, as it was known when the report was made: contained resources. On an "
            "ImagingStudy: the height, weight and age that were told with it.",
            ["DiagnosticReport", "ImagingStudy"],
            [
                ("patient", "Reference", 0, "The contained Patient."),
                ("study", "Reference", 0, "The contained ImagingStudy."),
                ("height", "Reference", 0, "The contained Observation of the height."),
                ("weight", "Reference", 0, "The contained Observation of the weight."),
                ("age", "string", 0, "The age at the study, when it was told."),
            ],
        ),
        extension(
            names,
            "local-time",
            "Local time",
            "Time of day of which no time zone is known, beside a dateTime that holds the date alone.",
            ["dateTime"],
            "time",
        ),
        complex_extension(
            names,
            "dicom-source",
            "What DICOM files said",
            "What the elements of the study were made of; an element that says something else was changed by somebody.",
            _STUDY,
            [
                (name, "string", 0, f"The {name} that files told.")
                for name in ("description", "location", "procedure", "reason", "referrer", "started")
            ],
        ),
        extension(names, "study-type", "Study type", "external: an imported archive study.", _STUDY, "code"),
        extension(names, "cancelled-at", "Cancelled at", "When the study was cancelled.", _STUDY, "instant"),
        extension(
            names, "clinical-history", "Clinical history", "Clinical history told with the study.", _STUDY, "string"
        ),
        extension(
            names,
            "technologist-technique",
            "Technique",
            "The imaging technique, as the technologist described it.",
            _STUDY,
            "string",
        ),
        extension(
            names, "express-customer", "Express customer", "For which customer the study is read.", _STUDY, "Reference"
        ),
        complex_extension(
            names,
            "study-metadata",
            "Study metadata",
            "A pair of the integrator's own.",
            _STUDY,
            [("key", "string", 1, "The key."), ("value", "string", 0, "The value; absent when it is empty.")],
        ),
        complex_extension(
            names,
            "prior-report",
            "Prior report",
            "An external report of an earlier study, for comparison.",
            _STUDY,
            [
                ("report-text", "string", 1, "The report."),
                ("external-study-id", "string", 0, "The earlier study, in the integrator's words."),
                ("modality", "string", 0, "Its modality."),
                ("study-date", "string", 0, "Its date."),
                ("study-description", "string", 0, "Its description."),
            ],
        ),
        *(
            extension(names, id, title, f"{title}, of a user of AutoScribe.", ["Practitioner"], type)
            for id, title, type in (
                ("user-can-create-reports", "May create reports", "boolean"),
                ("user-can-manage-studies", "May manage studies", "boolean"),
                ("user-has-dashboard-access", "Has access to the dashboard", "boolean"),
                ("user-clinic-role", "Role in the clinic", "string"),
                ("user-level", "Level of access", "string"),
            )
        ),
        code_system(
            names,
            "task-code",
            "Task codes",
            "What a Task asks for.",
            [(READ_STUDY, "Read an imaging study", "A radiologist (Task.owner) is to read Task.focus.")],
        ),
        _imaging_study_parameter(names),
    ]


def _imaging_study_parameter(names: Names) -> Json:
    """R4B has no search parameter for DiagnosticReport.imagingStudy; R5 has one, called study."""
    id = "diagnosticreport-imaging-study"
    return {
        "resourceType": "SearchParameter",
        "id": id,
        "url": f"{names.base}/SearchParameter/{id}",
        "name": "DiagnosticReportImagingStudy",
        "status": "active",
        "description": "Studies that a report is on.",
        "code": "imaging-study",
        "base": ["DiagnosticReport"],
        "type": "reference",
        "expression": "DiagnosticReport.imagingStudy",
        "target": ["ImagingStudy"],
    }
