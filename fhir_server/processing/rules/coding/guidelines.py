"""What the guidelines strike or move: the uncertain, the past, symptoms of what is known, the vaguer, excludes."""

from __future__ import annotations

import re

from fhir_server.processing.rules.coding.choose import Choice, choose
from fhir_server.processing.rules.coding.problems import Problem
from fhir_server.processing.rules.coding.sheet import Line, Sheet, section_rank
from fhir_server.processing.rules.coding.tables import explained_by, is_symptom, past
from fhir_server.processing.rules.coding.tabular import tabular, within
from terminology.words import words

_ACTIVE = re.compile(
    r"\b(?:currently|undergoing|on (?:chemo|active|adjuvant|immuno)|receiving|chemotherapy|active|metastatic|"
    r"(?<!no )(?<!without )(?<!no evidence of )recurren)",
    re.I,
)
_DONE = re.compile(
    r"(?:s/p|status post|history of|h/o|prior|previous|previously|underwent|had|past|remote|since)\b", re.I
)
_TAKES = re.compile(
    r"\b(?:on|takes?|taking|continues?|continued|using|uses|prescribed|maintained|home|daily|medications?|meds|chronic|"
    r"long[- ]term|started on|anticoagulated with|anticoagulation with|managed with|treated with|controlled with)\b",
    re.I,
)
_SHORT = re.compile(
    r"\b(?:taper|burst|prn|as needed|x ?\d+ days?|for \d+ (?:more )?days?|\d+[- ]day|course|iv|intravenous|once|"
    r"single dose|stop(?:ped)?|discontinued?|held|hold|avoid|allergic|loading|start|begin|initiate)\b",
    re.I,
)
_ONLY_REGULAR = ("Z79.1", "Z79.52", "Z79.891")
_REGULAR = re.compile(
    r"\b(?:daily|bid|tid|qd|qhs|twice|every|chronic\w*|long[- ]term|nightly|weekly|scheduled)\b", re.I
)
_SECTIONS_OF_USE = frozenset(("medications", "past_history"))
_BETTER = {
    "D64.9": ("D50-D63",), "F32.A": ("F31-F33",), "F32.9": ("F31", "F33"),
    "J18.9": ("J12-J15", "J69.0", "J10.0", "J11.0"), "J40": ("J20", "J41", "J44"), "I25.10": ("I25.11", "I25.7"),
    "M19.90": ("M15-M19",), "E78.5": ("E78.0-E78.4",), "J44.9": ("J44.0", "J44.1"), "C80.1": ("C00-C79",),
    "I51.9": ("I50",), "M54.9": ("M54", "M51"), "B34.9": ("J", "U07"), "I48.91": ("I48.0-I48.2",),
    "N28.9": ("N17-N18",), "K76.9": ("K70-K76",), "J98.4": ("J",), "T14.8": ("S",), "F41.9": ("F41.0-F41.3",),
    "R73.03": ("E08-E13",), "R03.0": ("I10-I16",), "A41.9": ("A41.0-A41.8",), "I63.9": ("I63.0-I63.8",),
    "K92.2": ("K25-K29", "K57"), "E87.8": ("E87",), "M25.50": ("M25.5",), "R52": ("M25", "R10"), "Z72.0": ("F17",),
    "G47.30": ("G47.3",), "I49.9": ("I47-I49",), "I21.9": ("I21.0-I21.4",), "I82.90": ("I82.4",),
    "G89.29": ("M", "G89.4"), "F10.10": ("F10.2",), "J96.90": ("J96",), "R06.00": ("R06",), "K29.70": ("K29",),
}  # fmt: skip
_ONE_EACH = (
    "F10",
    "F11",
    "F12",
    "F13",
    "F14",
    "F15",
    "F16",
    "F19",
    "I50",
    "N18",
    "J45",
    "F32",
    "F33",
    "K21",
    "E66",
    "I48",
    "D50",
    "G43",
    "E03",
    "M81",
    "I35",
)


def enter(text: str, problems: list[Problem]) -> tuple[Sheet, list[tuple[Problem, Choice]]]:
    """The sheet with a line for every certain problem of the patient, past ones as history; and the uncertain ones
    (guideline IV.H: an outpatient's possible disease is not coded, his symptoms are)."""
    sheet = Sheet()
    uncertain: list[tuple[Problem, Choice]] = []
    for problem in problems:
        if problem.kind == "medicine" and not _long_term(text, problem):
            continue
        if problem.kind == "standing" and not _stands(text, problem):
            continue
        choice = choose(text, problem)
        if choice is None:
            continue
        if problem.status != "confirmed":
            uncertain.append((problem, choice))
            continue
        code, why, historical = choice.code, [], False
        if problem.historical and problem.kind == "condition" and not _goes_on(text, problem):
            over = past(code)
            if over == "-":
                continue
            if over is not None:
                moved = tabular().complete(over, problem.window.wide)
                if moved is None:
                    continue
                why.append("The text speaks of it as past: coded as history.")
                code, historical = moved, True
        sheet.put(Line(code, [problem], frozenset(choice.said), choice.way, why, historical))
    return sheet, uncertain


def _goes_on(text: str, problem: Problem) -> bool:
    end = text.find("\n", problem.end)
    return _ACTIVE.search(text[problem.end : min(problem.end + 80, end if end >= 0 else len(text))]) is not None


