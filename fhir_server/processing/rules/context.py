"""What a sentence says of a concept: asserted, doubted, denied, a relative's, imagined, past (after ConText, 2009).

The rules are data (``data/context.tsv``: trigger, category, direction, scope). A trigger reaches the concepts after or
before it in its sentence until a word that ends its reach ("but", "patient has"). Scope "clause" goes on through a
list; "item" reaches the nearest concept and those that "or", "and" or "vs" join to it; "member" is a relative, who
counts only when the fact is his ("mother had"), not when he tells it ("mother reports").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import ahocorasick

from fhir_server.processing.engines import Reason, Status
from terminology.fold import fold

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Role:
    """What one trigger does: category, direction and scope as in the table."""

    category: str
    direction: str
    scope: str


@dataclass(frozen=True, slots=True)
class Trigger:
    start: int
    end: int
    roles: tuple[Role, ...]

    def has(self, category: str) -> bool:
        return any(role.category == category for role in self.roles)


@dataclass(frozen=True, slots=True)
class Target:
    """A concept in the text, for the rules. done: a procedure or treatment, which is planned or done, not found."""

    start: int
    end: int
    done: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """status of a fact of the patient's, or the reason why it is none of his; historical: of his past."""

    status: Status
    reason: Reason | None
    historical: bool


