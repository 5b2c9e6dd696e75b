"""A note becomes coded facts: the right concepts, statuses, dates and offsets."""

from __future__ import annotations

import time
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.processing.engines import ExtractRequest, ExtractResult, Mention, UnknownEngine, engine_for, extractor
from fhir_server.processing.evaluate import score

LETTER = date(2025, 3, 15)
SAMPLE = (
    "67-year-old male with history of paroxysmal atrial fibrillation diagnosed in 2021, hypertension, and "
    "hyperlipidemia. Patient underwent pulmonary vein isolation via catheter ablation in September 2023."
)
GOLD = Path(__file__).parent / "gold"


def extract(text: str, born: date | None = None) -> ExtractResult:
    return extractor().extract(ExtractRequest(text, "Cardiology", LETTER, born))


def one(text: str, born: date | None = None) -> Mention:
    (mention,) = extract(text, born).mentions
    return mention


def aside(text: str) -> list[tuple[str, str]]:
    return [(s.mention.source, s.reason) for s in extract(text).set_aside]


def test_the_vendors_sample_note_gives_the_vendors_facts() -> None:
    facts = [(m.code, m.source, m.start, m.end, m.date, m.relative_date, m.status) for m in extract(SAMPLE).mentions]
    assert facts == [
        ("282825002", "paroxysmal atrial fibrillation diagnosed in 2021", 33, 81, "2021", "(Y-4)", "confirmed"),
        ("38341003", "hypertension", 83, 95, None, None, "confirmed"),
        ("55822004", "hyperlipidemia", 101, 115, None, None, "confirmed"),
        ("233159005", "pulmonary vein isolation", 135, 159, "2023-09", "(M-18)", "confirmed"),
        ("18286008", "catheter ablation in September 2023", 164, 199, "2023-09", "(M-18)", "confirmed"),
    ]


def test_concept_type_is_the_semantic_tag() -> None:
    assert [m.concept_type for m in extract(SAMPLE).mentions] == ["disorder"] * 3 + ["procedure"] * 2


@pytest.mark.parametrize(
    ("text", "source", "status"),
    [
        ("Possible pneumonia.", "pneumonia", "provisional"),
        ("Chest pain could be due to GERD.", "GERD", "provisional"),
        ("Appears to be cellulitis.", "cellulitis", "provisional"),
        ("Rule out sepsis.", "sepsis", "provisional"),
        ("Pneumonia cannot be excluded.", "Pneumonia", "provisional"),
        ("Less likely pulmonary embolism.", "pulmonary embolism", "differential"),
        ("Differential diagnosis includes migraine and sinusitis.", "sinusitis", "differential"),
        ("Pneumonia versus bronchitis.", "Pneumonia", "differential"),
        ("No change in asthma.", "asthma", "confirmed"),
        ("Denies nausea but has migraine.", "migraine", "confirmed"),
        ("The mother reports fever.", "fever", "confirmed"),
    ],
)
def test_status_is_what_the_text_says(text: str, source: str, status: str) -> None:
    assert [m.status for m in extract(text).mentions if m.source == source] == [status]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Denies chest pain.", [("chest pain", "negated")]),
        ("He denies fever, cough, or chills.", [("fever", "negated"), ("cough", "negated"), ("chills", "negated")]),
        ("No evidence of pneumonia.", [("pneumonia", "negated")]),
        ("Low suspicion for DVT.", [("DVT", "negated")]),
        ("Stroke was ruled out by MRI.", [("Stroke", "negated")]),
        ("Family history of colon cancer.", [("colon cancer", "family")]),
        ("Her mother had diabetes.", [("diabetes", "family")]),
        ("Breast cancer in her sister.", [("Breast cancer", "family")]),
        ("Family history:\nFather: asthma\n", [("asthma", "family")]),
        ("If you develop fever, return for chest pain.", [("fever", "hypothetical"), ("chest pain", "hypothetical")]),
        ("Plan: colonoscopy.", [("colonoscopy", "hypothetical")]),
    ],
)
def test_what_is_not_the_patients_is_set_aside(text: str, expected: list[tuple[str, str]]) -> None:
    assert aside(text) == expected
    assert not {source for source, _ in expected} & {m.source for m in extract(text).mentions}


