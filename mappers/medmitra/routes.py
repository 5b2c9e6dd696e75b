"""MedMitra's routes, as its documentation describes them, and their aliases. Errors are ``{"detail": "..."}``."""

# no postponed annotations here: FastAPI evaluates those of the handlers, and some are made inside `routes`
import json
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError

from fhir_server.dialects import Dialect, DialectContext, admit, sentences
from fhir_server.files.multipart import read_form
from fhir_server.jobs.names import Json

from . import changes, models
from .access import Asker, asker
from .insights import Diagnosis, Insights, Scored
from .listing import listed
from .projection import CaseView, case_json, case_of, file_json, files_json, insights_json, is_file, status_of, texts_of
from .reading import case_naming, case_task, cases_of, documents_of, patient_of, read, view_of
from .translate import Changes, NewCase
from .uploads import files_for_case, files_of_case, limits_of
from .words import TASK_STATUS, USER

M = TypeVar("M", bound=BaseModel)
_MAX_JSON: Final = 4 << 20
_MEANINGS: Final = {
    400: "Bad Request - Invalid parameters or request body",
    401: "Unauthorized - Missing or invalid authentication",
    404: "Not Found - Resource does not exist",
    429: "Too Many Requests - Too many cases wait for their analysis",
    500: "Internal Server Error - Server-side error",
}
_CREATE_FORM: Final = {
    "type": "object",
    "required": ["user_id", "patient_name", "patient_age", "patient_gender"],
    "properties": {
        "user_id": {"type": "string"},
        "patient_name": {"type": "string"},
        "patient_age": {"type": "integer", "minimum": 0, "maximum": 150},
        "patient_gender": {"type": "string", "example": "Male"},
        "case_summary": {"type": "string"},
        "lab_files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "radiology_files": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
}
_UPLOAD_FORM: Final = {
    "type": "object",
    "required": ["case_id", "file"],
    "properties": {
        "case_id": {"type": "string"},
        "file": {"type": "string", "format": "binary"},
        "category": {"type": "string", "enum": ["lab", "radiology"]},
    },
}


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": models.ErrorDetail, "description": _MEANINGS[code]} for code in (401, 500, *codes)}


def _body(media: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {media: {"schema": schema}}}}


