"""The filters of a value set's include (R4B 4.9.8.3 and the operators of R5): a test, and the codes that pass it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from terminology.content import SNOMED
from terminology.server import messages
from terminology.server.ecl import evaluate
from terminology.server.patterns import whole
from terminology.server.problems import Problem, Refused
from terminology.server.systems import Concept, System

Test = Callable[[Concept], bool]
_CODE: Final = ("concept", "code")
_HIERARCHY: Final = frozenset(("is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"))
#: Properties that every code system has, whether or not it defines them.
_COMMON: Final = frozenset(
    ("parent", "child", "display", "definition", "status", "inactive", "notSelectable", "abstract", "deprecated")
)
_VALUES: Final = frozenset(("=", "in", "not-in", "regex", "exists"))


@dataclass(frozen=True, slots=True)
class Filter:
    """passes: whether a concept of the system does. codes: those that may, when they are cheaper to list than to test
    all of the system for; None when they are not."""

    passes: Test
    codes: Callable[[], Iterable[str]] | None = None


def understood(system: System, property: str, op: str) -> bool:
    """Whether `filter_of` knows what to do."""
    if op in _HIERARCHY:
        return property in _CODE
    if op not in _VALUES:
        return False
    if property == "constraint":
        return op == "=" and system.url == SNOMED
    return property in _CODE or property in _COMMON or system.declares(property)


def filter_of(system: System, property: str, op: str, value: str, value_set: str) -> Filter:
    """Raises Refused (400) for a filter that this system does not have."""
    if not understood(system, property, op):
        raise Refused(
            Problem(
                "error",
                "not-supported",
                messages.filter_not_understood(property, op, value, value_set, system.url),
                "vs-invalid",
                "FILTER_NOT_UNDERSTOOD",
            ),
            status=400,
        )
    if op in _HIERARCHY:
        return _hierarchy(system, op, value)
    try:
        if property == "constraint":
            chosen = evaluate(system, value)
            return Filter(lambda c: c.code in chosen, lambda: sorted(chosen, key=lambda code: (len(code), code)))
        return _by_value(system, property, op, value)
    except ValueError as wrong:
        raise Refused(Problem("error", "invalid", str(wrong), "vs-invalid"), status=400) from wrong


def all_of(system: System, filters: list[Filter]) -> Iterator[Concept]:
    """The concepts that pass every filter, in the order of the definition (of the first filter that lists)."""
    leading = next((one for one in filters if one.codes is not None), None)
    if leading is None or leading.codes is None:
        yield from (concept for concept in system.concepts() if all(one.passes(concept) for one in filters))
        return
    others = [one for one in filters if one is not leading]
    for code in leading.codes():
        concept = system.locate(code)
        if concept is not None and all(one.passes(concept) for one in others):
            yield concept


def _hierarchy(system: System, op: str, value: str) -> Filter:
    if op == "is-a":
        return Filter(
            lambda c: c.code == value or value in system.ancestors(c.code), lambda: [value, *system.descendants(value)]
        )
    if op == "descendent-of":
        return Filter(
            lambda c: c.code != value and value in system.ancestors(c.code), lambda: system.descendants(value)
        )
    if op == "is-not-a":
        return Filter(lambda c: c.code != value and value not in system.ancestors(c.code))
    if op == "generalizes":
        above = system.ancestors(value) | {value}
        return Filter(lambda c: c.code in above, lambda: above)
    if op == "child-of":

        def children() -> list[str]:
            parent = system.locate(value)
            return [] if parent is None else [child.code for child in system.children(parent)]

        return Filter(lambda c: any(p.code == value for p in system.parents(c)), children)
    return Filter(
        lambda c: c.code != value and not system.children(c) and value in system.ancestors(c.code),
        lambda: [code for code in system.descendants(value) if _leaf(system, code)],
    )


def _leaf(system: System, code: str) -> bool:
    concept = system.locate(code)
    return concept is not None and not system.children(concept)


def _by_value(system: System, property: str, op: str, value: str) -> Filter:
    if property in _CODE and op in ("=", "in"):
        codes = [value] if op == "=" else list(system.members(value) or _split(value))
        wanted = frozenset(codes)
        return Filter(lambda c: c.code in wanted, lambda: codes)
    values = _values_of(system, property)
    test = _test(op, value)
    if property in ("parent", "child") and op in ("=", "in"):
        return Filter(lambda c: test(values(c)), lambda: _neighbours(system, property, op, value))
    if property in _CODE or property in _COMMON or op in ("not-in", "exists"):
        return Filter(lambda c: test(values(c)))
    one = _test_one(op, value)

    def listed() -> list[str]:
        return list(dict.fromkeys(code for code, have in system.having(property, op, value, one)))

    return Filter(lambda c: test(values(c)), listed)


def _neighbours(system: System, property: str, op: str, value: str) -> list[str]:
    found: dict[str, None] = {}
    for code in [value] if op == "=" else _split(value):
        concept = system.locate(code)
        if concept is not None:
            step = system.children if property == "parent" else system.parents
            found.update(dict.fromkeys(one.code for one in step(concept)))
    return list(found)


def _values_of(system: System, property: str) -> Callable[[Concept], list[str]]:
    if property in _CODE:
        return lambda c: [c.code]
    if property == "display":
        return lambda c: [c.display] if c.display else []
    if property == "definition":
        return lambda c: [c.definition] if c.definition else []
    if property == "parent":
        return lambda c: [one.code for one in system.parents(c)]
    if property == "child":
        return lambda c: [one.code for one in system.children(c)]
    if property == "status":
        return lambda c: [state] if (state := system.state(c)) else []
    if property == "inactive":
        return lambda c: ["true" if system.inactive(c) else "false"]
    if property == "deprecated":
        return lambda c: ["true" if system.deprecated(c) else "false"]
    if property in ("notSelectable", "abstract"):
        return lambda c: ["true"] if system.abstract(c) else _said(system, c, property)
    return lambda c: [one.text for one in system.properties(c) if one.code == property]


def _said(system: System, concept: Concept, property: str) -> list[str]:
    return [one.text for one in system.properties(concept) if one.code in (property, "notSelectable", "abstract")]


def _test_one(op: str, value: str) -> Callable[[str], bool]:
    if op == "=":
        return lambda have: have == value
    if op in ("in", "not-in"):
        wanted = frozenset(_split(value))
        return lambda have: have in wanted
    return whole(value)


def _test(op: str, value: str) -> Callable[[list[str]], bool]:
    if op == "exists":
        expected = value == "true"
        return lambda have: bool(have) is expected
    one = _test_one(op, value)
    if op == "not-in":
        return lambda have: not any(one(text) for text in have)
    return lambda have: any(one(text) for text in have)


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
