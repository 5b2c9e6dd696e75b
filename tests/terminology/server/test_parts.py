"""Versions, languages, patterns and designations: what the engine is made of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.server.designations import Designation, accepts, preferred
from terminology.server.languages import echoed, parse, shown
from terminology.server.library import implied
from terminology.server.patterns import whole
from terminology.server.versions import latest, listed, matches, order


@pytest.mark.parametrize(
    ("pattern", "version", "fits"),
    [
        ("1.0.0", "1.0.0", True),
        ("1.0.x", "1.0.7", True),
        ("1.x", "1.2.0", True),
        ("1.x", "2.0.0", False),
        ("1", "1.0.0", False),
        ("1.0?", "1.0.7", True),
        ("2024", "2024-03-01", True),
        (
            "http://snomed.info/sct/900000000000207008",
            "http://snomed.info/sct/900000000000207008/version/20240101",
            True,
        ),
        ("http://snomed.info/sct/731000124108", "http://snomed.info/sct/900000000000207008/version/20240101", False),
    ],
)
def test_a_pattern_allows_versions(pattern: str, version: str, fits: bool) -> None:
    assert matches(pattern, version) is fits


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1))
def test_the_latest_version_has_the_greatest_numbers(numbers: list[tuple[int, ...]]) -> None:
    assert latest(".".join(map(str, one)) for one in numbers) == ".".join(map(str, max(numbers)))


def test_a_preview_is_before_its_release() -> None:
    assert order("1.0.0-ballot") < order("1.0.0") < order("1.0.1-ballot")


def test_versions_are_told_in_words() -> None:
    assert listed(["1.2.0", "1.0.0"]) == "1.0.0 or 1.2.0"
    assert listed(["3", "1", "2"]) == "1, 2 and 3"


def test_languages_are_read_best_first() -> None:
    assert [one.code for one in parse("en;q=0.3, de", False)] == ["de", "en"]
    assert shown(parse("en, en-AU; q=0.4", True)) == "en, en-AU; q=0.4"
    assert echoed(parse("de,*;q=0", True)) == "de,*;q=0"


@pytest.mark.parametrize("text", ["-", "en;x=1", "12", ""])
def test_what_is_no_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text, True)


NAMES = [
    Designation("Dog", "en", display=True),
    Designation("Hund", "de"),
    Designation("Hound", "en", status="withdrawn"),
]


@pytest.mark.parametrize(
    ("languages", "name"), [(None, "Dog"), ("de", "Hund"), ("de-AT", "Hund"), ("fr", "Dog"), ("fr, *;q=0", None)]
)
def test_the_name_in_the_language(languages: str | None, name: str | None) -> None:
    found = preferred(NAMES, parse(languages, True) if languages else None)
    assert (found.value if found else None) == name


def test_a_name_is_accepted_in_any_case_and_told_apart_by_spaces() -> None:
    assert accepts(NAMES, None, None, "dOG") == (True, False)
    assert accepts(NAMES, None, None, "Hound", active=True) == (False, False)
    assert accepts([Designation("Big dog")], None, None, "Big  dog") == (False, True)


def test_a_regular_expression_cannot_hang() -> None:
    started = time.perf_counter()
    assert not whole("((a+)+)+")("a" * 5000 + "!")
    assert time.perf_counter() - started < 1


def test_what_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        whole("(")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/cs?fhir_vs=isa/1",
        "http://snomed.info/sct?fhir_vs=other",
        "http://snomed.info/sct?fhir_vs=isa/",
    ],
)
def test_urls_that_imply_nothing(url: str) -> None:
    assert implied(url) is None
