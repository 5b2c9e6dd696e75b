"""HealthSage CDT: clinical notes in, coded concepts out. The entry point ``fhir_server.dialects``: healthsage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fhir_server.jobs import Runner
from fhir_server.jobs.names import Json, Names

from . import conformance
from .extraction import extract
from .translate import CODE

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fhir_server.dialects import DialectContext


class HealthSage:
    """The dialect, as the entry point gives it."""

    name = "healthsage"
    paths: Sequence[str] = ("/generate", "/tasks", "/auth/usage")
    max_body = 1 << 20

    @property
    def runners(self) -> Mapping[str, Runner]:
        return {CODE: extract}

    def router(self, context: DialectContext) -> APIRouter:
        from .routes import routes

        return routes(self, context)

    def error(self, status: int, message: str) -> Json:
        return {"detail": message}

    def conformance(self, names: Names) -> Sequence[Json]:
        return conformance.resources(names)


dialect = HealthSage()