def _clause(text: str, problem: Problem, before: int, after: int) -> tuple[str, str]:
    left = text[max(0, problem.start - before) : problem.start]
    right = text[problem.end : problem.end + after]
    return re.split(r"[.\n](?:\s|$)", left)[-1], re.split(r"[,;\n]|\.(?:\s|$)", right)[0]


def _long_term(text: str, problem: Problem) -> bool:
    """Whether a medicine is taken for long: it is in the list of medicines, or the text says that he takes it."""
    if problem.section not in (*_SECTIONS_OF_USE, "present_illness", "plan", "assessment", "chief_complaint", None):
        return False
    left, right = _clause(text, problem, 90, 60)
    if problem.status != "confirmed" or _SHORT.search(right) or _SHORT.search(left[-25:]):
        return False
    if problem.code in _ONLY_REGULAR and not _REGULAR.search(right):
        return False
    return problem.section in _SECTIONS_OF_USE or _TAKES.search(left) is not None


def _stands(text: str, problem: Problem) -> bool:
    if problem.status != "confirmed":
        return False
    if problem.when == "past":
        left, right = _clause(text, problem, 60, 40)
        return (
            problem.historical
            or problem.section in ("past_history", "surgical_history")
            or _DONE.search(left) is not None
            or re.search(r"\b(?:in|19|20)\d\d\b|\bago\b", right) is not None
        )
    if problem.when == "reason":
        return section_rank(problem.section) <= 1
    return problem.section not in ("family_history",)


def strike(text: str, sheet: Sheet, uncertain: list[tuple[Problem, Choice]]) -> None:
    """Strikes what better lines make superfluous."""
    _vaguer(text, sheet)
    _symptoms(sheet, uncertain)
    _excluded(sheet)


def _own(text: str, line: Line) -> set[frozenset[str]]:
    return {frozenset(words(text[p.start : p.end])) for p in line.problems}


def _vaguer(text: str, sheet: Sheet) -> None:
    table = tabular()
    for line in sheet:
        better = _BETTER.get(line.code)
        if better and any(other.code != line.code for other in sheet.having(*better)):
            sheet.strike([line])
    for category in _ONE_EACH:
        lines = [line for line in sheet.having(category) if not line.historical]
        if len(lines) < 2:
            continue
        best = min(lines, key=lambda ln: (table.vague(ln.code), ln.rank, -len(ln.said)))
        for line in lines:
            if line is not best:
                best.problems.extend(line.problems)
                sheet.strike([line])
    for line in sheet:
        if not table.vague(line.code) or line.code[0] in "STZ" or line.combined:
            continue
        mine = _own(text, line)
        for other in sheet:
            if other.code == line.code or other.code[:3] != line.code[:3] or table.vague(other.code):
                continue
            if all(any(own < theirs or own == theirs for theirs in _wide(other)) for own in mine):
                other.problems.extend(line.problems)
                sheet.strike([line])
                break


def _wide(line: Line) -> list[frozenset[str]]:
    return [p.window.linked for p in line.problems]


def _symptoms(sheet: Sheet, uncertain: list[tuple[Problem, Choice]]) -> None:
    """Symptoms of what is diagnosed are not coded (guideline I.B.5); those of the undiagnosed are (I.B.4)."""
    diagnoses = [line for line in sheet if not is_symptom(line.code) and line.code[0] != "Z" and not line.historical]
    settled = [line for line in diagnoses if any(p.section == "assessment" for p in line.problems)]
    open_question = any(p.section in ("assessment", "plan", "differential", None) for p, _ in uncertain)
    for line in sheet:
        if not is_symptom(line.code):
            continue
        rank = line.rank
        explained = any(within_any(d.code, explained_by(line.code)) for d in diagnoses)
        aside = bool(rank and settled and not open_question)
        found_only = rank > 2 and (diagnoses or any(o.rank <= 1 for o in sheet if o is not line))
        if explained or aside or found_only:
            sheet.strike([line])
        if line.code.startswith(_BLADDER) and sheet.having("N40.1"):
            sheet.put(line)
    left = [line for line in sheet if is_symptom(line.code)]
    for line in left:
        same = [o for o in left if o.code[:3] == line.code[:3] and o.code != line.code and o.code in sheet.lines]
        if same and line.code in sheet.lines and tabular().vague(line.code):
            sheet.strike([line])


_BLADDER = ("R33", "R35", "R39.1", "R31")
"""Symptoms that N40.1 asks for by "use additional code"."""


def within_any(code: str, named: tuple[str, ...]) -> bool:
    return any(code.startswith(one) for one in named)


def _excluded(sheet: Sheet) -> None:
    """Excludes1: two codes that never stand together; the symptom, the vaguer, else the later one goes."""
    table = tabular()
    for line in sheet:
        for named in table.excludes(line.code):
            for other in sheet:
                if other.code == line.code or line.code not in sheet.lines or not within(other.code, named):
                    continue
                if {line.code[0], other.code[0]} & {"Z"} or line.combined or other.combined:
                    continue
                loser = max((line, other), key=lambda ln: (is_symptom(ln.code), table.vague(ln.code), ln.best.start))
                sheet.strike([loser])
