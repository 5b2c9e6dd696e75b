"""What a worker does for Sporo's Tasks, and what the text route does at once."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from fhir_server.files import FileUnreadable, text_of
from fhir_server.files.keep import content_of
from fhir_server.jobs import Job, JobFailed, Outcome
from fhir_server.jobs.models import checked
from fhir_server.jobs.names import Json, Names, parameter, parameters
from fhir_server.processing.engines import (
    Capability,
    CodeEngine,
    CodeRequest,
    CodeResult,
    ComposeEngine,
    ComposeRequest,
    ComposeResult,
    Document,
    Engine,
    SummarizeEngine,
    SummarizeRequest,
    SummarizeResult,
    TranscribeEngine,
    TranscribeRequest,
    TranscribeResult,
    UnknownEngine,
    engine_for,
)

from . import results, templates
from .reading import read, template_of, text_of_document, with_vendor_id
from .translate import day_of, extra_information_of, item, local, subject_of

if TYPE_CHECKING:
    from fhir_server.hub import Hub

log = logging.getLogger(__name__)

MAX_CHARACTERS: Final = 1_000_000
"""Characters of text that one summary is made from."""
NO_SUMMARY: Final = ("summarization_failed", "Failed to summarize the documents")
NO_CODES: Final = ("rag_service_error", "ICD-10 upstream service error")
NO_TRANSCRIPT: Final = ("transcription_failed", "Failed to transcribe audio")
NO_NOTE: Final = ("note_generation_failed", "Failed to generate note")


async def summarize_upload(job: Job) -> Outcome:
    """The files that the Task names, as one summary. A file that cannot be read does not spoil the others."""
    await with_vendor_id(job.hub, job.task)
    references = [
        reference
        for value in parameters(job.task.get("input"), "file")
        if (reference := local(value, "DocumentReference", "Binary"))
    ]
    if not references:
        raise JobFailed("input_missing", "The Task names no file: give one as input 'file'.")
    documents: list[Document] = []
    unread: list[tuple[int, str, str, str]] = []
    for number, reference in enumerate(references, 1):
        title = f"File {number}"
        try:
            documents.append(await _document(job.hub, reference, title))
        except FileUnreadable as error:
            title = await _title(job.hub, reference) or title
            unread.append((number, title, error.code, str(error)))
        if len(references) > 1:
            await job.progress(f"Read {number} of {len(references)} files")
    if not documents:
        code = "unsupported_file_type" if all(code == "unsupported" for _, _, code, _ in unread) else "unreadable_file"
        # no names here: a file's name may be a patient's
        reasons = " ".join(f"File {number}: {reason}" for number, _, _, reason in unread[:20])
        raise JobFailed(code, f"None of the files could be read. {reasons}")
    documents, cut = _within(documents)
    result = await summarized(documents, extra_information_of(job.task) or "", job.settings)
    notes = [f"{title}: {reason}" for _, title, _, reason in unread]
    notes += [f"{title}: only the first {kept:,} characters were read." for title, kept in cut]
    text = result.text + (
        "\n\nFiles that could not be read, or not all of it:\n- " + "\n- ".join(notes) if notes else ""
    )
    outcome = summary_outcome(
        job.id, result, text, names=job.names, subject=subject_of(job.task), now=job.clock(), sources=references
    )
    more = [
        item(job.names, "unread_file", "valueString", f"File {number}: {reason}") for number, _, _, reason in unread
    ]
    return _replaced(outcome, outputs=[*outcome.outputs, *more])


def _within(documents: Sequence[Document]) -> tuple[list[Document], list[tuple[str, int]]]:
    """As much of the documents as is summarized, and (title, characters) of those that were cut."""
    left, kept, cut = MAX_CHARACTERS, [], []
    for document in documents:
        text = document.text[:left]
        left -= len(text)
        if len(text) < len(document.text):
            cut.append((document.title, len(text)))
        if text:
            kept.append(Document(document.id, document.title, text, document.date))
    return kept, cut


async def summarize_text(job: Job) -> Outcome:
    """The text that stands in the Task, as a summary."""
    await with_vendor_id(job.hub, job.task)
    text = await _text(job, "user-input", "text")
    result = await summarized([Document("0", "Text", text)], extra_information_of(job.task) or "", job.settings)
    return summary_outcome(
        job.id, result, result.text, names=job.names, subject=subject_of(job.task), now=job.clock(), sources=()
    )


async def code_text(job: Job) -> Outcome:
    """The ICD-10-CM codes of the text that stands in the Task, as Conditions."""
    await with_vendor_id(job.hub, job.task)
    text = await _text(job, "text", "user-input")
    now, subject = job.clock(), subject_of(job.task)
    try:
        engine = cast(CodeEngine, _engine("code", job.settings))
        request = CodeRequest(text=text, letter_date=day_of(job.task.get("authoredOn")))
        result: CodeResult = await asyncio.to_thread(engine.code, request)
    except Exception as error:
        raise _failed(NO_CODES, error) from error
    conditions = [
        checked(results.condition(coded, task_id=job.id, ordinal=ordinal, subject=subject, now=now))
        for ordinal, coded in enumerate(result.codes)
    ]
    return Outcome(
        engine=result.engine,
        version=result.engine_version,
        resources=conditions,
        outputs=[
            item(job.names, "icd10_code", "valueReference", {"reference": f"Condition/{condition['id']}"})
            for condition in conditions
        ],
    )


async def write_note(job: Job) -> Outcome:
    """What is said in a recording, and a note of it with the sections of a template."""
    await with_vendor_id(job.hub, job.task)
    audio, media, source = await _audio(job)
    template = await _template(job)
    try:
        transcriber = cast(TranscribeEngine, _engine("transcribe", job.settings))
        heard: TranscribeResult = await asyncio.to_thread(
            transcriber.transcribe, TranscribeRequest(audio=audio, content_type=media)
        )
    except Exception as error:
        raise _failed(NO_TRANSCRIPT, error) from error
    if not heard.text.strip():
        raise JobFailed(*NO_TRANSCRIPT)
    await job.progress("The transcript is done; the note is being written")
    now, subject = job.clock(), subject_of(job.task)
    try:
        composer = cast(ComposeEngine, _engine("compose", job.settings))
        request = ComposeRequest(
            text=heard.text,
            sections=templates.sections(template),
            title=str(template.get("title") or ""),
            letter_date=day_of(job.task.get("authoredOn")),
        )
        note: ComposeResult = await asyncio.to_thread(composer.compose, request)
    except Exception as error:
        raise _failed(NO_NOTE, error) from error
    transcript = results.text_document(
        heard.text,
        "transcript",
        task_id=job.id,
        type={"text": "transcript"},
        subject=subject,
        now=now,
        sources=[source] if source.startswith("DocumentReference/") else (),
    )
    written = results.text_document(
        note.text,
        "note",
        task_id=job.id,
        type=results.note_type(template),
        subject=subject,
        now=now,
        sources=[f"DocumentReference/{transcript['id']}"],
        title=str(template.get("title") or "Note"),
    )
    return Outcome(
        engine=heard.engine,
        version=heard.engine_version,
        resources=[checked(transcript), checked(written)],
        outputs=[
            item(job.names, name, "valueReference", {"reference": f"DocumentReference/{document['id']}"})
            for name, document in (("transcript", transcript), ("note", written))
        ],
        derived_from=[source, f"Questionnaire/{template['id']}"],
    )


async def summarized(documents: Sequence[Document], focus: str, settings: Any) -> SummarizeResult:
    """A summary of the documents. Raises JobFailed."""
    try:
        engine = cast(SummarizeEngine, _engine("summarize", settings))
        return await asyncio.to_thread(engine.summarize, SummarizeRequest(documents=tuple(documents), focus=focus))
    except Exception as error:
        raise _failed(NO_SUMMARY, error) from error


def summary_outcome(
    task_id: str,
    result: SummarizeResult,
    text: str,
    *,
    names: Names,
    subject: str | None,
    now: datetime,
    sources: Sequence[str],
) -> Outcome:
    """A summary as what the job of a Task made."""
    document = results.text_document(
        text,
        "response",
        task_id=task_id,
        type={"coding": [dict(results.SUMMARY)]},
        subject=subject,
        now=now,
        sources=[source for source in sources if source.startswith("DocumentReference/")],
        title="Summary",
    )
    return Outcome(
        engine=result.engine,
        version=result.engine_version,
        resources=[document],
        outputs=[item(names, "response", "valueReference", {"reference": f"DocumentReference/{document['id']}"})],
        derived_from=list(sources),
    )


def _engine(capability: Capability, settings: Any) -> Engine:
    """The engine that the settings choose, or the default one for what that cannot do."""
    try:
        return engine_for(capability, {capability: getattr(settings, "engine", "rules")})
    except UnknownEngine:
        return engine_for(capability)


def _failed(words: tuple[str, str], error: Exception) -> JobFailed:
    """The vendor's words for a client; the true reason is for the log."""
    log.warning("a job failed: %s", words[0], exc_info=error)
    return JobFailed(*words)


