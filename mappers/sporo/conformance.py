"""The codes and the templates that this dialect brings, as resources that a FHIR client can look up."""

from __future__ import annotations

from typing import Final

from fhir_server.conformance import code_system
from fhir_server.jobs.names import Json, Names

from . import templates
from .translate import AUDIO, ICD10, KINDS, TEXT, TITLES, UPLOAD

_PARAMETERS: Final = {
    "file": "Input: a reference to a DocumentReference (or Binary) to be summarized.",
    "user_input": "Input: a text to be summarized, as a string.",
    "text": "Input: a clinical text to be coded, as a string or a reference to a DocumentReference.",
    "audio": "Input: a reference to a Binary, Media or DocumentReference with a recording.",
    "template_id": "Input: a reference to the Questionnaire whose sections the note is to have.",
    "extra_information": "Input: context or instructions, as a string.",
    "webhook_url": "Input: where to POST the result, as a url.",
    "metadata": "Input: whatever else the client sent, as the text of a JSON object.",
    "response": "Output: a reference to the DocumentReference with the summary.",
    "unread_file": "Output: which file could not be read, and why.",
    "icd10_code": "Output: a reference to a Condition with the code.",
    "transcript": "Output: a reference to the DocumentReference with what was said.",
    "note": "Output: a reference to the DocumentReference with the note.",
}
_CODES: Final = {
    UPLOAD: "Summarize the documents that are its inputs.",
    TEXT: "Summarize the text that is its input.",
    ICD10: "Find the ICD-10-CM codes of a text.",
    AUDIO: "Write down what is said in a recording, and make a note of it by a template.",
}
ERRORS: Final = {
    "summarization_failed": ("Summary failed", "A summary could not be made."),
    "unsupported_file_type": ("Unsupported file type", "None of the files is of a kind that can be read."),
    "unreadable_file": ("Unreadable file", "None of the files can be read: damaged, encrypted, or without text."),
    "rag_service_error": ("Coding failed", "ICD-10 codes could not be found."),
    "transcription_failed": ("Transcription failed", "What is said in the recording could not be written down."),
    "note_generation_failed": ("Note failed", "A note could not be made."),
    "input_missing": ("Input missing", "The Task lacks an input, or names one that is not there."),
}


def resources(names: Names) -> list[Json]:
    return [
        code_system(
            names,
            "task-code",
            "Task codes",
            "What a Task asks this server's workers to do.",
            [(code, KINDS[code], meaning) for code, meaning in _CODES.items()],
        ),
        code_system(
            names,
            "task-parameter",
            "Task parameters",
            "Types of Task.input and Task.output.",
            [(code, TITLES[code], meaning) for code, meaning in _PARAMETERS.items()],
        ),
        code_system(
            names,
            "error-code",
            "Error codes",
            "Why a Task failed (Task.statusReason).",
            [(code, title, meaning) for code, (title, meaning) in ERRORS.items()],
        ),
        *templates.shipped(names),
    ]
