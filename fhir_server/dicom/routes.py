"""POST /dicom/instances: DICOM objects in, ImagingStudies out. Only headers are read; pixels are not kept."""

# no postponed annotations here: FastAPI evaluates those of the handlers
from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from fhir_server.dicom.link import Linker, Options, as_json
from fhir_server.dicom.receiving import Received, receive
from fhir_server.r4b.outcome import FhirError
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Authenticate = Callable[[Mapping[bytes, bytes]], Awaitable[Caller] | Caller]
"""From a request's headers to the caller. Raises Unauthorized."""
_NEEDED = (("ImagingStudy", "c"), ("ImagingStudy", "u"), ("Patient", "c"))


def options_of(settings: Any) -> Options:
    """dicomweb_url: where the pixels are; time_zone: the site's, e.g. Europe/Zurich. Both may be missing."""
    zone: tzinfo | None = ZoneInfo(settings.time_zone) if getattr(settings, "time_zone", None) else None
    return Options(endpoint=str(getattr(settings, "dicomweb_url", None) or ""), zone=zone)


def dicom_router(hub: "Hub", authenticate: Authenticate, settings: Any = None) -> APIRouter:
    router = APIRouter(tags=["DICOM"])
    linker = Linker(hub, options_of(settings))

    @router.post(
        "/dicom/instances",
        summary="Link DICOM objects",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/dicom": {"schema": {"type": "string", "format": "binary"}},
                    "multipart/related": {"schema": {"type": "string", "format": "binary"}},
                    "multipart/form-data": {"schema": {"type": "object"}},
                },
            }
        },
    )
    async def instances(request: Request) -> JSONResponse:
        """Each object extends the ImagingStudy of its Study Instance UID, or makes it, and its Patient."""
        try:
            found = authenticate(dict(request.scope["headers"]))
            caller = found if isinstance(found, Caller) else await found
            for type, letter in _NEEDED:
                caller.require(type, letter)
            received = await receive(request)
            linked = await linker.link(received.instances)
        except FhirError as error:
            return JSONResponse({"detail": str(error)}, error.status, error.headers)
        if not received.instances:
            first = received.refused[0][1] if received.refused else "The request holds no DICOM objects."
            return JSONResponse({"detail": first, "refused": _refused(received)}, 400)
        body = {
            "linked": len(received.instances),
            "studies": [as_json(each) for each in linked],
            "refused": _refused(received),
        }
        return JSONResponse(body, 201 if any(each.created for each in linked) else 200)

    return router


def _refused(received: Received) -> list[dict[str, str]]:
    return [{"file": name, "reason": reason} for name, reason in received.refused]
