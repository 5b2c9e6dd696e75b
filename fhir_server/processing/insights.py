"""How the parts of a case are put together; see ``case`` for what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhir_server.processing.case import (
    CaseDocument,
    CaseInsights,
    CaseRequest,
    CaseSummary,
    PrimaryDiagnosis,
    Score,
    SoapNote,
)
from fhir_server.processing.engines import (
    NOT_DOCUMENTED,
    CodedDiagnosis,
    CodeRequest,
    CodeResult,
    ComposeRequest,
    ComposeResult,
    Document,
    SummarizeRequest,
    SummarizeResult,
    coder,
    composer,
    summarizer,
)
from fhir_server.processing.rules.writing.statements import statements

SUMMARY_ID = "case-summary"
_MOST_FINDINGS = 8
_MOST_EVIDENCE = 5


@dataclass(frozen=True, slots=True)
class _Coded:
    """A diagnosis and the documents that name it, the one it is best said in first."""

    diagnosis: CodedDiagnosis
    places: tuple[tuple[Document, CodedDiagnosis], ...]
    rank: float


def build(request: CaseRequest, chosen: Mapping[str, str] | None) -> CaseInsights:
    """The insights (see CaseInsights)."""
    sources = list(request.documents)
    if request.summary.strip():
        sources.insert(0, CaseDocument(Document(SUMMARY_ID, "Case summary", request.summary, request.letter_date)))
    coded_in = {
        one.document.id: coder(chosen)
        .code(CodeRequest(one.document.text, one.document.date or request.letter_date, sex=request.sex))
        .codes
        for one in sources
    }
    ranked = _ranked(sources, coded_in)
    summary = summarizer(chosen).summarize(
        SummarizeRequest(tuple(one.document for one in sources), letter_date=request.letter_date)
    )
    note = _note(sources, request, chosen)
    primary = _primary(ranked, len(sources))
    case_summary = _case_summary(request, sources, summary, ranked, chosen)
    soap = _soap(note)
    scores = [case_summary.confidence.value, soap.confidence.value]
    if primary is not None:
        scores.append(primary.confidence.value)
    codes = CodeResult(tuple(one.diagnosis for one in ranked))
    overall = round(sum(scores) / len(scores), 2)
    return CaseInsights(case_summary, soap, primary, overall, codes, coded_in, summary, note)


def _ranked(sources: Sequence[CaseDocument], coded_in: Mapping[str, tuple[CodedDiagnosis, ...]]) -> list[_Coded]:
    """The diagnoses of all documents, the most important first: what the clinician wrote weighs most, then how early a
    document names it, then how many name it."""
    places: dict[str, list[tuple[Document, CodedDiagnosis]]] = {}
    rank: dict[str, float] = {}
    for source in sources:
        weight = 0.0 if source.document.id == SUMMARY_ID else 1.0 if source.kind == "note" else 2.0
        for number, diagnosis in enumerate(coded_in[source.document.id]):
            places.setdefault(diagnosis.code, []).append((source.document, diagnosis))
            worth = weight * 3 + number + (20 if diagnosis.code[0] == "Z" or diagnosis.historical else 0)
            worth += 6 if diagnosis.code[0] == "R" else 0
            rank[diagnosis.code] = min(rank.get(diagnosis.code, 1e9), worth)
    found = [
        _Coded(max((d for _, d in where), key=lambda d: d.confidence), tuple(where), rank[code] - 0.5 * len(where))
        for code, where in places.items()
    ]
    return sorted(found, key=lambda one: one.rank)


def _sentence(text: str, start: int, end: int) -> str:
    """The sentence, or list item, around a place, word for word."""
    for statement in statements(text):
        if statement.start <= start and end <= statement.end:
            return statement.text
    return text[start:end]


def _primary(ranked: list[_Coded], sources: int) -> PrimaryDiagnosis | None:
    able = [one for one in ranked if one.diagnosis.code[0] != "Z" and not one.diagnosis.historical]
    if not able:
        return None
    best = able[0]
    evidence = [
        _sentence(document.text, start, end)
        for document, diagnosis in best.places
        for start, end in ((diagnosis.start, diagnosis.end), *diagnosis.also)
    ]
    value, why = best.diagnosis.confidence, list(best.diagnosis.explanation)
    documents = len({document.id for document, _ in best.places})
    if documents > 1:
        value = min(0.99, value + 0.03 * (documents - 1))
        why.append(f"{documents} of {sources} documents name it (+{0.03 * (documents - 1):.2f}).")
    rivals = [one for one in able[1:] if one.rank - best.rank < 1 and one.diagnosis.code[:3] != best.diagnosis.code[:3]]
    if rivals:
        value = max(0.05, value - 0.1)
        why.append(f"{rivals[0].diagnosis.name} ({rivals[0].diagnosis.code}) is about as prominent (-0.10).")
    diagnosis = best.diagnosis
    unique = tuple(dict.fromkeys(evidence))[:_MOST_EVIDENCE]
    return PrimaryDiagnosis(
        diagnosis.name, diagnosis.code, diagnosis.display, unique, Score(round(value, 2), tuple(why))
    )


def _case_summary(
    request: CaseRequest,
    sources: Sequence[CaseDocument],
    summary: SummarizeResult,
    ranked: list[_Coded],
    chosen: Mapping[str, str] | None,
) -> CaseSummary:
    findings = [
        _sentence(one.places[0][0].text, one.places[0][1].start, one.places[0][1].end)
        for one in ranked
        if one.diagnosis.code[0] != "Z"
    ]
    findings.extend(q.text for s in summary.sections if s.kind == "results" for q in s.sentences)
    lab, radiology = (_part(sources, kind, request, chosen) for kind in ("lab", "radiology"))
    return CaseSummary(
        comprehensive_summary=summary.text,
        key_findings=tuple(dict.fromkeys(" ".join(f.split()) for f in findings))[:_MOST_FINDINGS],
        lab_summary=lab,
        radiology_summary=radiology,
        confidence=_summary_score(request, summary),
    )


def _part(sources: Sequence[CaseDocument], kind: str, request: CaseRequest, chosen: Mapping[str, str] | None) -> str:
    mine = tuple(one.document for one in sources if one.kind == kind and one.document.text.strip())
    if not mine:
        return ""
    return summarizer(chosen).summarize(SummarizeRequest(mine, letter_date=request.letter_date, limit=40)).text


def _summary_score(request: CaseRequest, summary: SummarizeResult) -> Score:
    value = 0.5
    why = ["Every sentence is taken word for word from the documents; the score says how much of a case they cover."]
    kinds = {section.kind for section in summary.sections}
    for names, what, worth in (
        (("reason", "history"), "why the patient came", 0.12),
        (("past_history",), "the past history", 0.06),
        (("medications",), "medicines", 0.06),
        (("results", "examination"), "findings or results", 0.12),
        (("assessment",), "an assessment", 0.08),
        (("plan",), "a plan", 0.04),
    ):
        if kinds & set(names):
            value += worth
            why.append(f"The documents tell {what} (+{worth:.2f}).")
        else:
            why.append(f"The documents do not tell {what}.")
    empty = sum(1 for one in request.documents if not one.document.text.strip())
    if empty:
        value -= 0.1
        why.append(f"{empty} of {len(request.documents)} documents have no readable text (-0.10).")
    if not summary.sentences:
        value = 0.05
        why.append("No clinical statement was found.")
    return Score(round(max(0.05, min(0.98, value)), 2), tuple(why))


def _note(sources: Sequence[CaseDocument], request: CaseRequest, chosen: Mapping[str, str] | None) -> ComposeResult:
    """The documents under headings that say what they are, so that results land in Objective."""
    headings = {"lab": "Labs", "radiology": "Imaging"}
    parts = []
    for one in sources:
        text = one.document.text.strip()
        if text:
            heading = headings.get(one.kind)
            parts.append(f"{heading}:\n{text}" if heading else text)
    return composer(chosen).compose(ComposeRequest("\n\n".join(parts), letter_date=request.letter_date))


def _soap(note: ComposeResult) -> SoapNote:
    parts = {section.link_id: section for section in note.sections}
    texts = {name: parts[name].text if name in parts else NOT_DOCUMENTED for name in _WORTH}
    value = 0.3
    why = ["Each part holds only what the documents say; the score says how much of it there is."]
    for name, worth in _WORTH.items():
        if name in parts and parts[name].documented:
            value += worth
            why.append(f"{name.capitalize()} is documented (+{worth:.2f}).")
        else:
            why.append(f"{name.capitalize()} is not documented.")
    return SoapNote(**texts, confidence=Score(round(min(0.98, value), 2), tuple(why)))


_WORTH = {"subjective": 0.2, "objective": 0.18, "assessment": 0.18, "plan": 0.12}