@cache
def _triggers() -> tuple[ahocorasick.Automaton, list[tuple[int, tuple[Role, ...]]]]:
    roles: dict[str, list[Role]] = {}
    for line in (DATA / "context.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        trigger, category, direction, scope = line.split("\t")
        roles.setdefault(" ".join(fold(trigger).split()), []).append(Role(category, direction, scope))
    automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
    entries: list[tuple[int, tuple[Role, ...]]] = []
    for trigger, found in roles.items():
        automaton.add_word(trigger, len(entries))
        entries.append((len(trigger), tuple(found)))
    automaton.make_automaton()
    return automaton, entries


def triggers(folded: str) -> list[Trigger]:
    """The triggers in a folded text, longest first at each place, without overlap."""
    automaton, entries = _triggers()
    size = len(folded)
    hits = []
    for last, number in automaton.iter(folded):
        length, roles = entries[number]
        end = last + 1
        start = end - length
        if start and folded[start].isalnum() and folded[start - 1].isalnum():
            continue
        if end < size and folded[last].isalnum() and folded[end].isalnum():
            continue
        hits.append((start, -end, roles))
    hits.sort(key=lambda hit: hit[:2])
    found = []
    free = 0
    for start, negative, roles in hits:
        if start >= free:
            free = -negative
            found.append(Trigger(start, free, roles))
    return found


_TELLS = re.compile(
    r"^(?:'s|s)?[ ,]+(?:\w+ ){0,2}?(?:reports?|reported|reporting|states?|stated|says|said|notes?|noted|"
    r"notices?|noticed|denies|denied|brought|brings|called|calls|describes?|described|gives|gave|thinks|thought|feels|felt|"
    r"believes?|concerned|worried|observed|witnessed|found (?:him|her|the patient|patient)|mentions?|mentioned|"
    r"endorses?|confirms?|confirmed|provides?|provided|who provides|who reports|asks?|asked|wants|"
    r"requests|gives the history|present|accompanied|translat\w+|interpret\w+)\b"
)
_FACT = re.compile(
    r"^(?:'s|s)?\s*(?:\(\w+\)\s*)?(?:[,:(\-]\s*)?(?:(?:also|both|each|who|recently|likely|possibly|probably|age|aged|\d+|"
    r"and|or|side|maternal|paternal|on|the|deceased|living|alive|is|was|were|are|she|he|in|her|his|,|at) ?)*"
    r"(?:had|has|have|having|with|died|dies|dead|passed|diagnosed|suffers?|suffered|history|hx|positive|from|of|sick|ill|"
    r"diabetic|hypertensive|alcoholic|recently|secondary|due|is|was|were|are|:|\()"
)
_POINTS_BACK = re.compile(
    r"(?:\b(?:in|by|for|of|on|and|or)|\(|:|,|[-\u2013]) ?(?:(?:his|her|the|their|a|an|one|two|both|my|"
    r"patient's|pt's|maternal|paternal|"
    r"older|younger|late|half|twin|first|second|degree|multiple|several) )*$"
)
_ADJOINS = re.compile(r"^[ \t]*(?:[a-z-]+[ \t]+){0,4}$", re.I)
_STOPS = re.compile(r"\s*(?:[,.;)]|$|\n|(?:and|but|given|based|as|because|at|due)\b)")
_JOINS = re.compile(r"^[ \t]*(?:,?[ \t]*(?:and/or|or|and|vs\.?|versus|/|&)[ \t]*)(?:(?:[a-z]+[ \t]+){0,2})$", re.I)
_COMMA = re.compile(r"^[ \t]*,[ \t]*(?:(?:[a-z]+[ \t]+){0,2})$", re.I)
_ORJOIN = re.compile(r"\b(?:or|vs|versus)\b|/")
_LISTED = re.compile(
    r"^[\s,;/&()]*(?:(?:and|or|nor|any|other|no|recent|new|acute|of|in|the|a|left|right|bilateral|severe|mild)[\s,]+)*$"
)
_PATIENT = re.compile(r"\b(?:patient|pt|but|however|he reports|she reports|he denies|she denies|i have)\b")
_RULED = re.compile(r"ruled out|excluded")
_PASSIVE = re.compile(r"\s*(?:by|with|on|via|based|after|in)\b")
_HAPPENED = re.compile(
    r"\b(?:underwent|had|has had|done|performed|completed|status post|s p|showed|shows|revealed|was|were)\b"
)
_WHICH = ("which", "who", "since", "then", "on", "now")
_REACH = 70


def assertions(
    text: str,
    folded: str,
    begin: int,
    end: int,
    found: Sequence[Trigger],
    targets: Sequence[Target],
    section: str | None,
) -> list[Assertion]:
    """One assertion for each target of the sentence text[begin:end]. found: the triggers in it; section: its kind."""
    free = [t for t in found if not any(x.start <= t.start and t.end <= x.end for x in targets)]
    stops = [t for t in free if t.has("terminate")]
    marks: list[set[str]] = [set() for _ in targets]
    for number, trigger in enumerate(free):
        for role in trigger.roles:
            if role.category in ("terminate", "pseudo"):
                continue
            if (
                role.direction == "backward"
                and role.category != "differential"
                and _forward_instead(text, trigger, role, targets)
            ):
                continue
            if role.direction == "forward" and role.scope == "item" and _backward_instead(text, trigger, targets):
                continue
            for index in _reached(text, folded, begin, end, free, number, role, stops, targets):
                category = role.category
                if category == "negated" and _RULED.search(folded[trigger.start : trigger.end]):
                    category = "ruled out"
                marks[index].add(category)
                if category == "negated" and _denies_a_doubt(free, number):
                    marks[index].add("ruled out")
    if section == "plan" and not _HAPPENED.search(folded, begin, end):
        for index, target in enumerate(targets):
            if target.done:
                marks[index].add("planned")
    family = section == "family_history" and not re.match(r"\s*(?:the )?(?:patient|pt)\b", folded[begin:end])
    return [_assertion(marks[i], targets[i], family, section) for i in range(len(targets))]


def _forward_instead(text: str, trigger: Trigger, role: Role, targets: Sequence[Target]) -> bool:
    """A bare word that works both ways ("possible") speaks of the concept right after it, where there is one."""
    if not any(r.direction == "forward" and r.category == role.category for r in trigger.roles):
        return False
    if _backward_instead(text, trigger, targets) or _PASSIVE.match(text, trigger.end):
        return False
    after = next((t.start for t in targets if t.start >= trigger.end), None)
    return after is not None and _ADJOINS.match(text[trigger.end : after]) is not None


def _backward_instead(text: str, trigger: Trigger, targets: Sequence[Target]) -> bool:
    """A bare word that works both ways, right behind a concept and before a stop ("PE unlikely, ...")."""
    if not {"forward", "backward"} <= {r.direction for r in trigger.roles} or trigger.has("differential"):
        return False
    before = max((t.end for t in targets if t.end <= trigger.start), default=None)
    return (
        before is not None
        and not text[before : trigger.start].strip(" (")
        and _STOPS.match(text[trigger.end : trigger.end + 20]) is not None
    )


def _denies_a_doubt(free: list[Trigger], number: int) -> bool:
    """True for "no suspected": the denial stands right before the doubt."""
    after = free[number + 1] if number + 1 < len(free) else None
    return after is not None and after.start - free[number].end <= 1 and after.has("provisional")


def _assertion(marks: set[str], target: Target, family: bool, section: str | None) -> Assertion:
    historical = "historical" in marks or section in ("past_history", "surgical_history")
    reason: Reason | None = None
    status: Status = "confirmed"
    if family or "family" in marks:
        reason = "family"
    elif "hypothetical" in marks or ("planned" in marks and target.done and "historical" not in marks):
        reason = "hypothetical"
    elif "ruled out" in marks or ("negated" in marks and not marks & {"differential", "provisional"}):
        reason = "negated"
    elif "differential" in marks or section == "differential":
        status = "differential"
    elif "provisional" in marks:
        status = "provisional"
    return Assertion(status, reason, historical)


def _reached(
    text: str,
    folded: str,
    begin: int,
    end: int,
    free: list[Trigger],
    number: int,
    role: Role,
    stops: list[Trigger],
    targets: Sequence[Target],
) -> list[int]:
    """The indexes of the targets that one role of the trigger free[number] reaches."""
    trigger = free[number]
    if role.scope == "member":
        return _member(folded, begin, end, trigger, targets)
    if role.direction == "forward":
        if role.category == "negated" and number + 1 < len(free):
            after = free[number + 1]
            if after.has("pseudo") and after.start - trigger.end <= 1:
                return []
        if role.category == "negated" and _PASSIVE.match(folded, trigger.end, end):
            return []
        ahead = [i for i, target in enumerate(targets) if target.start >= trigger.end]
        if not ahead:
            return []
        limit = end
        if role.category == "family":
            patient = _PATIENT.search(folded, trigger.end, end)
            limit = patient.start() if patient else end
        else:
            for stop in stops:
                if stop.start >= trigger.end:
                    limit = stop.start
                    break
            semicolon = folded.find(";", trigger.end, limit)
            limit = semicolon if semicolon >= 0 else limit
        inside = [i for i in ahead if targets[i].start < limit]
        if role.scope == "clause":
            return _while_listed(folded, trigger.end, inside, targets) if role.category == "negated" else inside
        if not inside or targets[inside[0]].start - trigger.end > _REACH:
            return []
        if role.category != "historical" and "," in folded[trigger.end : targets[inside[0]].start]:
            return []
        return _joined(text, inside, targets, commas=role.category == "historical")
    behind = [i for i, target in enumerate(targets) if target.end <= trigger.start]
    if role.category in ("negated", "provisional", "differential"):
        while behind and targets[behind[-1]].done and role.category == "negated":
            behind.pop()
    if role.category == "planned":
        behind = [i for i in behind if targets[i].done]
    if not behind:
        return []
    nearest = targets[behind[-1]]
    between = folded[nearest.end : trigger.start]
    if len(between) > _REACH or ";" in between:
        return []
    for stop in stops:
        if nearest.end <= stop.start < trigger.start and folded[stop.start : stop.end] not in _WHICH:
            return []
    others = [i for i, target in enumerate(targets) if nearest.end <= target.start < trigger.start]
    if others and role.category != "negated" and role.category != "planned":
        return []
    return _joined(text, behind[::-1], targets, commas=False)


def _while_listed(folded: str, start: int, inside: list[int], targets: Sequence[Target]) -> list[int]:
    """A denial goes through a list of concepts; a comma with a new clause behind it ends it."""
    result: list[int] = []
    at = start
    for index in inside:
        gap = folded[at : targets[index].start]
        if result and "," in gap and not _LISTED.match(gap):
            tail = gap.rsplit(",", 1)[1]
            if len(tail.split()) > 4:
                break
        result.append(index)
        at = targets[index].end
    return result


def _joined(text: str, order: list[int], targets: Sequence[Target], *, commas: bool) -> list[int]:
    """The first of `order` and those that a list joins to it. A comma joins when the list ends in "or" (or commas)."""
    result = [order[0]]
    gaps = []
    for previous, index in pairwise(order):
        one, two = sorted((targets[previous], targets[index]), key=lambda t: t.start)
        gaps.append(text[one.end : two.start])
    for number, index in enumerate(order[1:]):
        gap = gaps[number]
        or_before = number > 0 and _ORJOIN.search("".join(gaps[:number])) is not None
        comma = _COMMA.match(gap) is not None and (commas or or_before or _ends_in_or(gaps[number:]))
        if not comma and not _JOINS.match(gap):
            break
        result.append(index)
    return result


def _ends_in_or(gaps: list[str]) -> bool:
    for gap in gaps:
        if _JOINS.match(gap):
            return bool(_ORJOIN.search(gap))
        if not _COMMA.match(gap):
            return False
    return False


def _member(folded: str, begin: int, end: int, trigger: Trigger, targets: Sequence[Target]) -> list[int]:
    before = folded[begin : trigger.start]
    after = folded[trigger.end : end]
    if _TELLS.match(after) or re.search(
        r"\b(?:per|according to|accompanied by|with|to|from|by) (?:\w+ ){0,2}$", before
    ):
        return (
            []
            if not re.match(r"^(?:'s)? who (?:has|had|is|was)\b", after)
            else _ahead(folded, trigger.end, end, targets)
        )
    behind = [i for i, target in enumerate(targets) if target.end <= trigger.start]
    if behind:
        gap = folded[targets[behind[-1]].end : trigger.start]
        if (
            len(gap) <= 45
            and _POINTS_BACK.search(gap)
            and ";" not in gap
            and not re.search(r"\b(?:has|had|and|but)\b", gap[:-1])
        ):
            return _joined(folded, behind[::-1], targets, commas=True)
    if _FACT.match(after):
        return _ahead(folded, trigger.end, end, targets)
    return []


def _ahead(folded: str, start: int, end: int, targets: Sequence[Target]) -> list[int]:
    patient = _PATIENT.search(folded, start, end)
    limit = patient.start() if patient else end
    return [i for i, target in enumerate(targets) if start <= target.start < limit]
