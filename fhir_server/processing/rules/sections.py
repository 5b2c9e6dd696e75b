"""Where a clinical note says what: headings ("Family history:", "Impression:") and the stretches under them.

Headings are data (``data/sections.tsv``: heading, kind).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from terminology.fold import fold

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Section:
    """text[start:end] is the section, its heading included; text[body:end] is what stands under a known heading.

    kind None: before any heading, or under a heading that is not known."""

    kind: str | None
    start: int
    body: int
    end: int


@cache
def _kinds() -> dict[str, str]:
    lines = (DATA / "sections.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {" ".join(fold(heading).split()): kind for heading, kind in (line.split("\t") for line in lines)}


def kind_of(heading: str) -> str | None:
    """The kind of section that a heading names ("Past Medical History" -> "past_history"); None when not known."""
    return _kinds().get(" ".join(fold(heading).split()))


_SHORT_ONLY_AT_LINE_START = 3
_HEADING = re.compile(
    r"(?:^|(?<=[.;!?\n]))[ \t>*#\-\u2022]*(?:\d{1,2}[.)][ \t]+)?([A-Za-z][A-Za-z/&' \-]{0,45}?)[ \t]*(?:\*\*)?[ \t]*:",
    re.M,
)
_BARE = re.compile(r"^[ \t>*#]*([A-Za-z][A-Za-z/&' \-]{2,45}?)[ \t*]*$", re.M)


def sections(text: str) -> list[Section]:
    """The sections of a note, in its order, covering it without gaps. A heading stands at the start of a line, or after
    the end of a sentence when it is a known one; then comes a colon (a known heading alone on a line needs none)."""
    kinds = _kinds()
    marks: list[tuple[int, int, str | None]] = []
    for found in _HEADING.finditer(text):
        name = " ".join(fold(found[1]).split())
        kind = kinds.get(name)
        line_start = text.rfind("\n", 0, found.start(1)) + 1
        at_line_start = not text[line_start : found.start(1)].strip(" \t>*#-\u2022.)0123456789")
        if kind is None and not (at_line_start and _opens(text, line_start, found[1])):
            continue
        if (
            kind is not None
            and not at_line_start
            and ((len(name) <= _SHORT_ONLY_AT_LINE_START and not found[1].isupper()) or not found[1][0].isupper())
        ):
            continue
        marks.append((found.start(1), found.end() if kind else found.start(1), kind))
    if "\n" in text:
        taken = {start for start, _, _ in marks}
        for found in _BARE.finditer(text):
            kind = kinds.get(" ".join(fold(found[1]).split()))
            if kind and len(found[1]) > _SHORT_ONLY_AT_LINE_START and found.start(1) not in taken:
                marks.append((found.start(1), found.end(), kind))
        marks.sort()
    result = []
    if not marks or marks[0][0] > 0:
        result.append(Section(None, 0, 0, marks[0][0] if marks else len(text)))
    for number, (start, body, kind) in enumerate(marks):
        end = marks[number + 1][0] if number + 1 < len(marks) else len(text)
        result.append(Section(kind, start, body, end))
    return result


def _opens(text: str, line_start: int, heading: str) -> bool:
    """An unknown heading opens a section only after a blank line; else ("Father: ...") it stands within one."""
    above = text[:line_start].rstrip(" \t")
    blank = not above or above.endswith("\n\n") or above.endswith("\n\r\n")
    return blank and heading[0].isupper() and len(heading.split()) <= 5
