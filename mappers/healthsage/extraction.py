"""What a worker does for a Task with the code cdt-extraction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs import Job, JobFailed, Outcome
from fhir_server.jobs.models import checked
from fhir_server.jobs.names import Json, Names, parameter
from fhir_server.processing.engines import ExtractRequest, ExtractResult, extractor
from fhir_server.r4b.outcome import Gone, NotFound
from fhir_server.security.caller import SYSTEM

from .projection import View, extractions_of
from .reading import note_in_binary
from .resources import Found, printable, resources_of, subject_of
from .tokens import count, output_tokens
from .translate import Asked, asked, document_reference, note_document, whole_date


async def extract(job: Job) -> Outcome:
    """The note's concepts as resources. Raises JobFailed when the Task names no note that can be read."""
    reference = document_reference(job.task)
    document = await _document(job, reference) if reference else None
    text = await note_in_binary(job.hub, document)
    request = asked(job.task, document, text)
    if request is None:
        raise JobFailed(
            "note-missing",
            "The Task has no note that can be read: give one as input 'note' (a string, or a reference to a "
            "DocumentReference with a plain text attachment) or as focus.",
        )
    engine = extractor({"extract": getattr(job.settings, "engine", "rules")})
    result = await asyncio.to_thread(
        engine.extract,
        ExtractRequest(
            text=request.note,
            specialty=request.specialty or "",
            letter_date=whole_date(request.letter_date),
            birth_date=whole_date(request.patient_dob),
        ),
    )
    subject = subject_of(job.task, document)
    attached: list[Json] = []
    if document is None or (reference and isinstance(parameter(job.task.get("input"), "note"), str)):
        document = _kept_note(job.id, request, subject)
        reference = f"DocumentReference/{document['id']}"
        attached.append(document)
    assert reference is not None
    found = Found(job.id, reference, subject, request.letter_date)
    resources = [checked(resource) for resource in resources_of(result, found, job.names)]
    return Outcome(
        engine=result.engine,
        version=result.engine_version,
        resources=resources,
        attached=attached,
        outputs=outputs_of(job.task, document, request, resources, result, job.names),
        derived_from=[reference],
        focus=reference,
    )


async def _document(job: Job, reference: str) -> Json:
    try:
        return await job.hub.read_resource(SYSTEM, *reference.split("/"))
    except (NotFound, Gone):
        raise JobFailed("note-missing", f"The Task's note {reference} does not exist.") from None


def _kept_note(task_id: str, request: Asked, subject: str | None) -> Json:
    """A note that stood only in the Task, as a document that the extractions can point into."""
    id = str(uuid5(NAMESPACE_URL, f"{task_id}/note"))
    specialty = printable(request.specialty) if request.specialty else None
    document = note_document(request.note, id=id, specialty=specialty, letter_date=request.letter_date)
    if subject:
        document["subject"] = {"reference": subject}
    return document


def outputs_of(
    task: Mapping[str, Any],
    document: Mapping[str, Any],
    request: Asked,
    resources: list[Json],
    result: ExtractResult,
    names: Names,
) -> list[Json]:
    """Task.output: a reference to each extraction, the edition of SNOMED CT, and the tokens used."""
    shown = extractions_of(View(task, document, resources, request.note))
    used_in = count(request.note) + count(request.specialty or "")
    used_out = output_tokens(shown)
    outputs: list[Json] = [
        {
            "type": names.concept("task-parameter", "extraction", "Extracted resource"),
            "valueReference": {"reference": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in resources
    ]
    if result.snomed_version:
        outputs.append(
            {
                "type": names.concept("task-parameter", "snomed-ct-version", "SNOMED CT edition"),
                "valueString": result.snomed_version,
            }
        )
    for name, value in (("input", used_in), ("output", used_out), ("total", used_in + used_out)):
        outputs.append(
            {
                "type": names.concept("task-parameter", f"usage-{name}-tokens", f"{name.capitalize()} tokens"),
                "valueInteger": value,
            }
        )
    return outputs
