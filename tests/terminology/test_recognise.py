"""Concepts are found in text as people write them, with offsets in the original."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.fold import fold
from terminology.recognise import recogniser


def codes(text: str) -> list[str]:
    return [hit.concept.snomed for hit in recogniser().find(text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hypertension", "38341003"),
        ("HTN", "38341003"),
        ("hyperlipidaemia", "55822004"),
        ("Hyperlipidemia", "55822004"),
        ("paroxysmal atrial fibrillation", "282825002"),
        ("type-2 diabetes", "44054006"),
        ("type 2\n   diabetes", "44054006"),
        ("Crohn\u2019s disease", "34000006"),
        ("Crohns disease", "34000006"),
        ("oesophageal cancer", "363402007"),
        ("cancer of the esophagus", "363402007"),
        ("headaches", "25064002"),
        ("pneumonia", "233604007"),
        ("chest pain", "29857009"),
        ("colon cancer", "363406005"),
        ("CKD stage 3", "433144002"),
        ("PE", "59282003"),
    ],
)
def test_a_concept_is_recognised_however_it_is_written(text: str, code: str) -> None:
    assert codes(text) == [code]


def test_the_longest_phrase_wins() -> None:
    assert codes("chronic obstructive pulmonary disease") == ["13645005"]


@pytest.mark.parametrize("text", ["pe", "non-diabetic", "diabetes clinic", "CVA tenderness", "asthmaticus1", "xasthma"])
def test_what_only_looks_like_a_concept_is_not_one(text: str) -> None:
    assert codes(text) == []


@given(st.text(), st.text())
def test_offsets_are_exact_between_any_characters(before: str, after: str) -> None:
    text = f"{before} pneumonia {after}"
    for hit in recogniser().find(text):
        assert 0 <= hit.start < hit.end <= len(text)
        assert fold(text[hit.start : hit.end]).strip()


@given(st.text())
def test_folding_keeps_every_offset(text: str) -> None:
    assert len(fold(text)) == len(text)
