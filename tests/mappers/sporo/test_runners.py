"""What a worker does for each kind of Task, with engines that say what they are told to."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.jobs import Job, JobFailed, Outcome
from fhir_server.jobs.names import Names
from fhir_server.jobs.provenance import labelled
from fhir_server.processing.engines import (
    CodedDiagnosis,
    CodeResult,
    ComposeRequest,
    ComposeResult,
    NotInstalled,
    SummarizeRequest,
    SummarizeResult,
    TranscribeRequest,
    TranscribeResult,
)
from mappers.sporo import runners, templates
from mappers.sporo.projection import View, document_text, output_reference, vendor_id
from mappers.sporo.translate import AUDIO, ICD10, TEXT, UPLOAD
from tests.files.building import encrypted_pdf, pdf, wav
from tests.jobs.memory_hub import MemoryHub

NAMES = Names("http://test/fhir")
NOW = datetime(2026, 4, 21, tzinfo=UTC)
Json = dict[str, Any]


class FakeEngine:
    name, version = "fake", "1"
    capabilities = frozenset({"summarize", "code", "compose", "transcribe"})

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None
        self.heard = "Doctor: what brings you? Patient: a cough."

    def _take(self, request: Any) -> Any:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return request

    def summarize(self, request: SummarizeRequest) -> SummarizeResult:
        self._take(request)
        return SummarizeResult(" | ".join(each.text for each in request.documents), (), "fake", "1")

    def code(self, request: Any) -> CodeResult:
        self._take(request)
        return CodeResult((CodedDiagnosis("Hypertension", "I10", "Title", request.text[:12], 0, 12, 1.0),), "fake", "1")

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        self._take(request)
        return TranscribeResult(self.heard, (), 1.0, "fake", "1")

    def compose(self, request: ComposeRequest) -> ComposeResult:
        self._take(request)
        return ComposeResult(f"{request.title}: {', '.join(each.title for each in request.sections)}", (), "fake", "1")


class Site:
    def __init__(self, engine: FakeEngine) -> None:
        self.hub, self.engine, self.said = MemoryHub(), engine, []  # type: ignore[var-annotated]
        for template in templates.shipped(NAMES):
            self.hub._write(template)
        self.hub.store.read = self._read  # type: ignore[attr-defined]

    async def _read(self, type: str, id: str) -> Any:
        return next((v for v in reversed(self.hub.store.versions) if (v.type, v.id) == (type, id)), None)

    async def run(self, code: str, *inputs: Json, **more: Any) -> Outcome:
        task = {
            "resourceType": "Task",
            "id": "fhir-made-1",
            "status": "in-progress",
            "intent": "order",
            "code": {"coding": [{"code": code}]},
            "input": list(inputs),
        } | more
        self.hub._write(task)

        async def progress(sentence: str) -> None:
            self.said.append(sentence)

        job = Job(
            task=await self.hub.read_resource(None, "Task", "fhir-made-1"),
            attempt=1,
            hub=self.hub,  # type: ignore[arg-type]
            names=NAMES,
            settings=None,
            clock=lambda: NOW,
            progress=progress,
        )
        runner = {
            UPLOAD: runners.summarize_upload,
            TEXT: runners.summarize_text,
            ICD10: runners.code_text,
            AUDIO: runners.write_note,
        }[code]
        return await runner(job)

    def binary(self, id: str, content: bytes, media: str = "text/plain") -> Json:
        data = base64.b64encode(content).decode()
        self.hub._write({"resourceType": "Binary", "id": id, "contentType": media, "data": data})
        return given("file", valueReference={"reference": f"Binary/{id}"})


def given(code: str, **value: Any) -> Json:
    return {"type": {"coding": [{"code": code}]}} | value


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    engine = FakeEngine()
    monkeypatch.setattr(runners, "engine_for", lambda capability, chosen=None: engine)
    return Site(engine)


async def failed(site: Site, code: str, *inputs: Json) -> JobFailed:
    with pytest.raises(JobFailed) as raised:
        await site.run(code, *inputs)
    return raised.value


async def test_files_become_one_summary(site: Site) -> None:
    outcome = await site.run(UPLOAD, site.binary("a", b"First text."), site.binary("b", pdf("Second text, in a PDF.")))
    [document] = outcome.resources
    assert document_text(document) == "First text. | Second text, in a PDF."
    assert document["type"]["coding"][0]["code"] == "34133-9"
    assert output_reference({"output": outcome.outputs}, "response") == f"DocumentReference/{document['id']}"
    assert outcome.derived_from == ["Binary/a", "Binary/b"]


async def test_what_the_client_wants_to_know_is_the_focus(site: Site) -> None:
    await site.run(UPLOAD, site.binary("a", b"x"), given("extra_information", valueString="the heart"))
    assert site.engine.asked[0].focus == "the heart"


async def test_a_file_that_cannot_be_read_does_not_spoil_the_others(site: Site) -> None:
    outcome = await site.run(UPLOAD, site.binary("a", b"Good."), site.binary("b", encrypted_pdf("x", "secret")))
    text = document_text(outcome.resources[0])
    assert text is not None
    assert text.startswith("Good.")
    assert "File 2: The PDF is encrypted" in text
    assert any("unread_file" in str(output["type"]) for output in outcome.outputs)


async def test_of_very_long_documents_the_beginning_is_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "MAX_CHARACTERS", 12)
    outcome = await site.run(UPLOAD, site.binary("a", b"0123456789"), site.binary("b", b"abcdefghij"))
    text = document_text(outcome.resources[0])
    assert text is not None
    assert text.startswith("0123456789 | ab\n")
    assert "File 2: only the first 2 characters were read." in text


async def test_when_no_file_can_be_read_the_job_fails_with_the_reason(site: Site) -> None:
    error = await failed(site, UPLOAD, site.binary("a", encrypted_pdf("x", "secret")))
    assert error.code == "unreadable_file"
    assert "The PDF is encrypted" in error.reason
    assert (await failed(site, UPLOAD, site.binary("a", wav()))).code == "unsupported_file_type"


async def test_a_document_of_a_fhir_client_is_read(site: Site) -> None:
    attachment = {"contentType": "text/plain", "data": base64.b64encode(b"Inline note.").decode()}
    document = {"resourceType": "DocumentReference", "id": "d", "content": [{"attachment": attachment}]}
    site.hub._write(document)
    outcome = await site.run(UPLOAD, given("file", valueReference={"reference": "DocumentReference/d"}))
    assert document_text(outcome.resources[0]) == "Inline note."


async def test_a_task_of_a_fhir_client_gets_the_vendors_id(site: Site) -> None:
    await site.run(ICD10, given("text", valueString="hypertension"))
    kept = await site.hub.read_resource(None, "Task", "fhir-made-1")
    [identifier] = kept["identifier"]
    assert identifier["system"] == "urn:vendor:sporo:job-id"
    assert identifier["value"] == vendor_id(kept)


async def test_a_text_is_coded(site: Site) -> None:
    outcome = await site.run(ICD10, given("text", valueString="hypertension, long-standing"))
    [condition] = outcome.resources
    assert condition["code"]["coding"][0]["code"] == "I10"
    assert condition["subject"]["display"] == "Unidentified patient"
    assert condition["evidence"][0]["detail"] == [{"reference": "Task/fhir-made-1"}]
    assert labelled(condition)["meta"]["security"][0]["code"] == "AIAST"


async def test_the_patient_of_the_task_is_the_subject(site: Site) -> None:
    outcome = await site.run(ICD10, given("text", valueString="hypertension"), **{"for": {"reference": "Patient/1"}})
    assert outcome.resources[0]["subject"] == {"reference": "Patient/1"}


async def test_the_same_task_makes_the_same_resources(site: Site) -> None:
    first = await site.run(ICD10, given("text", valueString="hypertension"))
    second = await site.run(ICD10, given("text", valueString="hypertension"))
    assert [each["id"] for each in first.resources] == [each["id"] for each in second.resources]


async def test_a_recording_becomes_a_transcript_and_a_note(site: Site) -> None:
    site.binary("audio", wav(), "audio/wav")
    outcome = await site.run(
        AUDIO,
        given("audio", valueReference={"reference": "Binary/audio"}),
        given("template_id", valueReference={"reference": f"Questionnaire/{templates.template_id('soap')}"}),
    )
    transcript, note = outcome.resources
    assert document_text(transcript) == site.engine.heard
    assert document_text(note) == "SOAP NOTE: Subjective, Objective, Assessment, Plan"
    assert note["type"]["coding"][0]["code"] == "11506-3"
    view = View({"output": outcome.outputs})
    assert output_reference(view.task, "note") == f"DocumentReference/{note['id']}"
    assert output_reference(view.task, "transcript") == f"DocumentReference/{transcript['id']}"


@pytest.mark.parametrize("error", [NotInstalled("speech", "Speech"), RuntimeError("boom"), ValueError("bad")])
async def test_speech_that_cannot_be_had_fails_in_the_vendors_words(site: Site, error: Exception) -> None:
    site.binary("audio", wav(), "audio/wav")
    site.engine.error = error
    found = await failed(site, AUDIO, given("audio", valueReference={"reference": "Binary/audio"}))
    assert (found.code, found.reason) == ("transcription_failed", "Failed to transcribe audio")


async def test_a_recording_without_speech_fails(site: Site) -> None:
    site.binary("audio", wav(), "audio/wav")
    site.engine.heard = "  "
    assert (await failed(site, AUDIO, given("audio", valueReference={"reference": "Binary/audio"}))).code == (
        "transcription_failed"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [(ICD10, ("rag_service_error", "ICD-10 upstream service error")), (TEXT, runners.NO_SUMMARY)],
)
async def test_an_engine_that_fails_is_reported_without_its_words(site: Site, code: str, words: Any) -> None:
    site.engine.error = RuntimeError("the patient's name")
    error = await failed(site, code, given("text", valueString="hypertension"))
    assert (error.code, error.reason) == words


@pytest.mark.parametrize("code", [UPLOAD, TEXT, ICD10, AUDIO])
async def test_a_task_without_its_input_says_what_is_missing(site: Site, code: str) -> None:
    assert (await failed(site, code)).code == "input_missing"
