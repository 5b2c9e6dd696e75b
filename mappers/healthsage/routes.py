"""HealthSage CDT's routes, as its API reference describes them. Errors are ``{"detail": "..."}``."""

# no postponed annotations here: FastAPI evaluates those of the handlers, and some are made inside `routes`
import re
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from pydantic import ValidationError

from fhir_server.dialects import Dialect, DialectContext, admit, authenticated, sentences
from fhir_server.jobs.names import Json
from fhir_server.jobs.runtime import put
from fhir_server.jobs.usage import key_of
from fhir_server.security.caller import ANONYMOUS, SYSTEM, Caller

from . import projection
from .models import ErrorDetail, GenerateRequest, KeyUsage, Submitted, TaskResult
from .reading import task_of, view_of
from .translate import Submission, submission

DEFAULT_TOKEN_LIMIT: Final = 1_000_000
"""Output tokens of a key that was made without a limit of its own."""
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "Bad Request - Invalid input",
        401: "Unauthorized - Invalid or missing API key",
        403: "Forbidden - API key inactive",
        404: "Not Found - Task or resource not found",
        429: "Too Many Requests - Token limit exceeded",
    }
    return {code: {"model": ErrorDetail, "description": meanings[code]} for code in codes}


def routes(dialect: Dialect, context: DialectContext) -> APIRouter:
    router = APIRouter(tags=["HealthSage CDT"])
    hub = context.hub
    default_limit = int(getattr(context.settings, "healthsage_token_limit", DEFAULT_TOKEN_LIMIT))
    header = APIKeyHeader(name="X-API-Key", scheme_name="HealthSage API key", auto_error=False)

    async def key(secret: Annotated[str | None, Security(header)]) -> Caller:
        caller = await authenticated(context, dialect, secret)
        await context.counters.add(_requests(caller))
        return caller

    Key = Annotated[Caller, Depends(key)]

    @router.post(
        "/generate",
        status_code=202,
        response_model=Submitted,
        responses=_errors(400, 401, 403, 429),
        summary="Submit a clinical note",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": GenerateRequest.model_json_schema()}},
            }
        },
    )
    async def generate(request: Request, caller: Key) -> JSONResponse:
        """Submit a clinical note for processing. Returns a task id for retrieving results."""
        given = await _given(request)
        await _within_limit(caller)
        await admit(context, f"{context.names.identifiers('api-key')}|{caller.key_id}")
        now = context.clock()
        task_id = str(uuid4())
        resources = submission(
            Submission(
                note=given.note,
                specialty=given.specialty,
                letter_date=given.letter_date or now.date(),
                patient_dob=given.patient_dob,
                task_id=task_id,
                document_id=str(uuid4()),
                patient_id=str(uuid4()),
                key_id=caller.key_id,
                key_name=caller.name,
                priority=caller.priority,
            ),
            names=context.names,
            now=now,
        )
        await hub.transact(SYSTEM, [put(resource) for resource in resources])
        return JSONResponse({"task_id": task_id, "status": "PENDING"}, 202)

    async def _within_limit(caller: Caller) -> None:
        limit = _limit(caller)
        used = await context.jobs.tokens_used(caller.key_id)
        if used >= limit:
            raise HTTPException(
                429, f"Token limit exceeded. You have used {used} tokens out of your {limit} token limit."
            )

    def _limit(caller: Caller) -> int:
        return caller.token_limit if caller.token_limit is not None else default_limit

    # before /tasks/{task_id}: literals before parameters
    @router.get(
        "/tasks/fhir/{task_id}",
        responses={202: {"model": Submitted, "description": "Not ready yet"}, **_errors(400, 401, 403, 404)},
        summary="Results as a FHIR R4B Bundle",
        response_model=None,
    )
    async def fhir(
        task_id: str,
        caller: Key,
        fhir_patient_id: Annotated[
            str | None, Query(description="FHIR Patient ID to use in resource references.")
        ] = None,
    ) -> JSONResponse:
        """Retrieve the extraction results as FHIR Bundle (R4B standard)."""
        task = await _task(task_id, caller)
        status = projection.status_of(task)
        if status == "PENDING":
            return JSONResponse({"task_id": task_id, "status": status}, 202)
        if status != "SUCCESS":
            raise HTTPException(400, projection.failure(task))
        view = await view_of(hub, task)
        bundle = projection.bundle(view, patient=fhir_patient_id, base=hub.base_url, now=context.clock())
        return _json(bundle)

    @router.get(
        "/tasks/{task_id}",
        responses=_errors(401, 403, 404),
        summary="Structured results",
        response_model=TaskResult,
    )
    async def result(task_id: str, caller: Key) -> JSONResponse:
        """Retrieve the extraction results for a completed task."""
        task = await _task(task_id, caller)
        return _json(projection.task_json(await view_of(hub, task)))

    async def _task(task_id: str, caller: Caller) -> Json:
        task = await task_of(hub, task_id) if _ID.fullmatch(task_id) else None
        # a Task without a key was written by a FHIR client, and is everyone's
        if task is None or (key_of(task) not in (None, caller.key_id) and caller is not ANONYMOUS):
            raise HTTPException(404, "Task not found.")
        return task

    @router.get(
        "/auth/usage",
        responses=_errors(401, 403),
        summary="Usage of your API key",
        response_model=KeyUsage,
    )
    async def usage(caller: Key) -> JSONResponse:
        """Get usage statistics for your API key. Output tokens only are counted."""
        used = await context.jobs.tokens_used(caller.key_id)
        limit = _limit(caller)
        return JSONResponse(
            {
                "total_requests": await context.counters.get(_requests(caller)),
                "tokens_used": used,
                "token_limit": limit,
                "remaining_tokens": limit - used,
            }
        )

    return router


def _requests(caller: Caller) -> str:
    return f"healthsage/requests/{caller.key_id}"


async def _given(request: Request) -> GenerateRequest:
    """The body, read only once the key is known to be good. 400 with a sentence for each thing that is wrong."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise HTTPException(400, "Invalid input: the body must be JSON (Content-Type: application/json).")
    body = await request.body()
    try:
        return GenerateRequest.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(400, f"Invalid input: {'; '.join(sentences(error.errors()))}.") from None


def _json(body: Json) -> JSONResponse:
    return JSONResponse(body)
