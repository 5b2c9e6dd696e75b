"""Scores ICD-10-CM coding against notes with the right codes: precision, recall, F1 for exact codes and categories.

A file of notes: parted by ``===``; the first line of each is its name and its codes, the rest is the note.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fhir_server.processing.engines import CodeRequest, coder


@dataclass(frozen=True, slots=True)
class CodedNote:
    name: str
    codes: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Tally:
    """right: given and wanted; extra: given, not wanted; missed: wanted, not given."""

    right: int = 0
    extra: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.extra)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def add(self, given: set[str], wanted: set[str]) -> None:
        self.right += len(given & wanted)
        self.extra += len(given - wanted)
        self.missed += len(wanted - given)

    def __str__(self) -> str:
        return f"P {self.precision:.3f}  R {self.recall:.3f}  F1 {self.f1:.3f}  ({self.right + self.missed} wanted)"


@dataclass(slots=True)
class Scores:
    exact: Tally = field(default_factory=Tally)
    category: Tally = field(default_factory=Tally)
    first: int = 0
    notes: int = 0
    mistakes: Counter[str] = field(default_factory=Counter)


def notes(path: Path) -> list[CodedNote]:
    """The notes of a file."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n===\n"):
        head, _, text = block.strip("\n").partition("\n")
        name, *codes = head.split()
        found.append(CodedNote(name, tuple(codes), text))
    return found


def score(given: list[CodedNote]) -> Scores:
    """What the chosen coder makes of the notes. `first`: how often its first code is one of the wanted first two."""
    result = Scores()
    for note in given:
        codes = [c.code for c in coder().code(CodeRequest(note.text)).codes]
        result.exact.add(set(codes), set(note.codes))
        result.category.add({c[:3] for c in codes}, {c[:3] for c in note.codes})
        result.notes += 1
        result.first += bool(codes and codes[0] in note.codes[:2])
        result.mistakes.update(f"{note.name} extra {c}" for c in codes if c not in note.codes)
        result.mistakes.update(f"{note.name} missed {c}" for c in note.codes if c not in codes)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notes", type=Path, nargs="+")
    parser.add_argument("--mistakes", action="store_true")
    given = parser.parse_args()
    for path in given.notes:
        found = notes(path)
        score(found[:1])
        started = time.perf_counter()
        result = score(found)
        print(f"{path.name}: {result.notes} notes in {time.perf_counter() - started:.2f} s")
        print(f"  exact code  {result.exact}")
        print(f"  category    {result.category}")
        print(f"  first code among the first two wanted: {result.first}/{result.notes}")
        if given.mistakes:
            print("\n".join(f"  {mistake}" for mistake in result.mistakes))


if __name__ == "__main__":
    main()
