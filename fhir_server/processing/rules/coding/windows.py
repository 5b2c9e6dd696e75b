"""The words that belong to a problem in its sentence: its own, its modifiers, and what it is "with" or "due to"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

from terminology.fold import fold
from terminology.words import STOP, word

_TOKEN = re.compile(r"[lct]\d\d?\b|[a-z]+(?:'s)?|\d+[a-z]?(?![a-z])|[,;:.()\[\]?!=>]|\n")


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_BACK_STOPS = _set(
    "with for has had have having is was were are be been and or but on presents presented presenting showed shows "
    "reveals revealed demonstrates demonstrated found diagnosed denies no not without due to secondary from "
    "who which that then possible probable suspected likely versus vs of in at by since after continue continued "
    "started start given treated per noted follow followup"
)
_STOPS = _set(
    "and or but who which that is was were are has had have having will presents presented presenting continue "
    "continued started start given treated treat plan follow without no not denies negative absent rule "
    "possible probable probably suspected likely versus vs consider since status improved improving worsening "
    "controlled stable resolved today yesterday currently now for while when if until recommend recommended "
    "likewise also then diagnosed noted seen reports reported ordered order check ruled excluded"
)
_SIDES = frozenset(("right", "left", "bilateral"))
_IMPLIED = {
    "distal": ("lower", "end"),
    "proximal": ("upper", "end"),
    "leg": ("lower", "extremity", "limb"),
    "arm": ("upper", "extremity", "limb"),
    "sigmoid": ("large", "intestine", "colon"),
    "compression": ("vertebra", "collapsed"),
    "calf": ("lower", "leg", "extremity", "limb"),
    "sacrum": ("sacral", "region"),
    "sacral": ("region",),
    "knee": ("joint",),
    "shoulder": ("joint",),
    "femoral": ("femur",),
    "humeral": ("humerus",),
    "tibial": ("tibia",),
    "tailbone": ("sacral", "region"),
    "coccyx": ("sacral", "region"),
    "heel": ("foot",),
    "right": ("unilateral",),
    "left": ("unilateral",),
    "infrarenal": ("abdomen", "aortic"),
    "ckd": ("chronic", "renal", "disease"),
    "copd": ("chronic", "obstruction", "pulmonary", "disease"),
    "mdd": ("major", "depression", "disorder"),
    "chf": ("congestive", "cardiac", "failure"),
    "hf": ("cardiac", "failure"),
    "dvt": ("deep", "vein", "thrombosis"),
    "uti": ("urinary", "tract", "infection"),
    "hfref": ("systolic", "cardiac", "failure"),
    "hfpef": ("diastolic", "cardiac", "failure"),
    "t2dm": ("diabetes", "2"),
    "t1dm": ("diabetes", "1"),
    "herniation": ("displacement", "hernia"),
    "herniated": ("displacement", "hernia"),
    "disc": ("intervertebral",),
    "disk": ("intervertebral", "disc"),
    "lumbar": ("region",),
    "cervical": ("region",),
    "thoracic": ("region",),
    "dry": ("nonexudative", "age", "related"),
    "wet": ("exudative", "age", "related"),
    "adhd": ("attention", "deficit", "hyperactivity", "disorder"),
    "sjogren": ("sjogren", "syndrome"),
    **{f"l{number}": ("lumbar", "region") for number in range(1, 6)},
    **{f"t{number}": ("thoracic", "region") for number in range(1, 13)},
    **{f"c{number}": ("cervical", "region") for number in range(1, 8)},
}
_COMMON_IMPLIED = {one: tuple(word(w) for w in others) for one, others in _IMPLIED.items()}
_LONGEST = 14
_BACK = 80
_AHEAD = 160
_ENDS = frozenset(".;:?!\n=>")


@dataclass(frozen=True, slots=True)
class Window:
    """linked: the words of the phrase itself; wide: with those of the rest of the clause (no sides but its own).
    start and end in the text: the phrase that `linked` was read from."""

    linked: frozenset[str]
    wide: frozenset[str]
    start: int
    end: int


def window(text: str, begin: int, end: int, start: int, stop: int, floor: int, ceiling: int) -> Window:
    """The words around text[start:stop] in its sentence text[begin:end], none before `floor` (where the problem before
    it ends), none of the rest after `ceiling` (where the next one starts) unless a link leads there."""
    left = max(begin, floor, start - _BACK)
    before = list(_TOKEN.finditer(fold(text[left:start])))
    named = [t for t in _TOKEN.findall(fold(text[start:stop])) if t[0].isalnum()]
    own = [word(t) for t in takewhile(lambda t: t != "without", named)]
    linked = [w for w in own if w not in STOP]
    first = start
    for match in reversed(before[-6:]):
        if not match[0][0].isalnum() or match[0] in _BACK_STOPS:
            break
        common = word(match[0])
        if common not in STOP:
            linked.append(common)
            first = left + match.start()
    wide: list[str] = []
    in_link, segment, last = True, 0, stop
    crossed = False
    tail: list[str] = []
    for count, found in enumerate(_TOKEN.finditer(fold(text[stop : min(end, stop + _AHEAD)]))):
        said = found[0]
        at = stop + found.start()
        if count > _LONGEST or said in _ENDS or said in _STOPS:
            break
        if at >= ceiling and not crossed:
            if not in_link:
                break
            crossed = True
        if not said[0].isalnum():
            in_link = False
            _settle(tail, segment, wide, linked)
            tail, segment = [], 0
            if crossed:
                break
            continue
        common = word(said)
        if in_link:
            if common not in STOP:
                linked.append(common)
                last = stop + found.end()
            continue
        segment += 1
        if common not in STOP:
            tail.append(common)
    _settle(tail, segment, wide, linked)
    phrase = _implied(linked)
    return Window(phrase, phrase | _implied(wide), first, last)


def _settle(tail: list[str], segment: int, wide: list[str], linked: list[str]) -> None:
    """The words after a comma count; a side among them only when they are few or name the problem's own place."""
    near = segment <= 3 or not set(tail).isdisjoint(linked)
    wide.extend(w for w in tail if near or w not in _SIDES)


def _implied(said: list[str]) -> frozenset[str]:
    found = set(said)
    for one in said:
        implied = _COMMON_IMPLIED.get(one)
        if implied:
            found.update(implied)
    return frozenset(found)
