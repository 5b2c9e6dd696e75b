"""Cuts a note into sentences that a status rule or a date may reach across, without cutting at "Dr." or "1.5"."""

from __future__ import annotations

import re

_ABBREVIATIONS = frozenset(
    """dr mr mrs ms prof st vs e.g i.e etc approx no pt hx dx tx rx fx sx ca dept est fig inc jr sr ref resp wt ht temp
    p.o b.i.d t.i.d q.i.d q.d p.r.n q.h.s a.m p.m u.s m.d d.o r.n ph.d cf al jan feb mar apr jun jul aug sep sept oct
    nov dec c h s e n y.o yr yrs mo wk""".split()  # noqa: SIM905
)
_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|\n")
_BULLET = re.compile(r"\s*(?:[-*\u2022>#]|\d{1,2}[.)]\s|[A-Za-z][A-Za-z /&]{1,40}:)")


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """(start, end) of the sentences in text[start:end], covering it. A line break ends one unless the next line plainly
    goes on (it begins in lower case after a line without an end mark)."""
    end = len(text) if end is None else end
    result = []
    begin = start
    for mark in _END.finditer(text, start, end):
        at = mark.end()
        if mark[0] == "\n":
            if _continues(text, begin, mark.start(), at, end):
                continue
        elif mark[0][0] == "." and _abbreviates(text, begin, mark.start(), at, end):
            continue
        result.append((begin, at))
        begin = at
    if begin < end:
        result.append((begin, end))
    return result


def _continues(text: str, begin: int, stop: int, at: int, end: int) -> bool:
    before = text[begin:stop].rstrip()
    rest = text[at : at + 60 if at + 60 < end else end]
    after = rest.lstrip(" \t")
    if not before or not after or after[0] == "\n" or before[-1] in ".:;!?":
        return False
    if _BULLET.match(rest):
        return False
    return (
        after[0].islower()
        or before[-1] in ",("
        or (after[0].isdigit() and len(before) > 40)
        or (
            len(before) > 60
            and before.rsplit(None, 1)[-1].lower() in ("of", "and", "with", "for", "the", "in", "to", "or", "no", "a")
        )
    )


def _abbreviates(text: str, begin: int, dot: int, at: int, end: int) -> bool:
    word_start = dot
    while word_start > begin and not text[word_start - 1].isspace() and text[word_start - 1] not in "(,;":
        word_start -= 1
    word = text[word_start:dot].lower()
    if word.isdigit() and len(word) <= 2 and not text[begin:word_start].strip():
        return True
    rest = text[at : at + 4 if at + 4 < end else end].lstrip()
    if word in _ABBREVIATIONS:
        return not (
            word
            in ("no", "p.o", "b.i.d", "t.i.d", "q.d", "p.r.n", "a.m", "p.m", "etc", "pt", "s", "mo", "yr", "yrs", "wk")
            and rest[:1].isupper()
        )
    return bool(rest) and rest[0].islower() and "\n" not in text[at : at + 2]
