"""Studies: to create, read, change, list and cancel them; and those of an archive, with their finished reports."""

# no postponed annotations here: FastAPI evaluates those of the handlers
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from fhir_server.dicom import uids
from fhir_server.jobs.names import Json
from fhir_server.security.caller import Caller

from . import reports, studies
from .answers import Desk, Query, answer, body_of
from .ids import CUSTOMER, EXTERNAL, STUDY, USER
from .models import ExternalCreate, ExternalReportCreate, StudyCreate, StudyNamed, StudyUpdate
from .paging import limit_of, page
from .pdfs import attached_media
from .reading import Reader, checked, checked_uid
from .writing import SIGNED_LABEL

_STATUSES: Final = ("unassigned", "assigned", "in_progress", "completed", "addendum_active")
_REPORT: Final = ("readerName", "reportText", "signedAt")


def study_routes(
    api: APIRouter,
    desk: Desk,
    Key: Any,
    file_link: Callable[[Request, Json], str | None],
) -> None:
    async def shown(caller: Caller, study: Json) -> Json:
        """The study as it is now, after it was written."""
        reader = desk.reader(caller)
        current = await reader.read(f"ImagingStudy/{study['id']}")
        return studies.study_json((await reader.study_views([current or study]))[0])

    @api.post("/studies", summary="Create a study")
    async def create(request: Request, caller: Key) -> JSONResponse:
        """A new study with its metadata. 409 when there is one with this studyInstanceUid."""
        given, snake = await body_of(request, StudyCreate)
        reader = desk.reader(caller)
        study = await desk.writer(caller, reader).create_study(given.given())
        return answer(await shown(caller, study), snake=snake)

    @api.get("/studies", summary="List studies")
    async def listed(request: Request, caller: Key) -> JSONResponse:
        """Studies by cursor, oldest first; filters as the vendor's."""
        query = Query(
            request,
            "assignedTo",
            "cursor",
            "expressCustomerId",
            "isCancelled",
            "limit",
            "severity",
            "studyDescription",
            "studyReportStatus",
            "studyType",
        )
        limit = limit_of(query.get("limit"))
        accepts = _filter(query)
        criteria = [("identifier", f"{uids.SYSTEM}|"), ("status:not", "entered-in-error")]
        cancelled = _boolean(query, "isCancelled")
        if cancelled is not None:
            criteria.append(("status" if cancelled else "status:not", "cancelled"))

        async def project(found: list[Json]) -> list[Json | None]:
            reader = desk.reader(caller)
            views = await reader.study_views(found)
            each = [studies.study_json(view) for view in views]
            return [one if accepts(one, view) else None for one, view in zip(each, views, strict=True)]

        found, cursor = await page(
            desk.context.hub,
            desk.reader(caller).caller,
            "ImagingStudy",
            criteria,
            cursor=query.get("cursor"),
            limit=limit,
            project=project,
        )
        body: Json = {"studies": found, "hasMore": cursor is not None}
        return answer(body | ({"cursor": cursor} if cursor else {}), snake=query.snake)

    # literals before {studyId}
    @api.get("/studies/by-uid/{studyInstanceUid}", summary="Retrieve a study by its DICOM UID")
    async def by_uid(studyInstanceUid: str, caller: Key) -> JSONResponse:
        reader = desk.reader(caller)
        return answer(await shown(caller, await reader.study(None, checked_uid(studyInstanceUid))))

    @api.post("/studies/cancel", summary="Cancel a study")
    async def cancel(request: Request, caller: Key) -> JSONResponse:
        return await _cancelled(request, caller, True)

    @api.post("/studies/uncancel", summary="Restore a cancelled study")
    async def uncancel(request: Request, caller: Key) -> JSONResponse:
        return await _cancelled(request, caller, False)

    async def _cancelled(request: Request, caller: Caller, cancel: bool) -> JSONResponse:
        given, _ = await body_of(request, StudyNamed)
        reader = desk.reader(caller)
        await desk.writer(caller, reader).set_cancelled(_finder(reader, given), cancel)
        return answer({"success": True, "message": f"Study {'cancelled' if cancel else 'restored'}."})

    @api.post("/studies/external", summary="Create an external study")
    async def create_external(request: Request, caller: Key) -> JSONResponse:
        """An archive study; with report fields it has a completed report at once."""
        given, snake = await body_of(request, ExternalCreate)
        _no_file(given.report_file_url)
        reader = desk.reader(caller)
        fields = given.given()
        report = {name: fields[name] for name in _REPORT if fields.get(name)}
        study = await desk.writer(caller, reader).create_study(fields, external=True, report=report or None)
        return answer(await shown(caller, study), snake=snake)

    @api.post("/studies/external/delete", summary="Delete an external study")
    async def delete_external(request: Request, caller: Key) -> JSONResponse:
        given, _ = await body_of(request, StudyNamed)
        reader = desk.reader(caller)
        await desk.writer(caller, reader).delete_external(_finder(reader, given))
        return answer({"success": True, "message": "Study deleted."})

    @api.post("/studies/external/reports", summary="Add a report to an external study")
    async def add_report(request: Request, caller: Key) -> JSONResponse:
        given, snake = await body_of(request, ExternalReportCreate)
        _no_file(given.report_file_url)
        if not given.has_report:
            raise HTTPException(400, "Must provide reportText, readerName or signedAt.")
        reader = desk.reader(caller)
        study, report = await desk.writer(caller, reader).external_report(_finder(reader, given), given.given())
        return answer({"externalReportId": EXTERNAL.of(report)} | _ids(study), snake=snake)

    @api.get("/studies/external/reports", summary="List external reports")
    async def external_reports(request: Request, caller: Key) -> JSONResponse:
        query = Query(request, "cursor", "limit", "studyId")
        reader = desk.reader(caller)
        criteria = [("identifier", f"{EXTERNAL.system}|"), ("status:not", "entered-in-error,cancelled")]
        wanted = await reader.study(query.get("studyId"), None) if query.get("studyId") else None

        async def project(found: list[Json]) -> list[Json | None]:
            items: list[Json | None] = []
            for report in found:
                study = await reader.study_of(report)
                right = study is not None and (wanted is None or study["id"] == wanted["id"])
                items.append(_listed_report(report, study, await reader.created(report)) if right and study else None)
            return items

        found, cursor = await page(
            desk.context.hub,
            reader.caller,
            "DiagnosticReport",
            criteria,
            cursor=query.get("cursor"),
            limit=limit_of(query.get("limit")),
            project=project,
        )
        body: Json = {"reports": found, "hasMore": cursor is not None}
        return answer(body | ({"cursor": cursor} if cursor else {}), snake=query.snake)

    @api.get("/studies/external/reports/{externalReportId}", summary="Retrieve an external report")
    async def external_report(externalReportId: str, request: Request, caller: Key) -> JSONResponse:
        reader = desk.reader(caller)
        report = await desk.index.find(reader.caller, EXTERNAL, checked(EXTERNAL, externalReportId))
        study = await reader.study_of(report) if report is not None else None
        if (
            report is None
            or study is None
            or not studies.is_external_report(report)
            or reports.status_of(report) is None
        ):
            raise HTTPException(404, "External report not found.")
        view = await reader.view(report, study)
        listed = _listed_report(report, study, view.created)
        body: Json = {name: listed[name] for name in listed if name not in ("hasReportText", "reportPdfPresent")}
        body["snapshotMetadata"] = view.snapshot
        text, url = reports.plain_text(view), file_link(request, report)
        body |= ({"reportText": text} if text else {}) | ({"presignedUrl": url} if url else {})
        return answer(body)

    @api.get("/studies/{studyId}", summary="Retrieve a study")
    async def retrieve(studyId: str, caller: Key) -> JSONResponse:
        reader = desk.reader(caller)
        return answer(await shown(caller, await reader.study(checked(STUDY, studyId), None)))

    @api.patch("/studies/{studyId}", summary="Update a study")
    async def update(studyId: str, request: Request, caller: Key) -> JSONResponse:
        """Only what is sent changes; null clears."""
        given, snake = await body_of(request, StudyUpdate)
        reader = desk.reader(caller)
        checked(STUDY, studyId)
        study = await desk.writer(caller, reader).update_study(lambda: reader.study(studyId, None), given.given())
        return answer(await shown(caller, study), snake=snake)


