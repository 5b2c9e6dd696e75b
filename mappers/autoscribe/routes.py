"""AutoScribe's routes, as its official client calls them. Errors are ``{"success": false, "message": "..."}``.

Reports and the files of reports are here; studies in study_routes.py.
"""

# no postponed annotations here: FastAPI evaluates those of the handlers, and some are made inside `routes`
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fhir_server.dialects import Dialect, DialectContext, authenticated
from fhir_server.dicom import uids
from fhir_server.jobs.names import Json
from fhir_server.security.caller import SYSTEM, Caller
from fhir_server.security.keys import load_pepper

from . import pdfs, reports
from .answers import Desk, Query, answer
from .ids import EXTERNAL, REPORT, STUDY, Index
from .reports import View
from .study_routes import study_routes
from .user_routes import user_routes

PREFIX: Final = "/v1/autoScribe"
_FORMS: Final = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
}


def routes(dialect: Dialect, context: DialectContext) -> APIRouter:
    router = APIRouter()
    desk = Desk(context, Index(context.hub))
    links = pdfs.Links(_secret(context))
    bearer = HTTPBearer(scheme_name="AutoScribe API key", auto_error=False)

    async def key(given: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]) -> Caller:
        return await authenticated(context, dialect, given.credentials if given else None)

    Key = Annotated[Caller, Depends(key)]
    api = APIRouter(prefix=PREFIX, tags=["AutoScribe"])

    def root(request: Request) -> str:
        """Scheme, authority and path under which clients see this server."""
        base = getattr(context.settings, "base_url", None)
        return str(base).removesuffix("/fhir") if base else str(request.base_url).rstrip("/")

    @api.get("/reports", summary="List reports for a study")
    async def listed(request: Request, caller: Key) -> JSONResponse:
        """All reports of a study, its addenda too. By studyId or studyInstanceUid."""
        query = Query(request, "studyId", "studyInstanceUid")
        study, views, _ = await asked(caller, query)
        return answer(_of_study(study, [reports.report_json(view) for view in views]), snake=query.snake)

    @api.get("/reports/text", summary="Retrieve report text")
    async def text(request: Request, caller: Key) -> JSONResponse:
        """One report by reportId, or all of a study by studyId or studyInstanceUid."""
        query = Query(request, "reportId", "studyId", "studyInstanceUid")
        study, views, single = await asked(caller, query)
        items = [reports.text_json(view) | _ids(study) for view in views]
        return answer(items[0] if single else _of_study(study, items), snake=query.snake)

    @api.get("/reports/pdf", summary="Retrieve report PDF URL")
    async def pdf(request: Request, caller: Key) -> JSONResponse:
        """One report by reportId, or all completed ones of a study. The URLs are good for an hour, without a key."""
        query = Query(request, "reportId", "studyId", "studyInstanceUid")
        study, views, single = await asked(caller, query)
        if single and not pdfs.has_pdf(views[0]):
            raise HTTPException(409, "The report is not completed; it has no PDF yet.")
        items = []
        for view in views:
            if pdfs.has_pdf(view):
                await pdfs.pdf_of(context.hub, desk.reader(SYSTEM), view)
                url = links.signed(root(request), f"{REPORT.of(view.report)}.pdf", context.clock().timestamp())
                items.append(reports.pdf_json(view, url) | _ids(study))
        return answer(items[0] if single else _of_study(study, items), snake=query.snake)

    async def asked(caller: Caller, query: Query) -> tuple[Json, list[View], bool]:
        """The study that a query names, its reports, and whether it named one of them alone."""
        reader = desk.reader(caller)
        id = query.get("reportId")
        if id is not None:
            report, study = await reader.report(id)
            if query.get("studyId") or query.get("studyInstanceUid"):
                named = await reader.study(query.get("studyId"), query.get("studyInstanceUid"))
                if named["id"] != study["id"]:
                    raise HTTPException(400, "The report does not belong to the study that is named beside it.")
            return study, [await reader.view(report, study)], True
        if not query.get("studyId") and not query.get("studyInstanceUid"):
            names = (
                "reportId, studyId or studyInstanceUid" if query.takes("reportId") else "studyId or studyInstanceUid"
            )
            raise HTTPException(400, f"Must provide {names}.")
        study = await reader.study(query.get("studyId"), query.get("studyInstanceUid"))
        found = (await reader.reports_of([study]))[str(study["id"])]
        return study, await reader.views(found, study), False

    @api.post("/reports/{reportId}/addendum", summary="Create a report addendum")
    async def addendum(reportId: str, caller: Key) -> JSONResponse:
        """Begin an addendum to a completed report. The study becomes addendum_active."""
        made = await desk.writer(caller).begin_addendum(reportId)
        return answer({"success": True, "message": f"Addendum {REPORT.of(made)} created."})

    @api.post("/reports/{reportId}/cancel-addendum", summary="Cancel a report addendum")
    async def cancel_addendum(reportId: str, caller: Key) -> JSONResponse:
        """Cancel the active addendum, by the original's id or its own. The original report stays as it is."""
        await desk.writer(caller).cancel_addendum(reportId)
        return answer({"success": True, "message": "Addendum cancelled."})

    @router.api_route(pdfs.PATH + "/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(name: str, request: Request) -> Response:
        """A report's file, by a link that was signed for it. No key: the link is one."""
        given = request.query_params
        links.check(name, given.get("expires", ""), given.get("signature", ""), context.clock().timestamp())
        id, _, _ = name.rpartition(".")
        reader = desk.reader(SYSTEM)
        if EXTERNAL.is_valid(id):
            found = await desk.index.find(SYSTEM, EXTERNAL, id)
            content, media = await pdfs.attached(context.hub, found or {})
            if content is None:
                raise HTTPException(404, "File not found.")
        else:
            report, study = await reader.report(id)
            view = await reader.view(report, study)
            if not pdfs.has_pdf(view):
                raise HTTPException(404, "File not found.")
            content, media = await pdfs.pdf_of(context.hub, reader, view), "application/pdf"
        headers = {
            "Content-Disposition": f'inline; filename="{name}"',
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type=media, headers=headers)

    def file_link(request: Request, report: Json) -> str | None:
        """A link to the file that came with an external report."""
        media = pdfs.attached_media(report)
        if media is None:
            return None
        name = f"{EXTERNAL.of(report)}.{_FORMS.get(media, 'bin')}"
        return links.signed(root(request), name, context.clock().timestamp())

    study_routes(api, desk, Key, file_link)
    user_routes(api, desk, Key)
    router.include_router(api)
    return router


def _ids(study: Json) -> Json:
    return {"studyId": STUDY.of(study), "studyInstanceUid": uids.study_uid(study)}


def _of_study(study: Json, items: Sequence[Any]) -> Json:
    return {"reports": list(items)} | _ids(study)


def _secret(context: DialectContext) -> bytes:
    settings: Any = context.settings
    if not hasattr(settings, "data_dir"):
        return b""
    data_dir, pepper = settings.data_dir, getattr(settings, "pepper", None)
    return load_pepper(data_dir, pepper.get_secret_value() if pepper is not None else None)
