import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.criteria.escapes import escape, split, unescape
from fhir_server.search.fold import fold, fold_often


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Smith", "smith"),
        ("MÜLLER", "muller"),
        ("Straße", "strasse"),
        ("Łukasz Ødegård", "lukasz odegard"),
        ("O'Brien", "obrien"),
        ("O’Brien", "obrien"),
        ("O´Brien", "obrien"),
        ("Smith-Jones, Jr.", "smithjones jr"),
        ("  a \t b\n", "a b"),
        ("ﬁnance", "finance"),
        ("???", "???"),
        ("東京", "東京"),
        ("   ", ""),
    ],
)
def test_case_accents_punctuation_and_space_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=60))
def test_case_never_matters(text: str) -> None:
    assert fold(text.casefold()) == fold(text)


@given(st.text(max_size=120))
def test_only_blank_text_folds_to_nothing(text: str) -> None:
    assert bool(fold(text)) == bool(text.split())
    assert fold_often(text) == fold(text)


@given(st.lists(st.text(max_size=10), min_size=1, max_size=5), st.sampled_from([",", "|", "$"]))
def test_escaped_separators_do_not_separate(parts: list[str], separator: str) -> None:
    joined = separator.join(escape(part) for part in parts)
    assert [unescape(part) for part in split(joined, separator)] == parts