def routes(dialect: Dialect, context: DialectContext) -> APIRouter:
    router = APIRouter(tags=["MedMitra"])
    hub, names = context.hub, context.names
    limits = limits_of(context.settings)
    bearer = HTTPBearer(scheme_name="MedMitra token", bearerFormat="JWT", auto_error=False)

    async def who(given: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]) -> Asker:
        return await asker(context, dialect, given.credentials.strip() if given is not None else None)

    Who = Annotated[Asker, Depends(who)]

    def route(method: str, *paths: str, **options: Any) -> Callable[[Any], Any]:
        """One handler on several paths, with and without a slash at the end."""

        def register(handler: Any) -> Any:
            for path in paths:
                router.add_api_route(path, handler, methods=[method], **options)
                if path != "/":
                    router.add_api_route(
                        f"{path}/", handler, methods=[method], **options | {"include_in_schema": False}
                    )
            return handler

        return register

    async def _case(case_id: str, by: Asker, missing: str = "Case with ID {id} not found") -> tuple[Json, str | None]:
        task = await case_task(hub, case_id)
        seen, owner = await by.owner_if_seen(hub, task) if task is not None else (False, None)
        if task is None or not seen:
            raise HTTPException(404, missing.format(id=case_id))
        return task, owner

    async def _file(file_id: str, by: Asker) -> tuple[Json, Json]:
        """The file's document and its case's Task."""
        document = await read(hub, "DocumentReference", file_id)
        if document is not None and is_file(document):
            case_id = case_of(document) or await case_naming(hub, document)
            task = await case_task(hub, case_id) if case_id else None
            if task is not None and (await by.owner_if_seen(hub, task))[0]:
                return document, task
        raise HTTPException(404, "File not found")

    async def _row(task: Json, owner: str | None) -> Json:
        return case_json(CaseView(task, await patient_of(hub, task), owner))

    @route("GET", "/", response_model=models.Message, summary="Whether the API runs")
    async def running() -> JSONResponse:
        return JSONResponse({"message": "MedMitra Backend API is running!"})

    @route(
        "POST",
        "/cases/create_case",
        "/cases",
        "/api/v1/cases",
        status_code=201,
        response_model=models.Created,
        responses=_errors(400, 429),
        summary="Create a case with its files",
        openapi_extra=_body("multipart/form-data", _CREATE_FORM),
    )
    async def create_case(request: Request, by: Who) -> JSONResponse:
        """The case is kept at once; its analysis runs in the background."""
        form = await read_form(request, hub.store)
        fields = {name: form.get(name) for name in models.CreateCase.model_fields}
        given = _valid(models.CreateCase, {name: value for name, value in fields.items() if value is not None})
        if by.user is not None and given.user_id != by.user:
            raise HTTPException(400, "user_id: must be the authenticated user.")
        files = files_of_case(form, limits)
        await admit(context, f"{USER}|{given.user_id}")
        case = NewCase(
            case_id=str(uuid4()),
            patient_id=str(uuid4()),
            user_id=given.user_id,
            patient_name=given.patient_name,
            patient_age=given.patient_age,
            patient_gender=given.patient_gender,
            case_summary=given.case_summary or None,
            priority=by.caller.priority,
        )
        task, documents = await changes.create(
            hub, case, files, settings=context.settings, names=names, now=context.clock()
        )
        return JSONResponse(
            {
                "message": "Case created successfully",
                "case": await _row(task, given.user_id),
                "uploaded_files": [file_json(document, task, hub.base_url) for document in documents],
            },
            201,
        )

    @route(
        "GET",
        "/cases/all_cases",
        "/cases/cases",
        "/cases",
        "/api/v1/cases",
        response_model=models.Cases,
        responses=_errors(400),
        summary="Your cases, newest first",
    )
    async def all_cases(
        by: Who,
        user_id: Annotated[str | None, Query(description="Whose cases; by default one's own.")] = None,
        page: Annotated[str | None, Query(description="From 1; with limit.")] = None,
        limit: Annotated[str | None, Query(description="Cases on a page, at most 1000.")] = None,
        status: Annotated[str | None, Query(description=", ".join(TASK_STATUS))] = None,
        search: Annotated[str | None, Query(description="Part of the patient's name or of the summary.")] = None,
        start_date: Annotated[str | None, Query(description="Created on this day or later (YYYY-MM-DD).")] = None,
        end_date: Annotated[str | None, Query(description="Created on this day or earlier.")] = None,
        min_age: Annotated[str | None, Query(description="Youngest patient.")] = None,
        max_age: Annotated[str | None, Query(description="Oldest patient.")] = None,
        sort_by: Annotated[
            str | None, Query(description="created_at, updated_at, patient_name, patient_age or status")
        ] = None,
        sort_order: Annotated[str | None, Query(description="asc or desc")] = None,
    ) -> JSONResponse:
        given = {
            "user_id": user_id, "page": page, "limit": limit, "status": status, "search": search,
            "start_date": start_date, "end_date": end_date, "min_age": min_age, "max_age": max_age,
            "sort_by": sort_by, "sort_order": sort_order,
        }  # fmt: skip
        query = _valid(models.ListQuery, {name: value for name, value in given.items() if value not in (None, "")})
        if by.user is not None and query.user_id not in (None, by.user):
            views: list[CaseView] = []
        else:
            views = await cases_of(hub, by.user if by.user is not None else query.user_id)
        return JSONResponse(listed([case_json(view) for view in views], query))

    @route(
        "POST",
        "/cases/upload",
        status_code=201,
        response_model=models.Uploaded,
        responses=_errors(400, 404),
        summary="Add a file to a case",
        openapi_extra=_body("multipart/form-data", _UPLOAD_FORM),
    )
    async def upload(request: Request, by: Who) -> JSONResponse:
        """The case is not analysed again by itself: see /cases/analyze."""
        form = await read_form(request, hub.store)
        case_id = (form.get("case_id") or "").strip()
        if not case_id:
            raise HTTPException(400, "case_id: Field required.")
        task, _ = await _case(case_id, by)
        files = files_for_case(form, limits)
        documents = await changes.add_files(
            hub, case_id, files, settings=context.settings, names=names, now=context.clock()
        )
        if documents is None:
            raise HTTPException(404, f"Case with ID {case_id} not found")
        shown = [file_json(document, task, hub.base_url) for document in documents]
        more = {"files": shown} if len(shown) > 1 else {}
        return JSONResponse({"message": "File uploaded successfully", "file": shown[0]} | more, 201)

    @route(
        "POST",
        "/cases/analyze/{case_id}",
        response_model=models.CaseChanged,
        responses=_errors(400, 404, 429),
        summary="Analyse a case again, or give the results of an analysis",
        openapi_extra=_body("application/json", models.Analyze.model_json_schema(), required=False),
    )
    async def analyze(case_id: str, request: Request, by: Who) -> JSONResponse:
        """Without results the analysis starts from the beginning; results that are given become the case's insights."""
        task, owner = await _case(case_id, by)
        body = await _json(request, empty={})
        given = _valid(models.Analyze, body).analysis_results
        if given is not None:
            found = _insights(given)
            after = await changes.keep_results(hub, case_id, found, names=names, now=context.clock())
            message = "Case analysis completed successfully"
        else:
            if status_of(task) not in ("processing", "pending"):
                await admit(context, f"{USER}|{owner}")
            after = await changes.analyse_again(hub, case_id, names=names, now=context.clock())
            message = "Case analysis started successfully"
        if not after:
            raise HTTPException(404, f"Case with ID {case_id} not found")
        return JSONResponse({"message": message, "case": await _row(after, owner)})

    @route(
        "GET",
        "/cases/files/{case_id}",
        response_model=models.Files,
        responses=_errors(404),
        summary="The files of a case",
    )
    async def files_of(case_id: str, by: Who) -> JSONResponse:
        task, owner = await _case(case_id, by)
        view = CaseView(task, None, owner, await documents_of(hub, task))
        return JSONResponse({"files": files_json(view, hub.base_url)})

    @route("GET", "/cases/file/{file_id}", response_model=models.OneFile, responses=_errors(404), summary="One file")
    async def one_file(file_id: str, by: Who) -> JSONResponse:
        document, task = await _file(file_id, by)
        text = texts_of(await documents_of(hub, task)).get(file_id)
        return JSONResponse({"file": file_json(document, task, hub.base_url, text)})

    @route(
        "DELETE",
        "/cases/file/{file_id}",
        response_model=models.Message,
        responses=_errors(404),
        summary="Delete a file",
    )
    async def delete_file(file_id: str, by: Who, case_id: str | None = None) -> JSONResponse:
        document, task = await _file(file_id, by)
        if case_id not in (None, "", task["id"]):
            raise HTTPException(404, "File not found")
        await changes.remove_file(hub, str(task["id"]), document, now=context.clock())
        return JSONResponse({"message": "File deleted successfully"})

    items = ("/cases/cases/{case_id}", "/cases/{case_id}", "/api/v1/cases/{case_id}")

    @route(
        "GET",
        *items,
        response_model=models.CaseDetail,
        responses=_errors(404),
        summary="A case with its files and insights",
    )
    async def one_case(case_id: str, by: Who) -> JSONResponse:
        """`ai_insights` is null until the analysis has ended well."""
        task, owner = await _case(case_id, by)
        view = await view_of(hub, task, owner)
        return JSONResponse(
            {"case": case_json(view), "files": files_json(view, hub.base_url), "ai_insights": insights_json(view)}
        )

    async def update_case(case_id: str, request: Request, by: Who) -> JSONResponse:
        """Any of patient_name, patient_age, patient_gender, case_summary, status."""
        _, owner = await _case(case_id, by)
        given = _valid(models.UpdateCase, await _json(request))
        wanted = Changes(**given.model_dump())
        if wanted == Changes():
            raise HTTPException(400, "No data provided for update")
        after = await changes.update(hub, case_id, wanted, names=names, now=context.clock())
        if not after:
            raise HTTPException(404, f"Case with ID {case_id} not found")
        return JSONResponse({"message": "Case updated successfully", "case": await _row(after, owner)})

    for method in ("PUT", "PATCH"):
        route(
            method,
            *items,
            response_model=models.CaseChanged,
            responses=_errors(400, 404),
            summary="Change a case",
            openapi_extra=_body("application/json", models.UpdateCase.model_json_schema()),
        )(update_case)

    @route("DELETE", *items, response_model=models.Message, responses=_errors(404), summary="Delete a case")
    async def delete_case(case_id: str, by: Who) -> JSONResponse:
        """Its files and insights too; the Patient stays."""
        await _case(case_id, by, "Case not found")
        if not await changes.delete(hub, case_id):
            raise HTTPException(404, "Case not found")
        return JSONResponse({"message": "Case deleted successfully"})

    return router


