"""The sheet a coder fills: codes with the problems they stand for, and why each is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fhir_server.processing.rules.coding.problems import Problem
from fhir_server.processing.rules.coding.tabular import tabular, within


@dataclass(slots=True)
class Line:
    """One code. problems: where the text says so; said: the words that led there; why: sentences for a reader."""

    code: str
    problems: list[Problem]
    said: frozenset[str] = frozenset()
    way: str = "recognised"
    why: list[str] = field(default_factory=list)
    historical: bool = False
    combined: bool = False

    @property
    def best(self) -> Problem:
        """The place that says it best: the one with most of the words that led to the code, then the assessment's, then
        the first. Of a combination: the first disease named in it."""
        if self.combined:
            return self.problems[0]
        return min(self.problems, key=lambda p: (-len(self.said & p.window.linked), section_rank(p.section), p.start))

    @property
    def rank(self) -> int:
        """How near any of its places is to why the patient is here: 0 most."""
        return self.place[0]

    @property
    def place(self) -> tuple[int, int]:
        """The rank and the offset of the place nearest to why the patient is here."""
        return min((section_rank(p.section), p.start) for p in self.problems)


_RANKS = {
    "assessment": 0,
    "plan": 1,
    "chief_complaint": 1,
    "present_illness": 1,
    None: 1,
    "differential": 2,
    "results": 3,
    "review_of_systems": 3,
    "examination": 3,
    "past_history": 3,
}


def section_rank(kind: str | None) -> int:
    """How much a section says about why the patient is here: 0 most."""
    return _RANKS.get(kind, 3)


class Sheet:
    """Lines by code, in the order they were written."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def __iter__(self) -> Iterator[Line]:
        return iter(list(self.lines.values()))

    def having(self, *prefixes: str) -> list[Line]:
        """The lines whose codes lie at or below one of the codes or ranges given."""
        letters = {p[0] for p in prefixes}
        near = [line for line in self.lines.values() if line.code[0] in letters]
        return [line for line in near if any(within(line.code, p) for p in prefixes)] if near else near

    def put(self, line: Line) -> None:
        """Writes a line; problems of a code that is there already are joined to it."""
        there = self.lines.get(line.code)
        if there is None:
            self.lines[line.code] = line
            return
        there.problems.extend(p for p in line.problems if p not in there.problems)
        there.why.extend(w for w in line.why if w not in there.why)
        there.historical = there.historical and line.historical
        there.combined = there.combined or line.combined
        if len(line.said) > len(there.said):
            there.said, there.way = line.said, line.way

    def strike(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.lines.pop(line.code, None)

    def combine(self, code: str, of: list[Line], why: str, keep: bool = False) -> None:
        """One code for what several lines say together; they are struck unless kept. Nothing happens when the list does
        not know the code as billable."""
        if not of or not tabular().billable(code):
            return
        problems = [p for line in of for p in line.problems]
        if not keep:
            self.strike(line for line in of if line.code != code)
        said = frozenset().union(*(line.said for line in of))
        self.put(Line(code, problems, said, of[0].way, [why], all(line.historical for line in of), True))
