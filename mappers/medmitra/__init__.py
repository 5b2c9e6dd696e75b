"""MedMitra: cases with laboratory and radiology files in, insights out. The entry point ``fhir_server.dialects``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fhir_server.jobs import Runner
from fhir_server.jobs.names import Json, Names

from . import conformance
from .analysis import analyse
from .words import CODE

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fhir_server.dialects import DialectContext


class MedMitra:
    """The dialect, as the entry point gives it."""

    name = "medmitra"
    paths: Sequence[str] = ("/cases", "/api/v1/cases")
    max_body = 512 << 20
    #: The vendor's table has 200, 201, 400, 401, 404 and 500.
    statuses: Mapping[int, int] = {403: 401, 409: 400, 413: 400, 415: 400}

    @property
    def runners(self) -> Mapping[str, Runner]:
        return {CODE: analyse}

    def router(self, context: DialectContext) -> APIRouter:
        from .routes import routes

        return routes(self, context)

    def error(self, status: int, message: str) -> Json:
        return {"detail": message}

    def conformance(self, names: Names) -> Sequence[Json]:
        return conformance.resources(names)


dialect = MedMitra()
