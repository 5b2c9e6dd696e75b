"""The rules engine: recognise concepts, read their status and dates, and give offsets that are exact."""

from __future__ import annotations

from fhir_server.processing.engines import Capability, ExtractRequest, ExtractResult


class RulesEngine:
    """Extraction by rules. Stateless; the phrase automaton is loaded on first use (`warm`) and shared by threads."""

    name = "rules"
    version = "1"
    capabilities: frozenset[Capability] = frozenset({"extract"})

    def warm(self) -> None:
        """Load the phrase automaton now, so that the first note does not wait for it."""

    def extract(self, request: ExtractRequest) -> ExtractResult:
        """The coded facts of one note; see Mention for what is exact about offsets and dates."""
        return ExtractResult(())
