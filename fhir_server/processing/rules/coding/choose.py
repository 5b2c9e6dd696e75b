"""From one problem to one billable code: the Index's lead that says most of what the text says, then the list."""

from __future__ import annotations

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
}
_WEAK = frozenset(
    {"disease", "disorder", "syndrome", "acute", "chronic", "failure", "infection", "injury", "pain", "stage", "severe"}
    | {"mild", "moderate", "primary", "right", "left", "bilateral", "unilateral", "lower", "upper", "region", "limb"}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A billable code, the words that led to it, and how: "index", "recognised" or "both"."""

    code: str
    said: tuple[str, ...]
    way: str


def choose(text: str, problem: Problem) -> Choice | None:
    """The billable code for a problem as it is said; None when nothing leads to one."""
    table = tabular()
    base = problem.code
    if problem.kind != "condition":
        return Choice(base, (), "recognised") if table.billable(base) else None
    around = problem.window
    own = frozenset(words(text[problem.start : problem.end]))
    category = base[:3]
    wide = around.wide | _ASSUMED.get(category, frozenset())
    best: Lead | None = None
    rank = (0.0, 0)
    for lead in lexicon().leads(wide):
        code = lead.code
        said = frozenset(lead.said)
        if base:
            if code[:3] != category and not (own <= said <= around.linked and code[0] not in _SPECIAL):
                continue
            if base[0] == "Z" and code[0] != "Z":
                continue
        elif not _opens(code, said, own, around.linked):
            continue
        score = len(said) + (0.5 if code[:3] == category else 0.0) + (0.25 if said & own == own else 0.0)
        if (score, -len(code)) > rank:
            best, rank = lead, (score, -len(code))
    if best is None:
        complete = table.complete(base, wide) if base else None
        return Choice(complete, (), "recognised") if complete else None
    if base:
        exact = _led(base, own)
        plain = len(frozenset(best.said) - own) == 0
        if plain or (best.code[:3] == category and base.startswith(best.code) and base != best.code):
            refined = _side(base, wide)
            complete = table.complete(refined, wide)
            if complete:
                return Choice(complete, best.said, "both" if exact else "recognised")
    complete = table.complete(best.code, wide)
    if complete is None and base:
        complete = table.complete(base, wide)
    return Choice(complete, best.said, "both" if base else "index") if complete else None


def _opens(code: str, said: frozenset[str], own: frozenset[str], linked: frozenset[str]) -> bool:
    """Whether a lead is enough for a condition that was not recognised."""
    if code[0] in _SPECIAL or not said <= linked or not own & said or not said - _WEAK:
        return False
    return len(said) > 1 or (said == own and not own & _WEAK)


def _led(base: str, own: frozenset[str]) -> bool:
    found = lexicon().exact(own)
    return found is not None and found[:3] == base[:3]


def _side(code: str, said: frozenset[str]) -> str:
    """The code's sibling for the side that is said, when the code is for an unspecified side (or another)."""
    table = tabular()
    stem = code[:-1].rstrip(".") if len(code) > 3 else code
    sides = said & {"right", "left", "bilateral"}
    if len(sides) != 1 or len(code) < 5:
        return code
    title = set(words(table.title(code)))
    if not (title & {"right", "left", "bilateral"} or "unspecified" in table.title(code)):
        return code
    other = title - {"right", "left", "bilateral", "unspecified", "unilateral"}
    for sibling in table.children(stem):
        there = set(words(table.title(sibling)))
        if sides <= there and other - {"bilateral"} <= there | {"bilateral"}:
            return sibling
    return code