def _finder(reader: Reader, given: StudyNamed | ExternalReportCreate) -> Callable[[], Awaitable[Json]]:
    return lambda: reader.study(given.study_id, given.study_instance_uid)


def _ids(study: Json) -> Json:
    return {"studyId": STUDY.of(study), "studyInstanceUid": uids.study_uid(study)}


def _no_file(url: str | None) -> None:
    if url:
        raise HTTPException(
            501, "This server does not download reportFileUrl; add the file to the DiagnosticReport as presentedForm."
        )


def _listed_report(report: Json, study: Json, created: str | None) -> Json:
    reader = next((each.get("display") for each in report.get("resultsInterpreter") or () if each.get("display")), None)
    label = next(
        (
            each.get("valueString")
            for each in report.get("extension") or ()
            if str(each.get("url", "")).endswith(f"/StructureDefinition/{SIGNED_LABEL}")
        ),
        None,
    )
    shown: Json = {
        "createdAt": created,
        "externalReportId": EXTERNAL.of(report),
        "hasReportText": reports.text_form(report) is not None,
        "reportPdfPresent": attached_media(report) is not None,
    } | _ids(study)
    signed = label or reports.signed_at(report)
    return shown | ({"readerName": reader} if reader else {}) | ({"signedAt": signed} if signed else {})