def _replaced(outcome: Outcome, *, outputs: Sequence[Json]) -> Outcome:
    return Outcome(
        engine=outcome.engine,
        version=outcome.version,
        resources=outcome.resources,
        outputs=outputs,
        derived_from=outcome.derived_from,
    )


async def _title(hub: Hub, reference: str) -> str | None:
    """What the DocumentReference of a file calls it."""
    type, _, id = reference.partition("/")
    resource = await read(hub, type, id) if type == "DocumentReference" else None
    contents = (resource or {}).get("content") or ()
    return next(
        (str(each["attachment"]["title"]) for each in contents if (each.get("attachment") or {}).get("title")), None
    )


async def _document(hub: Hub, reference: str, title: str) -> Document:
    """The text of a file, under its name. Raises FileUnreadable."""
    type, _, id = reference.partition("/")
    if type == "Binary":
        content = await content_of(hub, id)
        if content is None:
            raise FileUnreadable("broken", "It is not there any more.")
        text = await asyncio.to_thread(text_of, content)
        return Document(reference, title, text.text)
    resource = await read(hub, type, id)
    if resource is None or resource.get("status") == "entered-in-error":
        raise FileUnreadable("broken", "It is not there any more.")
    first: Mapping[str, Any] = next(
        (each["attachment"] for each in resource.get("content") or () if each.get("attachment")), {}
    )
    title = str(first.get("title") or resource.get("description") or title)
    media = str(first.get("contentType") or "").partition(";")[0].strip()
    binary = local(first.get("url"), "Binary")
    if binary is None:
        said = await text_of_document(hub, resource)
        if said is not None and said.strip():
            return Document(reference, title, said)
        content = _inline(first)
    else:
        content = await content_of(hub, binary.partition("/")[2])
    if content is None:
        raise FileUnreadable("broken", "It is not there any more.")
    found = await asyncio.to_thread(text_of, content, filename=title, declared=media)
    return Document(reference, title, found.text)


