"""Documents about one patient become one chart review: the sentences that matter, word for word, each once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from fhir_server.processing.engines import (
    Document,
    ExtractRequest,
    Quote,
    SummarizeRequest,
    SummarizeResult,
    SummarySection,
)
from fhir_server.processing.rules.dates import Clock, find_dates
from fhir_server.processing.rules.engine import concepts, read
from fhir_server.processing.rules.writing.results import Result, results, trend
from fhir_server.processing.rules.writing.statements import Statement, statements
from terminology.words import words

TITLES = {
    "reason": "Reason for visit",
    "history": "History of present illness",
    "past_history": "Past medical and surgical history",
    "medications": "Medications",
    "allergies": "Allergies",
    "background": "Family and social history",
    "examination": "Examination",
    "results": "Results",
    "assessment": "Assessment",
    "plan": "Plan",
}
_KINDS = {
    "chief_complaint": "reason",
    "present_illness": "history",
    "review_of_systems": "history",
    "past_history": "past_history",
    "surgical_history": "past_history",
    "gynecologic_history": "past_history",
    "immunizations": "past_history",
    "medications": "medications",
    "allergies": "allergies",
    "family_history": "background",
    "social_history": "background",
    "examination": "examination",
    "vitals": "examination",
    "results": "results",
    "assessment": "assessment",
    "differential": "assessment",
    "plan": "plan",
}
_SHARES = {"reason": 3, "history": 12, "past_history": 8, "medications": 12, "allergies": 3, "background": 4,
           "examination": 6, "results": 10, "assessment": 10, "plan": 10}  # fmt: skip
_MEDICINE = re.compile(
    r"\b\d+(?:\.\d+)?\s?(?:mg|mcg|units?|ml|g|iu|puffs?|tablets?)\b|\b(?:daily|bid|tid|qid|qhs|prn|twice a day)\b", re.I
)
_PLAN = re.compile(
    r"\b(?:will (?:start|continue|refer|order|follow|obtain|check|return|monitor|schedule)|continue|start(?:ed)? on|"
    r"recommend|follow[- ]?up|refer(?:red|ral)?|discharge[d]? (?:home|to)|return (?:to|in|if)|schedule|increase|"
    r"decrease)\b",
    re.I,
)
_REASON = re.compile(
    r"\b(?:presents?|presented|presenting|admitted|referred|seen) (?:to|with|for|in|here|today)\b", re.I
)
_ALLERGY = re.compile(r"\ballerg(?:y|ies|ic)\b|\bnkda\b|no known (?:drug )?allerg", re.I)
_EXAM = re.compile(
    r"\b(?:on exam|auscultation|palpation|vital signs?|afebrile|tender(?:ness)?|blood pressure|bp|lungs clear)\b", re.I
)
_FAMILY = re.compile(
    r"\b(?:family history|mother|father|brother|sister|smok|tobacco|alcohol|lives (?:with|alone)|works as)", re.I
)
_BOILER = re.compile(
    r"^(?:page \d+|dictated|transcribed|electronically signed|signed by|cc:|dob|mrn|date\b.{0,20}\d|patient name|"
    r"date of (?:birth|service)|thank you for)",
    re.I,
)
_IMPORTANT = re.compile(
    r"\b(?:acute|severe|new|worsen|critical|abnormal|elevated|stent|positive|malignan|mass|fracture|admitted|surgery|"
    r"underwent|diagnosed|significant|increased|decreased|failure|emergency)",
    re.I,
)


@dataclass(slots=True)
class _Piece:
    quote: Quote
    key: frozenset[str]
    kind: str
    score: float
    when: date | None
    order: tuple[int, int]


def summarize(request: SummarizeRequest) -> SummarizeResult:
    """One chart review of the documents (see SummarizeResult)."""
    dated = [(document, document.date or _written(document.text)) for document in request.documents]
    ordered = sorted(enumerate(dated), key=lambda item: (item[1][1] or date.max, item[0]))
    focus = frozenset(words(request.focus))
    pieces: list[_Piece] = []
    values: dict[str, list[tuple[Result, Document, date | None]]] = defaultdict(list)
    for number, (document, when) in ((n, pair) for n, (_, pair) in enumerate(ordered)):
        for piece in _pieces(document, when, number, focus, request.letter_date):
            pieces.append(piece)
        for result in results(document.text):
            values[result.name].append((result, document, when))
    kept = _each_once(pieces)
    several = len(request.documents) > 1
    names = {document.id: number for number, (_, (document, _)) in enumerate(ordered, 1)}
    sections = []
    for kind, title in TITLES.items():
        quotes = _chosen([p for p in kept if p.kind == kind], kind, request.limit)
        lines = [_line(p, names, several) for p in quotes]
        sentences = [p.quote for p in quotes]
        if kind == "results" and several:
            trends, said = _trends(values, names)
            lines.extend(trends)
            sentences.extend(said)
        if lines:
            sections.append(SummarySection(kind, title, "\n".join(lines), tuple(sentences)))
    text = "\n\n".join(f"{section.title}:\n{section.text}" for section in sections)
    if several and text:
        sources = [
            f"[{n}] {document.title}" + (f" ({when.isoformat()})" if when else "")
            for n, (_, (document, when)) in enumerate(ordered, 1)
        ]
        text = f"{text}\n\nSources:\n" + "\n".join(sources)
    if not text:
        text = "No clinical statements were found in the documents."
    return SummarizeResult(text, tuple(sections), "rules", "1")


_YEAR = re.compile(r"\d{4}|[/.-]\d{2}\b")
_BORN = re.compile(r"\b(?:dob|birth|born)\W{0,12}(?:date)?\W*$", re.I)


def _written(text: str) -> date | None:
    """The date a document bears in its first lines."""
    head = text[:400]
    for found in find_dates(head, Clock(datetime.now(UTC).date(), None)):
        value = found.value or ""
        said = head[found.start : found.end]
        if len(value) == 10 and _YEAR.search(said) and not _BORN.search(head[: found.start]):
            return date.fromisoformat(value)
    return None


def _pieces(
    document: Document, when: date | None, number: int, focus: frozenset[str], letter: date | None
) -> list[_Piece]:
    text = document.text
    facts: dict[int, float] = {}
    for mention, reason in read(ExtractRequest(text, "", when or letter), concepts(text)):
        facts[mention.concept_start] = 0.3 if reason else 1.0
    starts = sorted(facts)
    found = []
    for statement in statements(text):
        if _BOILER.match(statement.text):
            continue
        weight = sum(facts[s] for s in starts if statement.start <= s < statement.end)
        kind = _kind(statement, weight)
        if kind is None:
            continue
        score = weight + (1.0 if _IMPORTANT.search(statement.text) else 0.0) + 3.0 * len(focus & statement.key)
        score += 0.5 if _DIGIT.search(statement.text) else 0.0
        for start, end in _items(statement) if kind == "medications" else [(statement.start, statement.end)]:
            said = text[start:end]
            key = statement.key if said == statement.text else frozenset(words(said))
            found.append(_Piece(Quote(said, document.id, start, end), key, kind, score, when, (number, start)))
    return found


_DIGIT = re.compile(r"\d")
_ITEMS = re.compile(r"[,;]\s+(?=[A-Za-z])")


def _items(statement: Statement) -> list[tuple[int, int]]:
    """The medicines of a list in one sentence, each with its dose; else the sentence."""
    parts: list[tuple[int, int]] = []
    at = statement.start
    for cut in _ITEMS.finditer(statement.text):
        parts.append((at, statement.start + cut.start()))
        at = statement.start + cut.end()
    parts.append((at, statement.end))
    offset = statement.start
    dosed = all(_MEDICINE.search(statement.text[a - offset : b - offset]) for a, b in parts)
    return parts if dosed else [(statement.start, statement.end)]


def _kind(statement: Statement, weight: float) -> str | None:
    """The part of the summary for a statement; None for one that says nothing clinical."""
    known = _KINDS.get(statement.kind or "")
    said = statement.text
    if known == "assessment" and _PLAN.search(said) and not weight:
        return "plan"
    if known:
        return known
    if _ALLERGY.search(said):
        return "allergies"
    if results(said):
        return "results" if not _EXAM.search(said) else "examination"
    if _REASON.search(said):
        return "reason" if statement.start < 200 else "history"
    if _PLAN.search(said):
        return "plan"
    if _MEDICINE.search(said):
        return "medications"
    if _FAMILY.search(said):
        return "background"
    if _EXAM.search(said):
        return "examination"
    return "history" if weight or _IMPORTANT.search(said) else None


def _each_once(pieces: list[_Piece]) -> list[_Piece]:
    """Drops what an earlier statement of the same part says already; the longer wording stays, both places are kept."""
    kept: list[_Piece] = []
    by_word: dict[str, list[int]] = defaultdict(list)
    for piece in pieces:
        same = None
        candidates = {n for w in piece.key for n in by_word[w]}
        for n in sorted(candidates):
            other = kept[n]
            if _repeats(piece, other):
                same = n
                break
        if same is None:
            for w in piece.key:
                by_word[w].append(len(kept))
            kept.append(piece)
            continue
        other = kept[same]
        longer, shorter = (piece, other) if len(piece.key) > len(other.key) else (other, piece)
        place = (shorter.quote.document, shorter.quote.start, shorter.quote.end)
        also = tuple(dict.fromkeys((*longer.quote.also, place, *shorter.quote.also)))
        kept[same] = _reworded(other, replace(longer.quote, also=also), longer.key, max(piece.score, other.score))
        for w in longer.key - other.key:
            by_word[w].append(same)
    return kept


def _reworded(piece: _Piece, quote: Quote, key: frozenset[str], score: float) -> _Piece:
    return _Piece(quote, key, piece.kind, score, piece.when, piece.order)


def _repeats(one: _Piece, other: _Piece) -> bool:
    if one.kind != other.kind and not {one.kind, other.kind} <= {"history", "past_history", "assessment"}:
        return False
    a, b = one.key, other.key
    if not a or not b:
        return one.quote.text == other.quote.text
    if {w for w in a ^ b if any(c.isdigit() for c in w)}:
        return False
    both = len(a & b)
    return both / len(a | b) >= 0.8 or (one.kind == other.kind and (a <= b or b <= a) and both >= 2 and _agree(a, b))


_TURNS = frozenset(("no", "not", "denies", "without", "resolved", "stopped", "discontinued", "never"))


def _agree(a: frozenset[str], b: frozenset[str]) -> bool:
    return (a & _TURNS) == (b & _TURNS)


def _chosen(pieces: list[_Piece], kind: str, limit: int) -> list[_Piece]:
    """The most telling statements of a part, in the order of time and text."""
    share = max(1, round(_SHARES[kind] * limit / 60))
    if kind == "examination":
        pieces = [p for p in pieces if p.score > 0.5]
    best = sorted(pieces, key=lambda p: (-p.score, p.order))[:share]
    return sorted(best, key=lambda p: p.order)


def _line(piece: _Piece, names: dict[str, int], several: bool) -> str:
    text = " ".join(piece.quote.text.split())
    if not several:
        return f"- {text}"
    cited = sorted({names[piece.quote.document], *(names[document] for document, _, _ in piece.quote.also)})
    return f"- {text} " + "".join(f"[{number}]" for number in cited)


def _trends(
    values: dict[str, list[tuple[Result, Document, date | None]]], names: dict[str, int]
) -> tuple[list[str], list[Quote]]:
    """One line for each test with a value in at least two documents, oldest first."""
    lines: list[str] = []
    quotes: list[Quote] = []
    for name, found in values.items():
        first: dict[str, tuple[Result, Document, date | None]] = {}
        for result, document, when in found:
            first.setdefault(document.id, (result, document, when))
        if len(first) < 2:
            continue
        series: Sequence[tuple[Result, Document, date | None]] = list(first.values())
        shown = " -> ".join(
            f"{result.value}{f' ({when.isoformat()})' if when else ''} [{names[document.id]}]"
            for result, document, when in series
        )
        numbers = [result.number for result, _, _ in series if result.number is not None]
        dates_known = all(when for _, _, when in series)
        said = f", {trend(numbers)}" if len(numbers) == len(series) and dates_known else ""
        lines.append(f"- {name}: {shown}{said}")
        quotes.extend(Quote(document.text[r.start : r.end], document.id, r.start, r.end) for r, document, _ in series)
    return lines, quotes
