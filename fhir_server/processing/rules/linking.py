"""Which date belongs to which concept of a sentence, and how far the concept's source text goes on to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fhir_server.processing.rules.dates import Dated


@dataclass(frozen=True, slots=True)
class Candidate:
    """A concept that may take a date. done: a procedure or treatment; barred: negated or not the patient's."""

    start: int
    end: int
    done: bool
    barred: bool


@dataclass(slots=True)
class Link:
    """What a concept was given: its date, its end date, and where its source text ends."""

    end: int
    date: str | None = None
    end_date: str | None = None
    nearness: int = 1 << 30


_CUE = re.compile(
    r"^[\s,(\u2013\u2014-]*(?:(?:was|were|is|has|had|been|and|first|newly|initially|originally|which|that|most|recently|last|performed|"
    r"done|diagnosed|diagnosis|dx'?d?|dx|identified|detected|discovered|noted|found|made|onset|began|begun|started|"
    r"starting|beginning|occurred|occurring|developed|treated|placed|completed|underwent|dated|since|in|on|from|around|"
    r"about|approximately|circa|ca|c|at|back|as|of|the|early|late|mid|during|by|status|post|s/p|repaired|removed|"
    r"resolved|ended|stopped|until|till|through|to|remission|between|with|fully|now|it|he|she|ago|x|for|times|age|both|"
    r"year|month|day|this|that|surgery|operation|episode|ongoing|present|presenting|worsening|persistent|intermittent|"
    r"\d|\.)[\s,(:.\u2013\u2014-]*)*$",
    re.I,
)
_BREAKS = re.compile(
    r"[;]|\b(?:but|however|although|while|then|and\s+(?:he|she|the\s+patient|patient|now|then|has|had|was|underwent|developed))\b",
    re.I,
)
_PAIR = re.compile(r"^\s*(?:and|&|/)\s*(?:[a-z]+\s+){0,2}$", re.I)
_LIST = re.compile(
    r"^\s*(?:,|and|,\s*and|&|/|with|via|or|using|through|by|along\s+with|as\s+well\s+as|followed\s+by)\s*(?:[a-z]+\s+){0,3}$",
    re.I,
)
_TREATED = re.compile(
    r"^[\s,]*(?:(?:treated|managed|requiring|required|needing|with|by|status|post|s/p|a|an|and)\s+)+$", re.I
)
_AGO = re.compile(r"(?:\bago|\byesterday|\bearlier|\blast (?:night|week|month|year))$", re.I)
_TAIL = re.compile(r"^[)\]]")
_FAR = 90
_EXTENDS = 60


def link(text: str, begin: int, end: int, dates: Sequence[Dated], candidates: Sequence[Candidate]) -> list[Link]:
    """One Link for each candidate of the sentence text[begin:end], both in the order of the text."""
    links = [Link(candidate.end) for candidate in candidates]
    used: set[int] = set()
    for number, dated in enumerate(dates):
        behind = [i for i, c in enumerate(candidates) if c.end <= dated.start]
        if behind and _takes_behind(text, candidates, links, behind, dated):
            used.add(number)
    for number, dated in enumerate(dates):
        if number in used or dated.ends:
            continue
        ahead = [i for i, c in enumerate(candidates) if c.start >= dated.end]
        if ahead:
            _takes_ahead(text, begin, candidates, links, ahead, dated)
    _procedures(text, dates, candidates, links)
    return links


def _give(link: Link, dated: Dated, distance: int) -> None:
    if dated.ends:
        if link.end_date is None:
            link.end_date = dated.value
        return
    if link.date is None or distance < link.nearness:
        link.date, link.nearness = dated.value, distance
        if dated.until:
            link.end_date = dated.until


