"""A text as statements: sentences without their bullets, with exact offsets and the kind of section each stands in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_server.processing.rules.sections import sections
from fhir_server.processing.rules.sentences import sentences
from terminology.words import words

_BULLET = re.compile(r"\s*(?:(?:[-*\u2022>]|\d{1,2}[.)])\s+)*")
_MEANING = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Statement:
    """text[start:end] of its document, one sentence or list item. key: its telling words, for finding repeats."""

    text: str
    start: int
    end: int
    kind: str | None
    key: frozenset[str]


def statements(text: str) -> list[Statement]:
    """The statements of a text, in its order. Headings are not statements."""
    found: list[Statement] = []
    for section in sections(text):
        for begin, end in sentences(text, section.body, section.end):
            bullet = _BULLET.match(text, begin, end)
            start = bullet.end() if bullet else begin
            stop = start + len(text[start:end].rstrip())
            said = text[start:stop]
            if len(_MEANING.findall(said)) < 2 or said.endswith(":"):
                continue
            found.append(Statement(said, start, stop, section.kind, frozenset(words(said))))
    return found
