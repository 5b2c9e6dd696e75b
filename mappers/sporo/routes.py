"""Sporo's routes, as its API reference describes them, with and without a slash at the end.

Errors are ``{"detail": "..."}``.
"""

# no postponed annotations here: FastAPI evaluates those of the handlers, and some are made inside `routes`
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader

from fhir_server.dialects import Dialect, DialectContext, admit, authenticated
from fhir_server.files import Form, Kind, Upload, read_form
from fhir_server.files.imaging import studies_of
from fhir_server.files.keep import keep
from fhir_server.jobs import JobFailed
from fhir_server.jobs.names import Json
from fhir_server.jobs.runtime import put
from fhir_server.jobs.usage import key_of
from fhir_server.processing.engines import Document
from fhir_server.r4b.outcome import Forbidden, Unauthorized
from fhir_server.security.caller import ANONYMOUS, SYSTEM, Caller
from fhir_server.settings import parse_rates

from . import models, templates
from .limits import RateLimits
from .patients import whom
from .projection import job_json, upload_json
from .reading import all_templates, task_of, template_of, view_of
from .requests import OWN_FIELDS, Answer, fields, json_of, text_of_field, within
from .runners import summarized, summary_outcome
from .submit import completed_entries
from .translate import (
    AUDIO,
    ICD10,
    OBJECT_ID,
    TEXT,
    UPLOAD,
    Asked,
    File,
    file_document,
    item,
    new_id,
    printable,
    task,
    to_vendor_time,
)

PREFIX: Final = "/api/v1/pcr"
NO_KEY: Final = "Invalid or missing API key"
_AUDIO_PARTS: Final = ("file", "audio", "audio_file")
_MEANINGS: Final = {
    400: "Bad Request",
    401: NO_KEY,
    404: "Not Found",
    413: "Too large",
    415: "Unsupported Media Type",
    422: "A field is missing or not valid",
    429: "Rate limit exceeded",
}


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": models.ErrorDetail, "description": _MEANINGS[code]} for code in codes}


