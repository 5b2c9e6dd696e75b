"""HealthSage CDT: clinical notes in, coded concepts out. The entry point ``fhir_server.dialects``: healthsage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .routes import HealthSage


def dialect() -> HealthSage:
    """The dialect; FastAPI and the models are imported only here."""
    from .routes import HealthSage

    return HealthSage()