def _takes_behind(
    text: str, candidates: Sequence[Candidate], links: list[Link], behind: list[int], dated: Dated
) -> bool:
    """Gives a date to the concept right before it, and to those an "and" joins to that one."""
    index = behind[-1]
    nearest = candidates[index]
    gap = text[links[index].end if links[index].end <= dated.start else nearest.end : dated.start]
    whole = text[nearest.end : dated.start]
    if nearest.barred or len(whole) > _FAR or _BREAKS.search(gap):
        return False
    close = _CUE.match(gap) is not None
    if not close and ("," in gap or "\n\n" in gap):
        return False
    if not close and not dated.ends and links[index].date is not None:
        return False
    _give(links[index], dated, len(whole))
    if close and len(gap) <= _EXTENDS:
        links[index].end = dated.end + (1 if _TAIL.match(text[dated.end :]) and "(" in whole else 0)
    if "(" in whole:
        return True
    for previous, following in zip(behind[-2::-1], behind[:0:-1], strict=False):
        one, two = candidates[previous], candidates[following]
        if one.barred or not _PAIR.match(text[one.end : two.start]):
            break
        if links[previous].date is None and (close or dated.ends):
            _give(links[previous], dated, 1 << 20)
    return True


def _takes_ahead(
    text: str, begin: int, candidates: Sequence[Candidate], links: list[Link], ahead: list[int], dated: Dated
) -> None:
    """Gives a date that leads ("In 2019 he had X and Y", "3-day history of X") to the concepts after it."""
    index = ahead[0]
    gap = text[dated.end : candidates[index].start]
    if candidates[index].barred or len(gap) > _FAR or _BREAKS.search(gap) or "\n" in gap.strip():
        return
    leads = not text[begin : dated.start].strip(" \t-*\u2022(\n").strip() or re.search(
        r"(?:\b(?:in|on|since|around|about|from|by|at|early|late|mid|and|the|a|an|with|of|for|,|;)\s*)$",
        text[begin : dated.start],
        re.I,
    )
    if not leads and not _AGO.search(text[dated.start : dated.end]):
        return
    if links[index].date is None:
        _give(links[index], dated, 1 << 20)
    for previous, following in pairwise(ahead):
        one, two = candidates[previous], candidates[following]
        if two.barred or not _LIST.match(text[one.end : two.start]):
            break
        if links[following].date is None:
            _give(links[following], dated, 1 << 21)


def _treats(text: str, candidates: Sequence[Candidate], index: int, dated: Dated) -> bool:
    """True for "MI in 2017 treated with a stent": the date's own concept was treated by this one."""
    start = candidates[index].start
    return dated.end <= start and _TREATED.match(text[dated.end : start]) is not None


def _procedures(text: str, dates: Sequence[Dated], candidates: Sequence[Candidate], links: list[Link]) -> None:
    """A procedure without a date takes the one of a procedure that a list or "via" joins to it."""
    for order in (range(len(candidates) - 2, -1, -1), range(1, len(candidates))):
        step = 1 if order.step < 0 else -1
        for index in order:
            other = index + step
            one, two = sorted((candidates[index], candidates[other]), key=lambda c: c.start)
            if not (one.done and two.done) or links[index].date or candidates[index].barred or candidates[other].barred:
                continue
            if (
                links[other].date
                and _LIST.match(text[one.end : two.start])
                and (step > 0 or "," not in text[one.end : two.start])
            ):
                links[index].date = links[other].date
    spare = [d for d in dates if not d.ends and d.value]
    if len(spare) == 1:
        for index, candidate in enumerate(candidates):
            others = [i for i in range(len(links)) if links[i].date and i != index]
            taken = bool(links[index].date or (others and not _treats(text, candidates, index, spare[0])))
            if (
                candidate.done
                and not candidate.barred
                and not taken
                and abs(spare[0].start - candidate.end) <= _FAR * 2
            ):
                between = text[min(spare[0].end, candidate.end) : max(spare[0].start, candidate.start)]
                if ";" not in between:
                    links[index].date = spare[0].value