def _valid(model: type[M], given: Any) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise HTTPException(400, f"Invalid input: {'; '.join(sentences(error.errors()))}.") from None


async def _json(request: Request, empty: Json | None = None) -> Json:
    """The body as a JSON object. `empty`: what no body at all means. HTTPException 400 for anything else."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON:
            raise HTTPException(400, f"The request is larger than {_MAX_JSON:,} bytes.")
    if not body.strip() and empty is not None:
        return empty
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise HTTPException(400, "Invalid input: the body must be JSON (Content-Type: application/json).")
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise HTTPException(400, "Invalid input: the body is not JSON.") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "Invalid input: the body must be a JSON object.")
    return found


def _insights(given: models.GivenResults) -> Insights:
    summary, note, diagnosis = given.case_summary, given.soap_note, given.primary_diagnosis
    why = given.confidence_explanation or {}

    def scored(value: float | None, name: str) -> Scored:
        return Scored(float(value) if value is not None else None, tuple(why.get(name, ())))

    return Insights(
        summary=summary.comprehensive_summary if summary else None,
        key_findings=tuple(summary.key_findings) if summary else (),
        lab_summary=summary.lab_summary if summary else None,
        radiology_summary=summary.radiology_summary if summary else None,
        summary_confidence=scored(summary.confidence_score, "case_summary") if summary else Scored(),
        soap={name: getattr(note, name) for name in ("subjective", "objective", "assessment", "plan")}
        if note
        else None,
        soap_confidence=scored(note.confidence_score, "soap_note") if note else Scored(),
        diagnosis=Diagnosis(
            name=diagnosis.primary_diagnosis,
            icd_code=diagnosis.icd_code,
            description=diagnosis.description or "",
            evidence=tuple((sentence, None) for sentence in diagnosis.supporting_evidence),
            confidence=scored(diagnosis.confidence_score, "primary_diagnosis"),
        )
        if diagnosis
        else None,
    )
