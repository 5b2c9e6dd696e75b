"""The default engine: phrases, sections, status rules and dates, without a model and without a network."""

from __future__ import annotations

from fhir_server.processing.rules.engine import RulesEngine

__all__ = ["RulesEngine", "engine"]


def engine() -> RulesEngine:
    """The entry point of the group ``fhir_server.engines``. Nothing is loaded until the first text comes."""
    return RulesEngine()
