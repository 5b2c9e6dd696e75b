"""The rules engine: recognise concepts, read their status and dates, and give offsets that are exact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from fhir_server.processing.engines import (
    SNOMED,
    Capability,
    CodeRequest,
    CodeResult,
    ComposeRequest,
    ComposeResult,
    ExtractRequest,
    ExtractResult,
    Mention,
    Reason,
    SetAside,
    SummarizeRequest,
    SummarizeResult,
    TranscribeRequest,
    TranscribeResult,
)
from fhir_server.processing.rules.context import Assertion, Target, assertions, triggers
from fhir_server.processing.rules.dates import Clock, Dated, find_dates, relative
from fhir_server.processing.rules.linking import Candidate, Link, link
from fhir_server.processing.rules.sections import Section, sections
from fhir_server.processing.rules.sentences import sentences
from terminology.content import SNOMED_VERSION
from terminology.fold import fold

if TYPE_CHECKING:
    from terminology.recognise import Concept, Found

REPORTED = frozenset(
    (
        "disorder",
        "finding",
        "procedure",
        "regime/therapy",
        "situation",
        "event",
        "morphologic abnormality",
        "substance",
        "product",
        "medicinal product",
        "observable entity",
    )
)
DONE = frozenset(("procedure", "regime/therapy"))
DRUG = frozenset(("substance", "product", "medicinal product"))
TESTED = re.compile(
    r"(?:\s*\([^()]{1,20}\))?\s*(?:was|is|of|at|:|=|today|measured|currently|today\s+(?:is|was)|-|,)?\s*"
    r"(?P<value>\d{1,3}(?:\.\d+)?(?:\s?/\s?\d{2,3})?(?:\s?-\s?\d{1,3}(?:\.\d+)?)?"
    r"(?:\s?(?:%|mm\s?hg|bpm|/min|beats per minute|breaths per minute|\u00b0\s?[fc]|[fc]\b|"
    r"degrees(?:\s+(?:f|c|fahrenheit|celsius))?|"
    r"kg/m\^?2|kg/m\u00b2|ml/min(?:/1\.73\s?m2)?|/10|percent))?)",
    re.I,
)
ALLERGIC = re.compile(
    r"\b(?:allerg(?:y|ies|ic)|intoleran(?:t|ce)|(?:adverse )?reactions?|anaphylaxis|hives|rash)"
    r"\s+(?:to|with|from)\s+(?:\w+\s+){0,2}$|\ballergies?\s*:\s*(?:\w+,?\s+){0,4}$",
    re.I,
)


REACTION = re.compile(
    r"(?:[-\u2013\u2014:=>]|\b(?:causes?|caused|causing|gives?|gets?|got|with|reaction|developed))\s*(?:\w+\s+){0,2}$",
    re.I,
)
ALLERGENS = frozenset(("111088007", "762952008", "735029006", "44588005", "385420005", "102263004", "372788003"))
"""Latex, foods, contrast and the like: named in a note only as what someone reacts to."""


class RulesEngine:
    """Extraction by rules. Stateless; the phrase automaton is loaded on first use (`warm`) and shared by threads."""

    name = "rules"
    version = "1"
    capabilities: frozenset[Capability] = frozenset({"extract", "code", "summarize", "compose", "transcribe"})

    def warm(self) -> None:
        """Load the phrase automaton now, so that the first note does not wait for it."""
        self.extract(ExtractRequest("Chest pain since 2020."))

    def extract(self, request: ExtractRequest) -> ExtractResult:
        """The coded facts of one note; see Mention for what is exact about offsets and dates."""
        mentions: list[Mention] = []
        aside: list[SetAside] = []
        for mention, reason in read(request, concepts(request.text)):
            if reason is None:
                mentions.append(mention)
            else:
                aside.append(SetAside(mention, reason))
        return ExtractResult(tuple(mentions), tuple(aside), self.name, self.version, SNOMED_VERSION)

    def code(self, request: CodeRequest) -> CodeResult:
        """The ICD-10-CM codes of one note."""
        from fhir_server.processing.rules.coding.engine import code

        return code(request)

    def summarize(self, request: SummarizeRequest) -> SummarizeResult:
        """One chart review of several documents, in their own words."""
        from fhir_server.processing.rules.writing.summary import summarize

        return summarize(request)

    def compose(self, request: ComposeRequest) -> ComposeResult:
        """A note by the sections of a template, from what was said."""
        from fhir_server.processing.rules.writing.compose import compose

        return compose(request)

    def transcribe(self, request: TranscribeRequest) -> TranscribeResult:
        """Speech to text; needs the extra "speech"."""
        from fhir_server.processing.rules.speech import transcribe

        return transcribe(request)


def concepts(text: str) -> list[Found]:
    """The concepts with a SNOMED CT code that extraction reports on, where the text says them."""
    from terminology.recognise import recogniser

    return [hit for hit in recogniser().find(text) if hit.concept.snomed and hit.concept.tag in REPORTED]


Layout = list[tuple[Section, list[tuple[int, int]]]]
"""The sections of a text with the (start, end) of their sentences."""


def layout(text: str) -> Layout:
    """How a text is laid out; it may be given to `read`, so that it is found out once."""
    return [(section, sentences(text, section.body, section.end)) for section in sections(text)]


def read(
    request: ExtractRequest, found: list[Found], laid: Layout | None = None, dated: bool = True
) -> Iterator[tuple[Mention, Reason | None]]:
    """What the text says of the concepts found in it (in its order, without overlap); with a reason: not the
    patient's. `laid`: the layout of the text, when it is known already; not `dated`: no dates are looked for."""
    text = request.text
    clock = Clock(request.letter_date or datetime.now(UTC).date(), request.birth_date)
    if not found:
        return
    folded = fold(text)
    cues = triggers(folded)
    at = cue = 0
    for section, bounds in layout(text) if laid is None else laid:
        for begin, end in bounds:
            while at < len(found) and found[at].start < begin:
                at += 1
            here = []
            while at < len(found) and found[at].end <= end:
                here.append(found[at])
                at += 1
            if not here:
                continue
            while cue < len(cues) and cues[cue].end <= begin:
                cue += 1
            last = cue
            while last < len(cues) and cues[last].start < end:
                last += 1
            targets = [Target(hit.start, hit.end, hit.concept.tag in DONE) for hit in here]
            asserted = assertions(text, folded, begin, end, cues[cue:last], targets, section.kind)
            yield from _sentence(text, begin, end, section, clock, here, asserted, dated)


