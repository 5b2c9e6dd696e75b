"""AutoScribe: radiology reports, their addenda and PDFs, and the studies they are on. The entry point
``fhir_server.dialects``: autoscribe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fhir_server.jobs import Runner
from fhir_server.jobs.names import Json, Names

from . import conformance

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fhir_server.dialects import DialectContext


class AutoScribe:
    """The dialect, as the entry point gives it."""

    name = "autoscribe"
    paths: Sequence[str] = ("/v1/autoScribe", "/files/reports")
    max_body = 16 << 20

    @property
    def runners(self) -> Mapping[str, Runner]:
        return {}

    def router(self, context: DialectContext) -> APIRouter:
        from .routes import routes

        return routes(self, context)

    def error(self, status: int, message: str) -> Json:
        return {"success": False, "message": message}

    def conformance(self, names: Names) -> Sequence[Json]:
        return conformance.resources(names)


dialect = AutoScribe()
