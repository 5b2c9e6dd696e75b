"""A note becomes ICD-10-CM codes, the most important first, each with its evidence and an explained confidence."""

from __future__ import annotations

import re

from fhir_server.processing.engines import CodedDiagnosis, CodeRequest, CodeResult
from fhir_server.processing.rules.coding.combine import combine
from fhir_server.processing.rules.coding.guidelines import enter, strike
from fhir_server.processing.rules.coding.problems import Problem, problems
from fhir_server.processing.rules.coding.sheet import Line
from fhir_server.processing.rules.coding.tables import is_symptom
from fhir_server.processing.rules.coding.tabular import tabular, within
from terminology.content import ICD10CM_VERSION
from terminology.words import words

_WORD = re.compile(r"[^\s,;:.()\[\]]+(?:\.\d+)?")
_LEAD = re.compile(
    r"(?:\b(?:history of|h/o|hx of|status post|s/p|prior|previous|past|former)\s+(?:an?\s+|the\s+)?)$", re.I
)
_ACUTE = (
    "I21",
    "I22",
    "I26",
    "I60",
    "I61",
    "I63",
    "J96",
    "A41",
    "R65",
    "K35",
    "K85",
    "N17",
    "J18",
    "J15",
    "S",
    "T",
    "O",
)
_NAME = re.compile(r", unspecified(?: (?:organism|site|side|severity))?$")


def code(request: CodeRequest) -> CodeResult:
    """The billable codes of a note (see CodeResult)."""
    found, _ = problems(request)
    sheet, uncertain = enter(request.text, found)
    combine(request.text, sheet)
    strike(request.text, sheet, uncertain)
    lines = _ordered(list(sheet))
    return CodeResult(tuple(_coded(request.text, line) for line in lines), "rules", "1", ICD10CM_VERSION)


def _ordered(lines: list[Line]) -> list[Line]:
    """The reason for the visit first, then what else is treated, symptoms, history and status; "code first" obeyed."""

    def rank(line: Line) -> tuple[int, int, int, int]:
        near, start = line.place
        group = 3 if line.code.startswith("Z79") else 2 if line.code[0] == "Z" or line.historical else 0
        if not group and is_symptom(line.code) and near:
            group = 1
        urgent = 0 if line.code.startswith(_ACUTE) or is_symptom(line.code) else 1
        return group, near, urgent if near == 1 else 0, start

    ordered = sorted(lines, key=rank)
    table = tabular()
    for _ in range(3):
        moved = False
        for line in list(ordered):
            for named in table.first(line.code):
                at = ordered.index(line)
                for other in ordered[at + 1 :]:
                    if within(other.code, named) and not any(within(line.code, n) for n in table.first(other.code)):
                        ordered.remove(other)
                        ordered.insert(at, other)
                        moved = True
                        break
        if not moved:
            break
    return ordered


def _coded(text: str, line: Line) -> CodedDiagnosis:
    table = tabular()
    best = line.best
    start, end = _evidence(text, line, best)
    confidence, why = _confidence(line)
    title = table.title(line.code)
    also = tuple((p.start, p.end) for p in line.problems if not (start <= p.start and p.end <= end))
    return CodedDiagnosis(
        name=_NAME.sub("", title),
        code=line.code,
        display=title,
        evidence=text[start:end],
        start=start,
        end=end,
        confidence=confidence,
        explanation=tuple(why),
        also=tuple(dict.fromkeys(also)),
        snomed=best.snomed or None,
        historical=line.historical,
    )


_SIDES = frozenset(("right", "left", "bilateral"))
_APART = re.compile(r"[.;!?](?:\s|$)|\n")
_LONGEST = 200


def _evidence(text: str, line: Line, best: Problem) -> tuple[int, int]:
    """The problem's place, with the words around it that the code comes from; of a combination, the stretch that says
    both, when one sentence does."""
    start, end = _phrase(text, line, best)
    if line.combined:
        spans = [(min(start, p.start), max(end, p.end)) for p in line.problems if p is not best]
        together = [
            (first, last) for first, last in spans if last - first <= _LONGEST and not _APART.search(text, first, last)
        ]
        if together:
            return max(together, key=lambda span: (span[1] - span[0] > end - start, span[0] - span[1]))
    lead = _LEAD.search(text, max(0, start - 30), start)
    if lead and best.historical:
        start = lead.start()
    return start, end


def _phrase(text: str, line: Line, best: Problem) -> tuple[int, int]:
    start, end = best.start, best.end
    if best.kind == "condition":
        telling = line.said | (_SIDES & set(words(tabular().title(line.code))))
        for found in _WORD.finditer(text, best.window.start, best.window.end):
            if found.end() <= start or found.start() >= end:
                said = words(found[0])
                if said and telling.issuperset(said):
                    start, end = min(start, found.start()), max(end, found.end())
        if "\n" in text[start:end]:
            return best.start, best.end
    return start, end


def _confidence(line: Line) -> tuple[float, list[str]]:
    """0.80 to begin with; every feature adds or takes, and says so."""
    table = tabular()
    value = 0.80
    why = list(line.why)
    if line.way == "both":
        value += 0.10
        why.append("The Alphabetic Index leads from these words to this code, and concept recognition agrees (+0.10).")
    elif line.way == "recognised":
        value += 0.05
        why.append("The words are a known way to say this (+0.05).")
    else:
        why.append("Only the Alphabetic Index leads here; no known phrase confirms it.")
    sections = {p.section for p in line.problems}
    if "assessment" in sections:
        value += 0.06
        why.append("It stands in the assessment (+0.06).")
    places = len({p.start for p in line.problems})
    if places > 1 and not line.combined:
        value += 0.02
        why.append(f"The note says it in {places} places (+0.02).")
    if table.vague(line.code):
        value -= 0.06
        why.append("The note leaves something unspecified (-0.06).")
    if line.combined:
        value -= 0.04
        why.append("It is combined from several statements (-0.04).")
    if line.historical:
        value -= 0.03
        why.append("Whether it is past is read from the wording (-0.03).")
    if is_symptom(line.code):
        value -= 0.05
        why.append("A symptom, coded because no diagnosis explains it (-0.05).")
    why.append(f"{line.code} is billable in the tabular list: {table.title(line.code)}.")
    return round(min(max(value, 0.05), 0.99), 2), why
