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


class NotInstalled(RuntimeError):
    """The capability needs an optional extra that is not installed; `extra` names it.

    A dialect turns it into its own failed job; a native caller into 501 not-supported."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} is not installed on this server. Install the extra {extra!r}: fhir-server[{extra}].")
        self.extra = extra


class Unreadable(ValueError):
    """The bytes given are not what they claim to be (no audio in them, cut off, encrypted). The message says why."""


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """One note to be coded in ICD-10-CM, or a few problems in a list. `letter_date` and `birth_date` as in
    ExtractRequest. `sex` ("male", "female" or "") and `birth_date` decide between codes that depend on them."""

    text: str
    letter_date: date | None = None
    birth_date: date | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class CodedDiagnosis:
    """One billable ICD-10-CM code with the place in the text it comes from.

    text[start:end] == evidence always, in code points, end exclusive. `name` is the problem in words that fit the
    evidence ("Type 2 diabetes mellitus with diabetic nephropathy"), `display` the code's official title. `confidence`
    lies in 0..1 and is computed; `explanation` lists what it was computed from, in sentences for a reader. `also` holds
    further places (start, end) that speak of the same diagnosis; `historical` is True for Z codes of the past."""

    name: str
    code: str
    display: str
    evidence: str
    start: int
    end: int
    confidence: float
    explanation: tuple[str, ...] = ()
    also: tuple[tuple[int, int], ...] = ()
    snomed: str | None = None
    historical: bool = False
    system: str = ICD10CM


@dataclass(frozen=True, slots=True)
class CodeResult:
    """`codes` without repeats, the most important first (the reason for the visit, then the active problems, symptoms,
    status and history). Empty when nothing codeable is said. `icd10cm_version` is the edition's ISO date."""

    codes: tuple[CodedDiagnosis, ...]
    engine: str = "rules"
    engine_version: str = ""
    icd10cm_version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One document to read: `id` is the caller's (e.g. a DocumentReference id), `text` its plain text. `date` is when
    it was written, when known; else it is read from the text or stays unknown."""

    id: str
    title: str
    text: str
    date: date | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A stretch of a source, word for word: the document's text[start:end] == text, in code points, end exclusive.

    `also` names other places (document id, start, end) that say the same."""

    text: str
    document: str
    start: int
    end: int
    also: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SummarizeRequest:
    """Documents about one patient, in any order. `focus`: what the reader asks for in words ("cardiac history");
    sentences that speak of it are preferred, nothing else is made of it. `limit`: about how many sentences at most."""

    documents: tuple[Document, ...]
    focus: str = ""
    letter_date: date | None = None
    limit: int = 60


@dataclass(frozen=True, slots=True)
class SummarySection:
    """One part of a summary. `kind`: "reason", "history", "problems", "past_history", "medications", "allergies",
    "results", "imaging", "course", "assessment", "plan", ...; `text` is what a reader sees under `title`."""

    kind: str
    title: str
    text: str
    sentences: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class SummarizeResult:
    """`text` is the whole summary as plain text (titles and lines); every clinical statement in it is one of the
    `sentences`, verbatim from its source."""

    text: str
    sections: tuple[SummarySection, ...]
    engine: str = "rules"
    engine_version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[Quote, ...]:
        """All quotes, in the order of the summary."""
        return tuple(quote for section in self.sections for quote in section.sentences)


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance of a dialogue. `speaker`: "clinician", "patient", "other", or "" when not known."""

    text: str
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class TemplateSection:
    """One section of a note template (a Questionnaire item): `link_id` and `title` as the template has them, `hints`
    further words on what belongs there (e.g. the item's LOINC code or instructions)."""

    link_id: str
    title: str
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComposeRequest:
    """What was said, and the template to put it in. Give `turns`, or `text` (a transcript, with or without speaker
    labels, or a note). No sections: SOAP."""

    text: str = ""
    turns: tuple[Turn, ...] = ()
    sections: tuple[TemplateSection, ...] = ()
    title: str = ""
    letter_date: date | None = None


NOT_DOCUMENTED = "Not documented."
"""What stands in a section about which nothing was said."""


@dataclass(frozen=True, slots=True)
class ComposedSection:
    """One section of the note, for the template's `link_id`. `text` holds only what was said, or NOT_DOCUMENTED.
    The quotes' `document` is the number of the turn ("0", "1", ...; "0" for a plain text)."""

    link_id: str
    title: str
    text: str
    sentences: tuple[Quote, ...] = ()

    @property
    def documented(self) -> bool:
        """False when nothing was said for this section."""
        return bool(self.sentences)


@dataclass(frozen=True, slots=True)
class ComposeResult:
    """The template's sections, all of them, in its order; `text` is the note as plain text."""

    text: str
    sections: tuple[ComposedSection, ...]
    engine: str = "rules"
    engine_version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TranscribeRequest:
    """Speech: the file's `audio` bytes (wav, mp3, m4a, ogg, flac, webm) and its `content_type` when known. `hotwords`:
    words that are likely to be said, added to the commonest clinical ones. `language`: BCP-47."""

    audio: bytes
    content_type: str = ""
    hotwords: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of speech: seconds from the beginning, and its text. `confidence` lies in 0..1."""

    start: float
    end: float
    text: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    """`text` is all that was said, one blank-separated line of the segments; empty when nobody spoke. `seconds`: the
    length of the audio."""

    text: str
    segments: tuple[Segment, ...]
    seconds: float = 0.0
    engine: str = "rules"
    engine_version: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


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


@runtime_checkable
class CodeEngine(Engine, Protocol):
    """An engine with the capability "code"."""

    def code(self, request: CodeRequest) -> CodeResult: ...


@runtime_checkable
class SummarizeEngine(Engine, Protocol):
    """An engine with the capability "summarize"."""

    def summarize(self, request: SummarizeRequest) -> SummarizeResult: ...


@runtime_checkable
class ComposeEngine(Engine, Protocol):
    """An engine with the capability "compose"."""

    def compose(self, request: ComposeRequest) -> ComposeResult: ...


@runtime_checkable
class TranscribeEngine(Engine, Protocol):
    """An engine with the capability "transcribe". Raises NotInstalled without its extra, Unreadable for bad audio."""

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult: ...


@cache
def load(name: str) -> Engine:
    """The installed engine called `name`. Loaded once per process; raises UnknownEngine."""
    for point in entry_points(group=GROUP):
        if point.name == name:
            found = point.load()
            # a class that has the attributes looks like an engine, and is none until it is called
            engine = found() if isinstance(found, type) or not isinstance(found, Engine) else found
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


def coder(chosen: Mapping[str, str] | None = None) -> CodeEngine:
    """The engine chosen for ICD-10-CM coding."""
    return cast(CodeEngine, engine_for("code", chosen))


def summarizer(chosen: Mapping[str, str] | None = None) -> SummarizeEngine:
    """The engine chosen for summaries."""
    return cast(SummarizeEngine, engine_for("summarize", chosen))


def composer(chosen: Mapping[str, str] | None = None) -> ComposeEngine:
    """The engine chosen for writing notes."""
    return cast(ComposeEngine, engine_for("compose", chosen))


def transcriber(chosen: Mapping[str, str] | None = None) -> TranscribeEngine:
    """The engine chosen for speech."""
    return cast(TranscribeEngine, engine_for("transcribe", chosen))
