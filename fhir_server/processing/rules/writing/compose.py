"""A transcript, a dictation or a note becomes a note by the sections of a template: what was said, word for word."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from fhir_server.processing.engines import (
    NOT_DOCUMENTED,
    ComposedSection,
    ComposeRequest,
    ComposeResult,
    Quote,
    TemplateSection,
)
from fhir_server.processing.rules.sections import kind_of
from fhir_server.processing.rules.sentences import sentences
from fhir_server.processing.rules.writing.dialogue import turns
from fhir_server.processing.rules.writing.learned import scores
from fhir_server.processing.rules.writing.statements import statements
from fhir_server.processing.rules.writing.templates import SOAP, TOPICS, routes
from fhir_server.processing.rules.writing.topics import is_answer, is_chat, topic

_SHORT = 8
"""Words up to which an answer is read with its question: "Do you smoke? I quit ten years ago."."""
_SAID = re.compile(r"[^\W_]")
_UNSURE = frozenset(("present_illness", "review_of_systems", "past_history"))
_CLINICIANS = ("assessment", "plan", "examination")
_AROUND = ((-2, 0.4), (-1, 0.7), (0, 1.0), (1, 0.7), (2, 0.4))
_MARGIN = 150
_KINDS = {"differential": "assessment", "gynecologic_history": "past_history"}


@dataclass(slots=True)
class _Line:
    """One line of the note: its quotes in the order said, and the topic it is about."""

    topic: str
    quotes: list[Quote]
    text: str
    speaker: str = ""


def compose(request: ComposeRequest) -> ComposeResult:
    """The note (see ComposeResult)."""
    template = request.sections or SOAP
    lines = _lines(request)
    route = routes(template)
    placed: dict[int, list[_Line]] = defaultdict(list)
    for line in lines:
        where = _titled(line.topic, template)
        if where is None:
            where = route.get(line.topic)
        if where is not None:
            placed[where].append(line)
    order = {name: number for number, name in enumerate(TOPICS)}
    composed = []
    for number, section in enumerate(template):
        mine = sorted(placed[number], key=lambda line: order.get(line.topic, 0))
        text = "\n".join(dict.fromkeys(line.text for line in mine)) or NOT_DOCUMENTED
        quotes = tuple(quote for line in mine for quote in line.quotes)
        composed.append(ComposedSection(section.link_id, section.title, text, quotes))
    parts = [f"{section.title}:\n{section.text}" for section in composed]
    text = "\n\n".join([request.title, *parts] if request.title else parts)
    return ComposeResult(text, tuple(composed), "rules", "1")


def _titled(name: str, template: tuple[TemplateSection, ...]) -> int | None:
    """The section with exactly this title, when a note's own heading is no kind that is known."""
    for number, section in enumerate(template):
        if section.title.strip().lower() == name:
            return number
    return None


def _lines(request: ComposeRequest) -> list[_Line]:
    if request.turns:
        said = [(str(number), turn.text, turn.speaker, 0) for number, turn in enumerate(request.turns)]
        return _conversation(said)
    text = request.text
    labelled = turns(text)
    if labelled:
        return _conversation([("0", turn.text, turn.speaker, offset) for turn, offset in labelled])
    if text.count("?") >= 3:
        said = [("0", text[a:b], "", a) for a, b in sentences(text) if text[a:b].strip()]
        return _conversation([(d, s, "clinician" if s.strip().endswith("?") else "", o) for d, s, _, o in said])
    return _dictation(text)


def _dictation(text: str) -> list[_Line]:
    """A note or a dictation: its headings decide, spoken ones too ("Assessment."); else what each sentence is about."""
    found: list[_Line] = []
    heading: str | None = None
    last: str | None = None
    for statement in statements(text):
        said = statement.text
        spoken = kind_of(said.rstrip(".:,; ")) if len(said.split()) <= 5 else None
        if spoken is not None:
            heading = _KINDS.get(spoken, spoken)
            continue
        kind = _KINDS.get(statement.kind or "", statement.kind)
        name = kind if kind in TOPICS else heading if heading in TOPICS else None
        name = name or topic(said, "clinician") or last or "present_illness"
        last = name if name in ("present_illness", "plan", "examination") else None
        quote = Quote(said, "0", statement.start, statement.end)
        found.append(_Line(name, [quote], " ".join(said.split())))
    return found


def _conversation(said: list[tuple[str, str, str, int]]) -> list[_Line]:
    """(document, words, speaker, offset of the words) of each turn. What the clinician asks decides what the answer is
    about, when the answer alone does not say."""
    found: list[_Line] = []
    asked: tuple[str | None, Quote] | None = None
    current: str | None = None
    for document, text, speaker, offset in said:
        for begin, end in sentences(text):
            start = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
            stop = begin + len(text[begin:end].rstrip())
            words = text[start:stop]
            if not _SAID.search(words) or is_chat(words):
                continue
            quote = Quote(words, document, offset + start, offset + stop)
            shown = " ".join(words.split())
            name = topic(words, speaker)
            if words.endswith("?") and speaker != "patient":
                asked = (name, quote)
                if name in ("assessment", "plan", "present_illness"):
                    asked = ("present_illness", quote)
                continue
            if asked is not None and speaker != "clinician":
                about, question = asked
                if is_answer(words):
                    name = about or name or current or "present_illness"
                    name = "review_of_systems" if name == "present_illness" else name
                    together = f"{' '.join(question.text.split())} {shown}"
                    found.append(_Line(name, [question, quote], together, speaker))
                    asked, current = None, name
                    continue
                if (
                    about
                    and about != "chief_complaint"
                    and (name is None or (name != about and len(words.split()) <= _SHORT))
                ):
                    found.append(_Line(about, [question, quote], f"{' '.join(question.text.split())} {shown}", speaker))
                    asked, current = None, about
                    continue
                name = about if name == "present_illness" and about else name
                asked = None
            if name is None:
                if speaker == "clinician":
                    continue
                name = current or "present_illness"
            if name == "chief_complaint" and any(line.topic == "chief_complaint" for line in found):
                name = "present_illness"
            current = name
            found.append(_Line(name, [quote], _attributed(shown, speaker), speaker))
    return _settled(found)


def _settled(lines: list[_Line]) -> list[_Line]:
    """Lines that no rule places for certain go where their words, and those of the exchanges around them, belong."""
    weights = [scores(" ".join(quote.text for quote in line.quotes)) for line in lines]
    for number, line in enumerate(lines):
        if line.topic not in _UNSURE:
            continue
        total: Counter[str] = Counter()
        for offset, share in _AROUND:
            if 0 <= number + offset < len(lines):
                total.update({name: round(share * value) for name, value in weights[number + offset].items()})
        for name in _CLINICIANS if line.speaker == "patient" else ():
            total.pop(name, None)
        if not total:
            continue
        best, most = total.most_common(1)[0]
        if most - total.get(line.topic, 0) > _MARGIN:
            line.topic = best
    return lines


def _attributed(shown: str, speaker: str) -> str:
    """The words of the patient or a relative are given as theirs."""
    if speaker == "patient":
        return f'Patient: "{shown}"'
    return f'Family: "{shown}"' if speaker == "other" else shown