def _boolean(query: Query, name: str) -> bool | None:
    said = query.get(name)
    if said is None or said == "null":
        return None
    if said.lower() not in ("true", "false"):
        raise HTTPException(400, f"{name} must be true or false.")
    return said.lower() == "true"


def _choice(query: Query, name: str, choices: tuple[str, ...]) -> str | None:
    said = query.get(name)
    if said is not None and said not in choices:
        raise HTTPException(400, f"{name} must be one of {', '.join(choices)}.")
    return said


def _filter(query: Query) -> Callable[[Json, studies.StudyView], bool]:
    """Whether a study passes the filters of the query. Raises 400 for values that cannot be."""
    severity = _choice(query, "severity", tuple(studies.PRIORITIES))
    kind = _choice(query, "studyType", ("standard", "external"))
    said = query.get("studyReportStatus")
    statuses = {each.strip() for each in said.split(",")} if said else set(_STATUSES)
    if not statuses <= set(_STATUSES):
        raise HTTPException(400, f"studyReportStatus must be among {', '.join(_STATUSES)}.")
    text = (query.get("studyDescription") or "").casefold()
    # a client sends null (explicitly nobody) as an empty value
    nobody, owner = _nullable(query, "assignedTo", USER)
    none, customer = _nullable(query, "expressCustomerId", CUSTOMER)

    def accepts(shown: Json, view: studies.StudyView) -> bool:
        assigned = (shown.get("assignedTo") or {}).get("userId")
        its_customer = (shown.get("expressCustomer") or {}).get("expressCustomerId")
        return (
            (severity is None or shown["severity"] == severity)
            and (kind is None or shown["studyType"] == kind)
            and shown["studyReportStatus"] in statuses
            and text in shown["studyDescription"].casefold()
            and (not nobody or studies.owner_of(view.task) is None)
            and (owner is None or assigned == owner)
            and (not none or its_customer is None)
            and (customer is None or its_customer == customer)
        )

    return accepts


def _nullable(query: Query, name: str, kind: Any) -> tuple[bool, str | None]:
    """(explicitly nothing, the id)"""
    if not query.has(name):
        return False, None
    said = query.get(name)
    if said is None or said == "null":
        return True, None
    return False, checked(kind, said)