@pytest.mark.parametrize(
    ("text", "when", "until", "distance"),
    [
        ("Asthma since 2015.", "2015", None, "(Y-10)"),
        ("Stroke on 3/4/2020.", "2020-03-04", None, "(D-1837)"),
        ("Stroke 2020-03-04.", "2020-03-04", None, "(D-1837)"),
        ("Pneumonia in February 2021.", "2021-02", None, "(M-49)"),
        ("Pneumonia, 5 Feb 2021.", "2021-02-05", None, "(D-1499)"),
        ("Pneumonia (Jan '24).", "2024-01", None, "(M-14)"),
        ("Pneumonia three days ago.", "2025-03-12", None, "(D-3)"),
        ("Pneumonia two months ago.", "2025-01", None, "(M-2)"),
        ("Stroke at age 45.", "2005", None, "(Y-20)"),
        ("Stroke last year.", "2024", None, "(Y-1)"),
        ("Asthma diagnosed in the 1990s.", "1990", None, "(Y-35)"),
        ("Depression from 2018 to 2020.", "2018", "2020", "(Y-7)"),
        ("Pneumonia in 2018, resolved in 2020.", "2018", "2020", "(Y-7)"),
        ("3-day history of fever.", "2025-03-12", None, "(D-3)"),
        ("Migraine in her twenties.", None, None, None),
        ("Asthma since childhood.", None, None, None),
        ("Migraine treated with 2000 mg daily.", None, None, None),
    ],
)
def test_dates_are_partial_and_counted_from_the_letter(
    text: str, when: str | None, until: str | None, distance: str | None
) -> None:
    found = one(text, date(1960, 5, 2))
    assert (found.date, found.end_date, found.relative_date) == (when, until, distance)


def test_an_allergy_to_a_drug_is_not_a_drug_taken() -> None:
    assert [(m.code, m.display) for m in extract("Allergies: penicillin, aspirin").mentions] == [
        ("91936005", "Allergy to penicillin (finding)"),
        ("293586001", "Allergy to aspirin (finding)"),
    ]


def test_an_observable_is_reported_with_its_value_only() -> None:
    assert [(m.code, m.value) for m in extract("BP 150/90. Check blood pressure at home.").mentions] == [
        ("75367002", "150/90")
    ]


@settings(max_examples=150, deadline=None)
@given(st.text(), st.text(), st.sampled_from([SAMPLE, "Pneumonia in 2018, resolved 3/4/2020 (PE ruled out)."]))
def test_source_is_always_what_stands_at_the_offsets(before: str, after: str, note: str) -> None:
    text = f"{before}\n{note}\n{after}"
    result = extract(text)
    for mention in [*result.mentions, *(s.mention for s in result.set_aside)]:
        assert text[mention.start : mention.end] == mention.source
        assert mention.start == mention.concept_start < mention.concept_end <= mention.end
    starts = [(m.start, m.end) for m in result.mentions]
    assert all(one_end <= two_start for (_, one_end), (two_start, _) in pairwise(starts))


@pytest.mark.parametrize(("name", "least"), [("development.txt", 0.98), ("heldout.txt", 0.9)])
def test_extraction_on_annotated_notes_does_not_get_worse(name: str, least: float) -> None:
    total = score(GOLD / name)
    assert total.f1 >= least
    assert total.statuses / total.matched >= 0.9


def test_many_notes_a_second() -> None:
    text = (SAMPLE + " Denies chest pain; possible GERD since 2019. ") * 6
    extract(text)
    started = time.process_time()
    for _ in range(40):
        extract(text[:1500])
    assert 40 / (time.process_time() - started) > 200


def test_an_engine_that_is_not_installed_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownEngine, match="rules"):
        engine_for("extract", {"extract": "nothing"})
