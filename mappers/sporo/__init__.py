"""Sporo Patient Chart Review: documents, text and speech in, summaries, codes and notes out. Entry point: sporo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fhir_server.jobs import Runner
from fhir_server.jobs.names import Json, Names

from . import conformance
from .translate import AUDIO, ICD10, TEXT, UPLOAD

if TYPE_CHECKING:
    from fastapi import APIRouter

    from fhir_server.dialects import DialectContext
    from fhir_server.hub import Hub
    from fhir_server.jobs.webhooks import Notice


class Sporo:
    """The dialect, as the entry point gives it."""

    name = "sporo"
    paths: Sequence[str] = ("/api/v1/pcr",)
    statuses: Mapping[int, int] = {422: 422}
    """422 is a word of this vendor's."""
    max_body = 64 * 2**20
    """Until `router` has read the setting max_body_bytes."""

    @property
    def runners(self) -> Mapping[str, Runner]:
        from .runners import code_text, summarize_text, summarize_upload, write_note

        return {UPLOAD: summarize_upload, TEXT: summarize_text, ICD10: code_text, AUDIO: write_note}

    def router(self, context: DialectContext) -> APIRouter:
        from .routes import routes

        self.max_body = int(getattr(context.settings, "max_body_bytes", self.max_body))
        return routes(self, context)

    def error(self, status: int, message: str) -> Json:
        return {"detail": message}

    def conformance(self, names: Names) -> Sequence[Json]:
        return conformance.resources(names)

    async def notice(self, hub: Hub, task: Json) -> Notice | None:
        """What the Task's webhook is told once it has ended; None when it has none."""
        from .notices import notice

        return await notice(hub, task)


dialect = Sporo()
