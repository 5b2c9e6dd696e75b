"""What a worker does for a Task with the code medmitra-case."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from fhir_server.files.keep import content_of
from fhir_server.files.sniff import Kind, sniff
from fhir_server.files.text import FileUnreadable, text_of
from fhir_server.jobs import Job, JobFailed, Outcome
from fhir_server.jobs.models import checked
from fhir_server.jobs.names import Json
from fhir_server.jobs.provenance import engine_device
from fhir_server.jobs.states import instant
from fhir_server.processing.case import CaseDocument, CaseInsights, CaseRequest, DocumentKind, insights
from fhir_server.processing.engines import Document

from .insights import About, Diagnosis, Insights, Scored, id_of, outputs_of, resources_of
from .narrative import printable
from .projection import attachment_of, category_of, created_at, is_file, patient_age
from .reading import binary_of, documents_of, patient_of
from .translate import business_status

#: What a file may lack without the case being at fault: a picture holds no text.
_NO_TEXT: Final = frozenset({"no-text", "unsupported", "not-installed"})
_MAX_SUMMARY: Final = 4000


@dataclass(frozen=True, slots=True)
class ReadFile:
    """One file of a case and its text ('' when there is none in it)."""

    document: Json
    category: str
    text: str


async def analyse(job: Job) -> Outcome:
    """The insights of a case. Raises JobFailed when one of its files cannot be read."""
    patient, documents = await asyncio.gather(patient_of(job.hub, job.task), documents_of(job.hub, job.task))
    files = [document for document in documents if is_file(document)]
    read = [await _read(job, file, number, len(files)) for number, file in enumerate(files, 1)]
    await job.progress("Analysing the case")
    request = _request(job.task, patient, read)
    engine = getattr(job.settings, "engine", "rules")
    chosen = dict.fromkeys(("extract", "code", "summarize", "compose"), engine) if engine != "rules" else None
    found = await asyncio.to_thread(insights, request, chosen)
    name, version = found.summary_result.engine, found.summary_result.engine_version
    author = {
        "reference": f"Device/{engine_device(name, version, job.names)['id']}",
        "display": f"{name} {version}".strip(),
    }
    subject = f"Patient/{patient['id']}" if patient is not None else None
    now = job.clock()
    made = resources_of(_insights(found, read), About(job.id, subject, author), names=job.names, now=now)
    return Outcome(
        engine=name,
        version=version,
        resources=[checked(resource) for resource in made.values()],
        attached=[checked(_text_document(each, job.id, subject, instant(now))) for each in read if each.text],
        updated=_summarized(found, read),
        outputs=outputs_of(made, job.names),
        derived_from=[f"DocumentReference/{file['id']}" for file in files],
        business_status=business_status("completed", job.names),
    )


async def _read(job: Job, file: Json, number: int, of: int) -> ReadFile:
    await job.progress(f"Reading file {number} of {of}")
    category = category_of(file, job.task)
    attachment = attachment_of(file)
    content: bytes | None = None
    if isinstance(attachment.get("data"), str):
        try:
            content = base64.b64decode(attachment["data"])
        except ValueError:
            content = None
    else:
        for id in binary_of(file):
            content = await content_of(job.hub, id)
    what = f"File {number} of {of} ({'a laboratory' if category == 'lab' else 'a radiology'} file) cannot be read"
    if content is None:
        raise JobFailed("file-unreadable", f"{what}: its content is not on this server.")
    declared, title = str(attachment.get("contentType") or ""), str(attachment.get("title") or "")
    if sniff(content, filename=title, declared=declared).kind is Kind.DICOM:
        return ReadFile(file, category, "")
    try:
        text = (await asyncio.to_thread(text_of, content, filename=title, declared=declared)).text
    except FileUnreadable as error:
        if error.code in _NO_TEXT:
            return ReadFile(file, category, "")
        raise JobFailed("file-unreadable", f"{what}: {error}") from None
    return ReadFile(file, category, text)


def _request(task: Mapping[str, Any], patient: Mapping[str, Any] | None, files: Sequence[ReadFile]) -> CaseRequest:
    kinds: dict[str, DocumentKind] = {"lab": "lab", "radiology": "radiology"}
    documents = tuple(
        CaseDocument(
            Document(
                id=str(each.document["id"]),
                title=str(attachment_of(each.document).get("title") or each.category),
                text=each.text,
            ),
            kinds.get(each.category, "note"),
        )
        for each in files
        if each.text
    )
    gender = str((patient or {}).get("gender") or "")
    try:
        asked = date.fromisoformat(str(created_at(task))[:10])
    except ValueError:
        asked = None
    return CaseRequest(
        documents=documents,
        summary=str(task.get("description") or ""),
        age=patient_age(task, patient),
        sex=gender if gender in ("male", "female") else "",
        letter_date=asked,
    )


def _insights(found: CaseInsights, files: Sequence[ReadFile]) -> Insights:
    diagnosis = found.primary_diagnosis
    return Insights(
        summary=found.case_summary.comprehensive_summary,
        key_findings=found.case_summary.key_findings,
        lab_summary=found.case_summary.lab_summary,
        radiology_summary=found.case_summary.radiology_summary,
        summary_confidence=Scored(found.case_summary.confidence.value, found.case_summary.confidence.explanation),
        soap={name: getattr(found.soap_note, name) for name in ("subjective", "objective", "assessment", "plan")},
        soap_confidence=Scored(found.soap_note.confidence.value, found.soap_note.confidence.explanation),
        diagnosis=None
        if diagnosis is None
        else Diagnosis(
            name=diagnosis.primary_diagnosis,
            icd_code=diagnosis.icd_code or None,
            description=diagnosis.description,
            evidence=tuple((sentence, _where(sentence, files)) for sentence in diagnosis.supporting_evidence),
            confidence=Scored(diagnosis.confidence.value, diagnosis.confidence.explanation),
        ),
    )


def _where(sentence: str, files: Sequence[ReadFile]) -> str | None:
    """The document in which a sentence stands word for word."""
    return next((f"DocumentReference/{each.document['id']}" for each in files if sentence in each.text), None)


def _text_document(file: ReadFile, case_id: str, subject: str | None, now: str) -> Json:
    """The text that was read from a file, as a document of its own (IHE MHD allows one content in each)."""
    original = file.document
    document: Json = {
        "resourceType": "DocumentReference",
        "id": id_of(case_id, f"{original['id']}/text"),
        "status": "current",
        "date": now,
        "relatesTo": [{"code": "transforms", "target": {"reference": f"DocumentReference/{original['id']}"}}],
        "description": "Text of the file",
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "data": base64.b64encode(file.text.encode("utf-8", "replace")).decode("ascii"),
                    "title": f"{attachment_of(original).get('title') or original['id']} (text)",
                }
            }
        ],
        "context": {"related": [{"reference": f"Task/{case_id}"}]},
    }
    for name in ("type", "category"):
        if name in original:
            document[name] = original[name]
    if subject:
        document["subject"] = {"reference": subject}
    return document


def _summarized(found: CaseInsights, files: Sequence[ReadFile]) -> list[Json]:
    """The files' own documents with what the summary quotes of each, where they have no description yet."""
    changed = []
    for each in files:
        quotes = [quote.text for quote in found.summary_result.sentences if quote.document == each.document["id"]]
        said = printable("\n".join(dict.fromkeys(quotes)))[:_MAX_SUMMARY].strip()
        if said and not each.document.get("description"):
            changed.append(each.document | {"description": said})
    return changed
