"""What a processing engine is, and how one is chosen: text in, coded facts with exact offsets out.

An engine is a plug-in of the entry-point group ``fhir_server.engines``: an object, or a callable that returns one, with
a name, a version, and the capabilities it has. Settings choose an engine per capability; ``rules`` is the default.
Engines are plain synchronous code without I/O of their own, called in a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.metadata import entry_points
from typing import Literal, Protocol, cast, runtime_checkable

GROUP = "fhir_server.engines"
SNOMED = "http://snomed.info/sct"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"

Capability = Literal["extract", "code", "summarize", "compose", "transcribe"]
Status = Literal["confirmed", "provisional", "differential"]
"""How sure the text is of a fact about the patient; the same words as FHIR's condition-ver-status."""

Reason = Literal["negated", "family", "hypothetical", "other"]
"""Why a mention is not reported as the patient's."""


class UnknownEngine(LookupError):
    """No installed engine has this name, or the one named lacks the capability."""


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """One note. `letter_date` is what relative dates are counted from; `birth_date` resolves "at age 45"."""

    text: str
    specialty: str = ""
    letter_date: date | None = None
    birth_date: date | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """One concept found in a text.

    text[start:end] == source always, in code points, end exclusive. The source may go on to the date that belongs to
    the concept ("paroxysmal atrial fibrillation diagnosed in 2021"); text[concept_start:concept_end] is the concept
    alone. `date` and `end_date` are FHIR partial dates ("2021", "2021-03", "2021-03-04"). `relative_date` counts from
    the letter date in the date's own precision: "(Y-4)", "(M-3)", "(D-10)", "(Y+1)". `concept_type` is the semantic
    tag of the fully specified name in `display` ("disorder", "finding", "procedure", "substance", ...).
    """

    code: str
    system: str
    display: str
    concept_type: str
    status: Status
    source: str
    start: int
    end: int
    concept_start: int
    concept_end: int
    date: str | None = None
    end_date: str | None = None
    relative_date: str | None = None
    relative_end_date: str | None = None
    icd10cm: str | None = None
    icd10cm_display: str | None = None
    value: str | None = None
    """For an observable entity: what the text says it was, e.g. "150/90 mmHg"."""
    historical: bool = False
    """True when the text speaks of the patient's past ("history of", "status post"); still the patient's."""
    section: str | None = None
    """The kind of section it stands in: "family_history", "assessment", ... None when no heading was seen."""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class SetAside:
    """A mention that is not a fact about the patient: negated, a relative's, or imagined. Never stored as his."""

    mention: Mention
    reason: Reason


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """`mentions` in the order of the text, without overlap; `set_aside` likewise. Versions are for Provenance."""

    mentions: tuple[Mention, ...]
    set_aside: tuple[SetAside, ...] = ()
    engine: str = "rules"
    engine_version: str = ""
    snomed_version: str = ""
    """ISO date of the SNOMED CT edition that the codes come from, e.g. "2020-07-31"."""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def snomed_version_uri(self) -> str:
        """Coding.version for these codes (SNOMED CT URI standard, International Edition)."""
        return f"{SNOMED}/900000000000207008/version/{self.snomed_version.replace('-', '')}"


@runtime_checkable
class Engine(Protocol):
    """What every engine has. A capability's method is named like the capability."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...


@runtime_checkable
class ExtractEngine(Engine, Protocol):
    """An engine with the capability "extract"."""

    def extract(self, request: ExtractRequest) -> ExtractResult: ...


@cache
def load(name: str) -> Engine:
    """The installed engine called `name`. Loaded once per process; raises UnknownEngine."""
    for point in entry_points(group=GROUP):
        if point.name == name:
            found = point.load()
            engine = found if isinstance(found, Engine) else found()
            if not isinstance(engine, Engine):
                raise UnknownEngine(f"The entry point {name!r} in {GROUP} is not an engine: {engine!r}")
            return engine
    installed = ", ".join(sorted(p.name for p in entry_points(group=GROUP))) or "none"
    raise UnknownEngine(f"No engine named {name!r} is installed. Installed engines: {installed}.")


def engine_for(capability: Capability, chosen: Mapping[str, str] | None = None) -> Engine:
    """The engine that settings chose for a capability (`chosen` maps capability -> engine name; default "rules").

    Raises UnknownEngine when it is not installed or cannot do it.
    """
    name = (chosen or {}).get(capability, "rules")
    engine = load(name)
    if capability not in engine.capabilities:
        raise UnknownEngine(
            f"The engine {name!r} cannot {capability}; it can: {', '.join(sorted(engine.capabilities))}."
        )
    return engine


def extractor(chosen: Mapping[str, str] | None = None) -> ExtractEngine:
    """The engine chosen for extraction."""
    return cast(ExtractEngine, engine_for("extract", chosen))
