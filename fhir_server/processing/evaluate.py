"""Precision, recall and F1 of an extraction engine on annotated notes.

    python -m fhir_server.processing.evaluate NOTES.txt [--engine rules] [--mistakes]

The notes' form is described beside them (tests/processing/gold/README.md).
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from fhir_server.processing.engines import ExtractRequest, Mention, extractor

MARK = re.compile(r"\{([^{}|]*)\|([^{}]*)\}")
STATUS = {"c": "confirmed", "p": "provisional", "d": "differential", "n": "negated", "f": "family", "h": "hypothetical"}


@dataclass(frozen=True, slots=True)
class Expected:
    """One annotated mention: text[start:end] is the concept; code "" when any will do or none is known."""

    start: int
    end: int
    code: str
    status: str
    date: str | None
    end_date: str | None


@dataclass(frozen=True, slots=True)
class Note:
    request: ExtractRequest
    expected: tuple[Expected, ...]


@dataclass(slots=True)
class Score:
    """Counts over the patient's own mentions (found, missed, spurious) and over what was found right."""

    right: int = 0
    missed: int = 0
    spurious: int = 0
    codes: int = 0
    statuses: int = 0
    dates: int = 0
    matched: int = 0
    set_aside_right: int = 0
    set_aside: int = 0
    mistakes: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.spurious)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def notes(path: Path) -> Iterator[Note]:
    """The notes of an annotated file."""
    for block in path.read_text(encoding="utf-8").split("\n===\n"):
        head, _, marked = block.strip("\n").partition("\n")
        letter, _, born = head.partition(" ")
        text, expected, at = "", [], 0
        for mark in MARK.finditer(marked):
            text += marked[at : mark.start()]
            code, status, when, until = (*mark[2].split("|"), "", "", "", "")[:4]
            expected.append(
                Expected(
                    len(text),
                    len(text) + len(mark[1]),
                    code,
                    STATUS.get(status, "confirmed"),
                    when or None,
                    until or None,
                )
            )
            text += mark[1]
            at = mark.end()
        text += marked[at:]
        request = ExtractRequest(text, "", date.fromisoformat(letter), date.fromisoformat(born) if born else None)
        yield Note(request, tuple(expected))


def score(path: Path, engine: str = "rules") -> Score:
    """Scores the engine. A mention counts as found when it overlaps the annotated one and has its code, and is the
    patient's in both; unknown codes ("") are left out of all counts."""
    total = Score()
    chosen = extractor({"extract": engine})
    for note in notes(path):
        result = chosen.extract(note.request)
        all_found: list[tuple[Mention, str]] = [(m, m.status) for m in result.mentions]
        all_found += [(s.mention, s.reason) for s in result.set_aside]
        used: set[int] = set()
        for want in note.expected:
            hits = [
                (i, m, s)
                for i, (m, s) in enumerate(all_found)
                if i not in used and m.concept_start < want.end and want.start < m.concept_end
            ]
            used.update(i for i, _, _ in hits)
            if not want.code:
                continue
            _count(total, note.request.text, want, hits)
        for i, (mention, status) in enumerate(all_found):
            if i not in used and status in ("confirmed", "provisional", "differential"):
                if mention.concept_type == "observable entity":
                    continue
                total.spurious += 1
                total.mistakes.append(f"spurious {mention.source!r} {mention.display} {status}")
    return total


def _count(total: Score, text: str, want: Expected, hits: list[tuple[int, Mention, str]]) -> None:
    own = want.status in ("confirmed", "provisional", "differential")
    hit = next(((m, s) for _, m, s in hits if m.code == want.code), None)
    source = text[want.start : want.end]
    if hit is None:
        if own:
            total.missed += 1
        found = ", ".join(f"{m.source!r} {m.code}" for _, m, _ in hits) or "nothing"
        total.mistakes.append(f"missed {source!r} {want.code}: {found}")
        return
    mention, status = hit
    total.matched += 1
    if status == want.status:
        total.statuses += 1
    else:
        total.mistakes.append(f"status of {source!r}: {status}, should be {want.status}")
    if not own:
        total.set_aside += 1
        total.set_aside_right += status == want.status
        total.spurious += status in ("confirmed", "provisional", "differential")
        return
    if status not in ("confirmed", "provisional", "differential"):
        total.missed += 1
        return
    total.right += 1
    if (mention.date, mention.end_date) == (want.date, want.end_date):
        total.dates += 1
    else:
        total.mistakes.append(
            f"date of {source!r}: {mention.date}..{mention.end_date}, should be {want.date}..{want.end_date}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notes", type=Path, nargs="+")
    parser.add_argument("--engine", default="rules")
    parser.add_argument("--mistakes", action="store_true")
    given = parser.parse_args()
    for path in given.notes:
        started = time.perf_counter()
        total = score(path, given.engine)
        print(
            f"{path.name}: precision {total.precision:.3f} recall {total.recall:.3f} F1 {total.f1:.3f}; status"
            f" {total.statuses}/{total.matched}, dates {total.dates}/{total.right}, set aside"
            f" {total.set_aside_right}/{total.set_aside}; {time.perf_counter() - started:.2f} s"
        )
        if given.mistakes:
            print("\n".join(f"  {mistake}" for mistake in total.mistakes))


if __name__ == "__main__":
    main()