def _body(media: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


def routes(dialect: Dialect, context: DialectContext) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["Sporo Patient Chart Review"])
    hub, names = context.hub, context.names
    rates = parse_rates(str(getattr(context.settings, "sporo_rate_limits", "on")))
    limits = RateLimits(hub, rates, context.clock)
    header = APIKeyHeader(name="X-API-KEY", scheme_name="Sporo API key", auto_error=False)

    async def key(secret: Annotated[str | None, Security(header)]) -> Caller:
        try:
            if secret and str(getattr(context.settings, "auth", "")) != "none":
                await context.keys.authenticate(secret)
        except Forbidden:  # inactive or expired: the vendor knows no other word for it
            raise HTTPException(401, NO_KEY) from None
        try:
            return await authenticated(context, dialect, secret)
        except Unauthorized:
            raise HTTPException(401, NO_KEY) from None

    Key = Annotated[Caller, Depends(key)]

    def both(method: str, path: str, **options: Any) -> Callable[[Any], Any]:
        """The route with and without a slash at the end; the first is the documented one."""
        documented, other = path, path.removesuffix("/") if path.endswith("/") else path + "/"

        def register(handler: Any) -> Any:
            router.add_api_route(documented, handler, methods=[method], response_model=None, **options)
            router.add_api_route(other, handler, methods=[method], response_model=None, include_in_schema=False)
            return handler

        return register

    @both(
        "POST",
        "/upload/",
        summary="Upload files for processing",
        responses={200: {"model": models.UploadAccepted}, **_errors(400, 401, 413, 415, 422, 429)},
        openapi_extra=_body("multipart/form-data", models.UPLOAD_SCHEMA),
    )
    async def upload(request: Request, caller: Key) -> JSONResponse:
        """Upload documents for asynchronous summarization. Any further form field is kept as metadata."""
        await limits.take("upload", caller.key_id)
        await admit(context, requester(caller))
        form = await _form(request)
        if not form.files:
            raise HTTPException(400, "files: at least one file is required")
        if all(file.size == 0 for file in form.files):
            raise HTTPException(400, "The file is empty." if len(form.files) == 1 else "All files are empty.")
        given, metadata = fields(form)
        webhook_url, extra = models.webhook(given["webhook_url"]), given["extra_information"]
        within(metadata)
        now = context.clock()
        id = new_id(now)
        subject, patient = await whom(hub, metadata, names)
        files = [(str(uuid4()), str(uuid4()), file) for file in form.files]
        entries = [] if patient is None else [patient]
        entries += [put(binary) for binary in await keep(hub, [(binary, file) for _, binary, file in files])]
        studies = await studies_of(hub, [(document, file) for document, _, file in files], context.settings)
        documents = [
            file_document(_file(document, binary, file, studies.get(document)), task_id=id, subject=subject, now=now)
            for document, binary, file in files
        ]
        asked = _asked(UPLOAD, id, caller, webhook_url, extra, metadata, subject)
        inputs = [
            item(names, "file", "valueReference", {"reference": f"DocumentReference/{document['id']}"})
            for document in documents
        ]
        entries += [put(each) for each in (*documents, task(asked, inputs, names=names, now=now))]
        await hub.transact(SYSTEM, entries)
        return Answer(
            {
                "message": "Files uploaded successfully; processing is underway.",
                "upload_id": id,
                "webhook_url": webhook_url,
                "extra_information": extra,
                "metadata": metadata,
            }
        )

    @both(
        "POST",
        "/upload/text/",
        summary="Upload text for summary",
        responses={200: {"model": models.TextSummary}, **_errors(400, 401, 413, 415, 422, 429)},
        openapi_extra=_body("application/json", models.TEXT_SCHEMA),
    )
    async def upload_text(request: Request, caller: Key) -> JSONResponse:
        """Summarize a text at once. Any further property is kept as metadata."""
        await limits.take("text", caller.key_id)
        given = await json_of(request)
        text = models.text_field(given, "user_input")
        extra = models.optional_text(given, "extra_information")
        webhook_url = models.webhook(models.optional_text(given, "webhook_url"))
        metadata = {name: value for name, value in given.items() if name not in OWN_FIELDS}
        within(metadata)
        try:
            result = await summarized([Document("0", "Text", printable(text))], extra or "", context.settings)
        except JobFailed as error:
            raise HTTPException(503, error.reason) from None
        now = context.clock()
        id = new_id(now)
        subject, patient = await whom(hub, metadata, names)
        asked = _asked(TEXT, id, caller, webhook_url, extra, metadata, subject)
        made = task(asked, [item(names, "user_input", "valueString", printable(text))], names=names, now=now)
        outcome = summary_outcome(id, result, result.text, names=names, subject=subject, now=now, sources=())
        entries = [] if patient is None else [patient]
        await hub.transact(SYSTEM, [*entries, *await completed_entries(hub, made, outcome, names=names, now=now)])
        return Answer(
            {
                "response": result.text,
                "webhook_url": webhook_url,
                "extra_information": extra,
                "metadata": metadata,
            }
        )

    @both(
        "POST",
        "/icd10/text",
        status_code=202,
        summary="Submit an ICD-10 job",
        responses={202: {"model": models.JobAccepted}, **_errors(400, 401, 413, 415, 422)},
        openapi_extra=_body("application/json", models.ICD10_SCHEMA),
    )
    async def icd10(request: Request, caller: Key) -> JSONResponse:
        """Submit clinical text for ICD-10 codes, as an asynchronous job."""
        await admit(context, requester(caller))
        given = await json_of(request)
        text = models.text_field(given, "text")
        webhook_url = models.webhook(models.optional_text(given, "webhook_url"))
        now = context.clock()
        asked = _asked(ICD10, new_id(now), caller, webhook_url, None, {}, None)
        made = task(asked, [item(names, "text", "valueString", printable(text))], names=names, now=now)
        await hub.transact(SYSTEM, [put(made)])
        return _accepted(made, "ICD-10 request accepted; processing has started", webhook_url)

    @both(
        "GET",
        "/icd10/{job_id}",
        summary="Status of an ICD-10 job",
        responses={200: {"model": models.Icd10Status}, **_errors(400, 401, 404)},
    )
    async def icd10_status(job_id: str, caller: Key) -> JSONResponse:
        """Poll the status of an ICD-10 job."""
        if job_id == "text":
            raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})
        return Answer(job_json(await view_of(hub, await _task("job_id", job_id, caller, ICD10))))

    @both(
        "GET",
        "/templates/community",
        summary="Community templates",
        responses={200: {"model": models.Templates}, **_errors(401, 422)},
    )
    async def community(
        caller: Key,
        skip: Annotated[str | None, Query(description="Pagination offset, 0 or more; default 0.")] = None,
        limit: Annotated[str | None, Query(description="Pagination size, 1 to 100; default 20.")] = None,
        name: Annotated[str | None, Query(description="Case-insensitive filter by name.")] = None,
        search: Annotated[str | None, Query(description="Case-insensitive search in name and description.")] = None,
    ) -> JSONResponse:
        """Public templates for audio-to-note generation. `count` is the number of all that match."""
        first = models.whole_number("skip", skip, 0, 0, None)
        most = models.whole_number("limit", limit, 20, 1, 100)
        found = templates.catalogue(await all_templates(hub), name=name or "", search=search or "")
        return Answer({"data": found[first : first + most], "count": len(found)})

    @both(
        "POST",
        "/audio/notes",
        status_code=202,
        summary="Submit an audio-to-note job",
        responses={202: {"model": models.JobAccepted}, **_errors(400, 401, 404, 413, 415, 422)},
        openapi_extra=_body("multipart/form-data", models.AUDIO_SCHEMA),
    )
    async def audio(request: Request, caller: Key) -> JSONResponse:
        """Submit a recording; a transcript and a note by the template are made in the background."""
        await admit(context, requester(caller))
        form = await _form(request)
        recording = next((file for file in form.files if file.field in _AUDIO_PARTS), None)
        recording = recording or next(iter(form.files), None)
        if recording is None:
            raise HTTPException(422, "file: Field required")
        template_id = (form.get("template_id") or "").strip()
        if not template_id:
            raise HTTPException(422, "template_id: Field required")
        webhook_url = models.webhook(text_of_field(form, "webhook_url"))
        if not OBJECT_ID.fullmatch(template_id):
            raise HTTPException(400, "Invalid template_id format")
        if recording.size == 0:
            raise HTTPException(400, "The audio file is empty.")
        if recording.sniffed.kind is not Kind.AUDIO:
            raise HTTPException(400, "The file is not an audio file.")
        template = await template_of(hub, template_id)
        if template is None:
            raise HTTPException(404, "Template not found")
        now = context.clock()
        id, binary = new_id(now), str(uuid4())
        binaries = await keep(hub, [(binary, recording)])
        inputs = [
            item(names, "audio", "valueReference", {"reference": f"Binary/{binary}"}),
            item(names, "template_id", "valueReference", _reference(template)),
        ]
        _, metadata = fields(form)
        metadata = {name: value for name, value in metadata.items() if name != "template_id"}
        within(metadata)
        made = task(_asked(AUDIO, id, caller, webhook_url, None, metadata, None), inputs, names=names, now=now)
        await hub.transact(SYSTEM, [put(each) for each in (*binaries, made)])
        return _accepted(made, "Audio note request accepted; processing has started", webhook_url)

    @both(
        "GET",
        "/audio/notes/{job_id}",
        summary="Status of an audio-to-note job",
        responses={200: {"model": models.AudioNoteStatus}, **_errors(400, 401, 404)},
    )
    async def audio_status(job_id: str, caller: Key) -> JSONResponse:
        """Poll the status of an audio-to-note job."""
        return Answer(job_json(await view_of(hub, await _task("job_id", job_id, caller, AUDIO))))

    # last: it takes whatever has one segment
    @both(
        "GET",
        "/{upload_id}",
        summary="Status of an upload",
        responses={200: {"model": models.UploadStatus}, **_errors(400, 401, 404, 429)},
    )
    async def status(upload_id: str, caller: Key) -> JSONResponse:
        """The processing status of an upload, with what was sent along with it."""
        if upload_id == "upload":
            raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})
        await limits.take("status", caller.key_id)
        return Answer(upload_json(await view_of(hub, await _task("upload_id", upload_id, caller, UPLOAD, TEXT))))

    def requester(caller: Caller) -> str:
        return f"{names.identifiers('api-key')}|{caller.key_id}"

    async def _task(name: str, id: str, caller: Caller, *codes: str) -> Json:
        if not OBJECT_ID.fullmatch(id):
            raise HTTPException(400, f"Invalid {name} format")
        found = await task_of(hub, id, *codes)
        if found is None or not _may_see(found, caller):
            raise HTTPException(404, f"No {name.removesuffix('_id')} found for the given ID")
        return found

    async def _form(request: Request) -> Form:
        return await read_form(request, hub.store, in_memory=hub.options.binary_threshold)

    def _file(document: str, binary: str, file: Upload, study: str | None) -> File:
        return File(document, binary, file.filename, file.sniffed.media_type, file.size, file.hash, study)

    return router


def _may_see(found: Json, caller: Caller) -> bool:
    """A Task without a key was written by a FHIR client and is everyone's; who may read all Tasks over FHIR may so
    here."""
    if key_of(found) in (None, caller.key_id) or caller is ANONYMOUS:
        return True
    return caller.dialect == "fhir" and caller.allows("Task", "r") and caller.subject is None


def _asked(
    code: str,
    id: str,
    caller: Caller,
    webhook_url: str | None,
    extra_information: str | None,
    metadata: Mapping[str, Any],
    subject: str | None,
) -> Asked:
    return Asked(
        id=id,
        code=code,
        key_id=caller.key_id,
        key_name=caller.name,
        priority=caller.priority,
        webhook_url=webhook_url,
        extra_information=extra_information,
        metadata=metadata,
        subject=subject,
    )


def _accepted(made: Json, message: str, webhook_url: str | None) -> JSONResponse:
    return Answer(
        {
            "job_id": made["id"],
            "status": "queued",
            "message": message,
            "created_at": to_vendor_time(made["authoredOn"]),
            "webhook_url": webhook_url,
        },
        202,
    )


def _reference(template: Json) -> Json:
    return {"reference": f"Questionnaire/{template['id']}", "display": str(template.get("title") or "")}
