"""Finds concepts in text: a phrase automaton over a folded copy, with offsets in the original.

The automaton is built once per process from ``phrases.tsv.gz`` (about half a second, 40 MB) on first use: it belongs in
a worker, never in an API process.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import ahocorasick

from terminology.content import rows
from terminology.fold import fold


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept the recogniser knows. snomed "" when only ICD-10-CM is known, icd10cm "" when only SNOMED CT is.

    `tag` is the semantic tag of the fully specified name in `display`."""

    snomed: str
    display: str
    tag: str
    icd10cm: str


@dataclass(frozen=True, slots=True)
class Found:
    """One occurrence: text[start:end] says `concept`. Code points, end exclusive."""

    start: int
    end: int
    concept: Concept


_RUNS = re.compile(r" {2,}")
_JOINED = re.compile(r"(?:^|[^a-z])(?:non|anti|pre|pseudo|un)$")


class Recogniser:
    """Longest phrases at word boundaries, left to right, without overlap. Immutable after construction; thread-safe."""

    def __init__(self, phrases: Sequence[tuple[str, bool, Concept | None]]) -> None:
        """phrases: (folded phrase, counts only in capitals, concept or None for a phrase that reports nothing)."""
        self._automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        self._entries: list[tuple[int, bool, Concept | None]] = []
        for phrase, capitals, concept in phrases:
            self._automaton.add_word(phrase, len(self._entries))
            self._entries.append((len(phrase), capitals, concept))
        self._automaton.make_automaton()

    def find(self, text: str) -> list[Found]:
        """The concepts in a text, in its order."""
        folded = fold(text)
        squeezed, offsets = _squeeze(folded)
        entries = self._entries
        size = len(squeezed)
        hits: list[tuple[int, int, Concept | None]] = []
        for last, number in self._automaton.iter(squeezed):
            length, capitals, concept = entries[number]
            end = last + 1
            start = end - length
            if (start and squeezed[start - 1].isalnum()) or (end < size and squeezed[end].isalnum()):
                continue
            first, stop = (start, end) if offsets is None else (_original(offsets, start), _original(offsets, last) + 1)
            if capitals and not text[first:stop].isupper():
                continue
            if first and text[first - 1] == "-" and _JOINED.search(folded[max(0, first - 9) : first - 1]):
                continue
            hits.append((first, stop, concept))
        hits.sort(key=lambda hit: (hit[0], -hit[1]))
        found: list[Found] = []
        free = 0
        for first, stop, concept in hits:
            if first >= free:
                free = stop
                if concept is not None:
                    found.append(Found(first, stop, concept))
        return found


def _squeeze(folded: str) -> tuple[str, list[tuple[int, int]] | None]:
    """Runs of white space as one space; where runs were, (position after it in the result, in the original)."""
    if "  " not in folded:
        return folded, None
    pieces: list[str] = []
    offsets = [(0, 0)]
    length = at = 0
    for run in _RUNS.finditer(folded):
        piece = folded[at : run.start() + 1]
        pieces.append(piece)
        length += len(piece)
        at = run.end()
        offsets.append((length, at))
    pieces.append(folded[at:])
    return "".join(pieces), offsets


def _original(offsets: list[tuple[int, int]], position: int) -> int:
    squeezed, original = offsets[bisect_right(offsets, (position, 1 << 62)) - 1]
    return original + position - squeezed


@cache
def recogniser() -> Recogniser:
    """The recogniser over the shipped content, built on first call and kept for the process."""
    phrases: list[tuple[str, bool, Concept | None]] = []
    for snomed, display, tag, icd10cm, said in rows("phrases.tsv.gz"):
        concept = Concept(snomed, display, tag, icd10cm) if snomed or icd10cm else None
        for phrase in said.split("|"):
            capitals = phrase.startswith("^")
            phrases.append((phrase[1:] if capitals else phrase, capitals, concept))
    return Recogniser(phrases)


@cache
def _titles() -> dict[str, str]:
    """Titles of the ICD-10-CM codes that the recogniser's concepts carry."""
    wanted = {row[3] for row in rows("phrases.tsv.gz") if row[3]}
    stems = {code: code for code in wanted} | {
        code[:-1].rstrip("X").rstrip("."): code for code in wanted if len(code) == 8
    }
    found: dict[str, str] = {}
    for kind, code, _, title, _, _, seventh, _ in rows("icd10cm.tsv.gz"):
        if kind == "code" and code in stems:
            full = stems[code]
            if full == code:
                found[full] = title
            else:
                meanings = dict(part.split("=", 1) for part in seventh.split("|") if part)
                found[full] = f"{title}, {meanings.get(full[-1], '')}".rstrip(", ")
    return found


def title(icd10cm: str) -> str | None:
    """The title of an ICD-10-CM code that a Concept carries."""
    return _titles().get(icd10cm)
