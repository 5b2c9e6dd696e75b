"""From one problem to one billable code: the Index's lead that says most of what the text says, then the list."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_server.processing.rules.coding.lexicon import Lead, lexicon
from fhir_server.processing.rules.coding.problems import Problem
from fhir_server.processing.rules.coding.tabular import tabular
from terminology.words import words

_SPECIAL = frozenset("OPQVWXYZ")
"""Chapters that a lead alone never opens: pregnancy, newborns, malformations, external causes, factors."""
_ASSUMED = {
    "M16": frozenset(("primary", "unilateral")),
    "M17": frozenset(("primary",)),
    "M18": frozenset(("primary",)),
    "M19": frozenset(("primary",)),
    "C50": frozenset(("female",)),
    "M48": frozenset(("collapsed",)),
    "C43": frozenset(("skin",)),
    "C44": frozenset(("skin",)),
}
_WEAK = frozenset(
    {"disease", "disorder", "syndrome", "acute", "chronic", "failure", "infection", "injury", "pain", "stage", "severe"}
    | {"mild", "moderate", "primary", "right", "left", "bilateral", "unilateral", "lower", "upper", "region", "limb"}
)


_SIDED = ("M16", "M17", "M18", "M19")
"""Arthrosis that is taken as primary once its side is stated; without a side it is "unspecified"."""
_FAINT = frozenset(("acute", "chronic", "disease", "disorder", "syndrome"))
"""Words that tell less than what a disease is with or due to."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A billable code, the words that led to it, and how: "index", "recognised" or "both"."""

    code: str
    said: tuple[str, ...]
    way: str


_WITHOUT = re.compile(r"\bwithout\b", re.I)
_GOUT = frozenset(("idiopathic", "foot", "ankle"))


def choose(text: str, problem: Problem) -> Choice | None:
    """The billable code for a problem as it is said; None when nothing leads to one."""
    table = tabular()
    if problem.kind != "condition":
        return Choice(problem.code, (), "recognised") if table.billable(problem.code) else None
    own = frozenset(words(_WITHOUT.split(text[problem.start : problem.end])[0]))
    if own == {"secondary"} and "malignant" in problem.window.linked:
        return None
    base, linked, wide = table.parted(problem.code)[0], problem.window.linked, problem.window.wide
    if base.startswith(("C77", "C78", "C79")) and "malignant" in own and "secondary" in own:
        base, own = "", own - {"secondary"}
        linked, wide = linked - {"secondary"}, wide - {"secondary"}
    category = base[:3]
    if category not in _SIDED or wide & _SIDES:
        wide |= _ASSUMED.get(category, frozenset())
    if category == "M10" and "toe" in wide:
        wide |= _GOUT
    best = _best(base, own, linked, wide)
    if best is None:
        return _choice(table.complete(base, wide), (), "recognised", wide) if base else None
    if base:
        same = own.issuperset(best.said)
        if same or (best.code[:3] == category and base.startswith(best.code) and base != best.code):
            way = "both" if _led(base, own) else "recognised"
            found = _choice(table.complete(base, wide), best.said, way, wide)
            if found:
                return found
        kept = table.complete(base, wide)
        if kept and best.code[:3] == category and table.telling(kept) and table.vague(best.code):
            return _choice(kept, best.said, "recognised", wide)
    complete = table.complete(best.code, wide) or (table.complete(base, wide) if base else None)
    return _choice(complete, best.said, "both" if base else "index", wide)


def _choice(code: str | None, said: tuple[str, ...], way: str, wide: frozenset[str]) -> Choice | None:
    return Choice(_side(code, wide), said, way) if code else None


def _best(base: str, own: frozenset[str], linked: frozenset[str], wide: frozenset[str]) -> Lead | None:
    category = base[:3]
    best: Lead | None = None
    rank: tuple[float, bool, int, str] = (0.0, False, 0, "")
    for lead in lexicon().leads(wide):
        code, said = lead.code, frozenset(lead.said)
        if not base:
            if not _opens(code, said, own, linked):
                continue
        elif code[:3] != category:
            near = code[0] == base[0] or (base[0] == "R" and len(said) > len(own) + 1)
            reach = wide if near else linked
            if not own <= said <= reach or code[0] in _SPECIAL:
                continue
        if base[:1] == "Z" and code[0] != "Z":
            continue
        score = (
            len(said)
            - 0.4 * len(said & _FAINT)
            + (0.5 if code[:3] == category else 0.0)
            + (0.25 if said & own == own else 0.0)
        )
        if score < rank[0]:
            continue
        order = (score, "unspecified" not in tabular().title(code).lower(), -len(code), code)
        if order > rank:
            best, rank = lead, order
    return best


def _opens(code: str, said: frozenset[str], own: frozenset[str], linked: frozenset[str]) -> bool:
    """Whether a lead is enough for a condition that was not recognised."""
    if code[0] in _SPECIAL or not said <= linked or not own & said or not said - _WEAK:
        return False
    return len(said) > 1 or (said == own - _SIDES and not said & _WEAK)


def _led(base: str, own: frozenset[str]) -> bool:
    found = lexicon().exact(own)
    return found is not None and found[:3] == base[:3]


def _side(code: str, said: frozenset[str]) -> str:
    """The code's sibling for the side that is said, when the code is for an unspecified side (or another)."""
    table = tabular()
    sides = said & _SIDES
    stem, letter = table.parted(code)
    if len(sides) != 1 or len(stem) < 5:
        return code
    title = table.title(stem)
    known = set(words(title))
    if not (known & _SIDES or "unspecified" in title):
        return code
    other = known - _SIDES - {"unilateral"}
    for sibling in table.children(stem[:-1].rstrip(".")):
        there = set(words(table.title(sibling)))
        if sides <= there and other <= there and not table.children(sibling):
            found = f"{sibling if '.' in sibling else sibling + '.'}".ljust(7, "X") + letter if letter else sibling
            return found if table.billable(found) else code
    return code


_SIDES = frozenset(("right", "left", "bilateral"))