def _sentence(
    text: str,
    begin: int,
    end: int,
    section: Section,
    clock: Clock,
    here: list[Found],
    asserted: list[Assertion],
    dated: bool,
) -> Iterator[tuple[Mention, Reason | None]]:
    if not dated:
        yield from _facts(text, begin, end, section, clock, here, asserted, [Link(hit.end) for hit in here])
        return
    dates = [
        Dated(d.start + begin, d.end + begin, d.value, d.until, d.ends, d.onset)
        for d in find_dates(text[begin:end], clock)
    ]
    dates = [d for d in dates if not any(hit.start < d.end and d.start < hit.end for hit in here)]
    candidates = [
        Candidate(
            hit.start,
            hit.end,
            hit.concept.tag in DONE,
            what.reason is not None or hit.concept.tag == "observable entity",
        )
        for hit, what in zip(here, asserted, strict=True)
    ]
    links = link(text, begin, end, dates, candidates) if dates else [Link(c.end) for c in candidates]
    yield from _facts(text, begin, end, section, clock, here, asserted, links)


def _facts(
    text: str,
    begin: int,
    end: int,
    section: Section,
    clock: Clock,
    here: list[Found],
    asserted: list[Assertion],
    links: list[Link],
) -> Iterator[tuple[Mention, Reason | None]]:
    for hit, what, linked in zip(here, asserted, links, strict=True):
        concept, reason = hit.concept, what.reason
        value = None
        if concept.tag == "observable entity":
            tested = TESTED.match(text, hit.end, end)
            if tested is None:
                continue
            value, linked.end = " ".join(tested["value"].split()), tested.end("value")
        elif concept.tag in DRUG and (section.kind == "allergies" or ALLERGIC.search(text[begin : hit.start])):
            concept, reason = _allergy(concept, text[hit.start : hit.end]), reason
            if concept.tag in DRUG:
                reason = reason or "other"
        elif section.kind == "allergies" and _is_reaction(text, begin, hit, concept):
            reason = reason or "other"
        if concept.snomed in ALLERGENS:
            continue
        yield _mention(text, hit, concept, what, linked, section, clock.letter, value), reason


def _is_reaction(text: str, begin: int, hit: Found, concept: Concept) -> bool:
    """In a list of allergies: what a drug did ("penicillin (hives)"), not what the patient has now."""
    if "llerg" in concept.display:
        return False
    before = text[begin : hit.start]
    return before.count("(") > before.count(")") or REACTION.search(before) is not None


def _allergy(concept: Concept, said: str) -> Concept:
    """The allergy to a drug, where the content has it; else the drug itself."""
    from terminology.recognise import recogniser

    phrase = f"allergy to {said}"
    for hit in recogniser().find(phrase):
        if hit.start == 0 and hit.end == len(phrase):
            return hit.concept
    return concept


def _mention(
    text: str,
    hit: Found,
    concept: Concept,
    what: Assertion,
    linked: Link,
    section: Section,
    letter: date,
    value: str | None,
) -> Mention:
    from terminology.recognise import title

    ended = linked.end_date
    return Mention(
        code=concept.snomed,
        system=SNOMED,
        display=concept.display,
        concept_type=concept.tag,
        status=what.status,
        source=text[hit.start : linked.end],
        start=hit.start,
        end=linked.end,
        concept_start=hit.start,
        concept_end=hit.end,
        date=linked.date,
        end_date=ended,
        relative_date=relative(linked.date, letter) if linked.date else None,
        relative_end_date=relative(ended, letter) if ended else None,
        icd10cm=concept.icd10cm or None,
        icd10cm_display=title(concept.icd10cm) if concept.icd10cm else None,
        value=value,
        historical=what.historical,
        section=section.kind,
    )
