"""The tables of coding (``data/*.tsv``): what a past disease becomes, what a disease explains, medicines, status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"


def _rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()[1:] if line]


@cache
def history() -> dict[str, str]:
    """Prefix of a code -> the code of its history; "-" when a past one is not coded."""
    return {row[0]: row[1] for row in _rows("history.tsv")}


@cache
def past(code: str) -> str | None:
    """What a code becomes when the disease is over: another code, "-" for none, None: it stays (a lasting disease)."""
    table = history()
    for length in range(len(code), 0, -1):
        found = table.get(code[:length])
        if found is not None:
            return found
    return None


@cache
def symptoms() -> dict[str, tuple[str, ...]]:
    """Prefix of a symptom's code -> prefixes of diagnoses that it belongs to."""
    return {row[0]: tuple(row[1].split(",")) for row in _rows("symptoms.tsv")}


_PAINS = (
    "J34.89", "H53.1", "M25.5", "M54.5", "M54.2", "M54.6", "M54.9", "M79.1", "M79.6", "M79.89", "M62.81", "H57.1",
    "H92", "N64.4", "L29", "K59.0", "K62.5", "K92.0", "K92.1",
)  # fmt: skip


@cache
def is_symptom(code: str) -> bool:
    """Whether a code says what is felt or found, not what it comes from."""
    return (code[0] == "R" and not code.startswith(("R65", "R73.03", "R57"))) or code.startswith(_PAINS)


@cache
def explained_by(code: str) -> tuple[str, ...]:
    """Prefixes of the diagnoses that explain a symptom."""
    table = symptoms()
    return tuple(p for length in range(3, len(code) + 1) for p in table.get(code[:length], ()))


@cache
def medicines() -> dict[str, str]:
    """Name of a medicine -> the code for its long-term use."""
    return {name: row[0] for row in _rows("medicines.tsv") for name in row[1].split()}


@dataclass(frozen=True, slots=True)
class Standing:
    """A state of the patient that has a code of its own. when: "any", "past" (a procedure that was done) or "reason"
    (what the visit is for)."""

    code: str
    when: str


_ANCHOR_ENDS = ("ectomy", "ostomy")
_REACH = 60


@cache
def _anchors() -> frozenset[str]:
    return frozenset((DATA / "anchors.txt").read_text(encoding="utf-8").split())


def is_anchor(said: str) -> bool:
    """Whether a word may belong to a state that has a code: every branch of the pattern has such a word."""
    return said in _anchors() or said.endswith(_ANCHOR_ENDS)


def standing_in(folded: str, anchors: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, Standing]]:
    """Where a folded text says a state of the patient: (start, end, what). The pattern is costly, so that it is tried
    only around the anchors (start, end)."""
    pattern, meanings = standings()
    done = 0
    for first, last in anchors:
        for hit in pattern.finditer(folded, max(done, first - _REACH), min(len(folded), last + _REACH)):
            if hit.start() <= last:
                yield hit.start(), hit.end(), meanings[int((hit.lastgroup or "g0")[1:])]
                done = max(done, hit.end())


@cache
def standings() -> tuple[re.Pattern[str], tuple[Standing, ...]]:
    """One pattern over folded text, and what its groups (g0, g1, ...) mean."""
    rows = _rows("status.tsv")
    pattern = "|".join(f"(?P<g{number}>{row[2].replace('[- ]', ' ')})" for number, row in enumerate(rows))
    return re.compile(rf"\b(?:{pattern})\b"), tuple(Standing(row[0], row[1]) for row in rows)