def _inline(attachment: Mapping[str, Any]) -> bytes | None:
    try:
        return base64.b64decode(attachment["data"]) if "data" in attachment else None
    except (binascii.Error, ValueError, TypeError):
        return None


async def _text(job: Job, *inputs: str) -> str:
    """The text that the Task gives as one of its inputs, or as its focus."""
    for name in inputs:
        said = parameter(job.task.get("input"), name)
        if isinstance(said, str) and said.strip():
            return said
    for value in (*(parameter(job.task.get("input"), name) for name in inputs), job.task.get("focus")):
        reference = local(value, "DocumentReference")
        if reference:
            try:
                return (await _document(job.hub, reference, "Text")).text
            except FileUnreadable as error:
                raise JobFailed("unreadable_file", str(error)) from None
    raise JobFailed("input_missing", f"The Task has no text: give one as input {inputs[0].replace('-', '_')!r}.")


async def _audio(job: Job) -> tuple[bytes, str, str]:
    """(content, media type, reference) of the recording that the Task names."""
    value = parameter(job.task.get("input"), "audio")
    reference = local(value, "Binary", "Media", "DocumentReference")
    if reference is None:
        raise JobFailed("input_missing", "The Task names no recording: give one as input 'audio'.")
    type, _, id = reference.partition("/")
    resource = await read(job.hub, type, id) if type != "Binary" else None
    attachment: Mapping[str, Any] = {}
    if type == "Media":
        attachment = (resource or {}).get("content") or {}
    elif type == "DocumentReference":
        attachment = next((each.get("attachment") or {} for each in (resource or {}).get("content") or ()), {})
    media = str(attachment.get("contentType") or "")
    binary = reference if type == "Binary" else local(attachment.get("url"), "Binary")
    content = await content_of(job.hub, binary.partition("/")[2]) if binary else _inline(attachment)
    if not content:
        raise JobFailed("input_missing", "The recording that the Task names is not there.")
    return content, media, reference


async def _template(job: Job) -> Json:
    """The Questionnaire that the Task names; the general template when it names none."""
    value = parameter(job.task.get("input"), "template-id")
    reference = local(value, "Questionnaire")
    if reference is None and isinstance(value, str):
        found = await template_of(job.hub, value.rpartition("/")[2])
    else:
        id = reference.partition("/")[2] if reference else templates.template_id("general")
        found = await read(job.hub, "Questionnaire", id)
    if found is None:
        raise JobFailed("input_missing", "The template that the Task names is not there.")
    return found
