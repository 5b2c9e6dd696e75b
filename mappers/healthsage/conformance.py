"""The extensions and codes that this dialect brings, as resources that a FHIR client can look up."""

from __future__ import annotations

from fhir_server.conformance import code_system, extension
from fhir_server.jobs.names import Json, Names

from .resources import RESULT_TYPES


def resources(names: Names) -> list[Json]:
    types = list(RESULT_TYPES)
    return [
        extension(
            names,
            "concept-type",
            "Concept type",
            "Semantic tag of the extracted concept, as HealthSage's JSON calls it: disorder, finding, procedure, ...",
            types,
            "code",
        ),
        extension(
            names,
            "relative-date",
            "Relative date",
            'When, counted from the letter: "(Y-4)" is four years before the letter\'s year, M months, D days. '
            "The extension's id says from which date it was counted.",
            types,
            "string",
        ),
        extension(
            names,
            "relative-end-date",
            "Relative end date",
            "When it ended, counted from the letter, as relative-date.",
            types,
            "string",
        ),
        extension(
            names,
            "vendor-status",
            "Vendor's status",
            "How sure the text is where the resource's own status cannot say so: provisional or differential.",
            [type for type in types if type != "Condition"],
            "code",
        ),
        code_system(
            names,
            "task-code",
            "Task codes",
            "What a Task asks this server's workers to do.",
            [("cdt-extraction", "Clinical concept extraction", "Find coded clinical concepts in a note.")],
        ),
        code_system(
            names,
            "task-parameter",
            "Task parameters",
            "Types of Task.input and Task.output.",
            [
                ("note", "Clinical note", "Input: the note, as a string or a reference to a DocumentReference."),
                ("specialty", "Medical specialty", "Input: the specialty of the letter, as a string."),
                ("letter-date", "Date of the letter", "Input: a date; relative dates are counted from it."),
                ("patient-dob", "Patient's date of birth", "Input: a date."),
                ("extraction", "Extracted resource", "Output: a reference to what was found in the note."),
                ("snomed-ct-version", "SNOMED CT edition", "Output: date of the edition that the codes are from."),
                ("usage-input-tokens", "Input tokens", "Output: tokens of the note and the specialty."),
                ("usage-output-tokens", "Output tokens", "Output: tokens of the extractions; these are billed."),
                ("usage-total-tokens", "Total tokens", "Output: input and output tokens together."),
            ],
        ),
        code_system(
            names,
            "error-code",
            "Error codes",
            "Why a Task failed (Task.statusReason).",
            [("note-missing", "Note missing", "The Task names no note that can be read.")],
        ),
    ]
