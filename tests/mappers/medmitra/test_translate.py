"""The pure part: what goes in comes out again, whatever it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.jobs.models import model
from fhir_server.jobs.names import Names
from fhir_server.r4b.validate import validate
from mappers.medmitra.insights import About, Diagnosis, Insights, Scored, outputs_of, resources_of
from mappers.medmitra.narrative import plain, xhtml
from mappers.medmitra.projection import CaseView, case_json, insights_json, output_references, patient_gender, status_of
from mappers.medmitra.translate import Changes, NewCase, case_resources, changed, requested_again, with_gender
from mappers.medmitra.words import TASK_STATUS

NAMES = Names("http://test/fhir")
NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
LINE = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
SCORE = st.integers(0, 10_000).map(lambda n: n / 10_000)
SCORED = st.builds(Scored, SCORE, st.lists(LINE, max_size=2).map(tuple))


def new_case(**changes: Any) -> NewCase:
    given = {
        "case_id": "c1", "patient_id": "p1", "user_id": "asha", "patient_name": "John Doe", "patient_age": 45,
        "patient_gender": "Male", "case_summary": "Tired.",
    }  # fmt: skip
    return NewCase(**(given | changes))


def row(case: NewCase) -> dict[str, Any]:
    patient, task = case_resources(case, [], names=NAMES, now=NOW)
    return case_json(CaseView(task, patient, case.user_id))


@given(st.lists(LINE | st.just(""), min_size=1, max_size=6).map("\n".join))
def test_a_text_comes_back_from_its_narrative(text: str) -> None:
    wanted = text.strip("\n")
    while "\n\n\n" in wanted:
        wanted = wanted.replace("\n\n\n", "\n\n")
    assert plain(xhtml(text)) == wanted


@given(st.text())
def test_any_text_makes_a_narrative_that_can_be_read(text: str) -> None:
    from lxml import etree

    etree.fromstring(xhtml(text))
    plain(text)


@given(LINE, st.integers(0, 150), st.sampled_from(["Male", "female", "Transgender", "Non-binary", "unknown"]), LINE)
def test_a_new_case_shows_what_was_given(name: str, age: int, gender: str, summary: str) -> None:
    shown = row(new_case(patient_name=name, patient_age=age, patient_gender=gender, case_summary=summary))
    assert (shown["patient_name"], shown["patient_age"], shown["patient_gender"]) == (name, age, gender)
    assert (shown["case_summary"], shown["status"], shown["created_at"]) == (
        summary,
        "processing",
        "2026-03-04T10:30:00Z",
    )


@given(st.sampled_from(sorted(TASK_STATUS)), st.sampled_from(sorted(TASK_STATUS)))
def test_a_status_that_was_set_is_shown_whatever_it_was_before(first: str, second: str) -> None:
    task = case_resources(new_case(), [], names=NAMES, now=NOW)[-1]
    for word in (first, second):
        task = changed(task, Changes(status=word), names=NAMES, now=NOW)
        assert status_of(task) == word
        assert task["status"] == TASK_STATUS[word]
    assert status_of(requested_again(task, names=NAMES, now=NOW)) == "processing"


@pytest.mark.parametrize("gender", ["male", "female", "other", "unknown"])
def test_a_word_that_the_gender_does_not_agree_with_any_more_is_not_shown(gender: str) -> None:
    patient: dict[str, Any] = {"resourceType": "Patient"}
    with_gender(patient, "Transgender", NAMES)
    patient["gender"] = gender
    assert (patient_gender(patient) == "Transgender") is (gender == "other")


def test_a_change_leaves_the_rest_of_the_task_alone() -> None:
    task = case_resources(new_case(), [], names=NAMES, now=NOW)[-1]
    mine = task | {"note": [{"text": "mine"}], "extension": [{"url": "http://x", "valueString": "y"}]}
    for change in (Changes(patient_age=1), Changes(status="pending"), Changes(case_summary="")):
        after = changed(mine, change, names=NAMES, now=NOW)
        assert after["note"] == mine["note"]
        assert mine["extension"][0] in after["extension"]


@given(
    st.builds(
        Insights,
        summary=LINE,
        key_findings=st.lists(LINE, max_size=3).map(tuple),
        lab_summary=LINE | st.none(),
        radiology_summary=LINE | st.none(),
        summary_confidence=SCORED,
        soap=st.fixed_dictionaries(dict.fromkeys(("subjective", "objective", "assessment", "plan"), LINE)),
        soap_confidence=SCORED,
        diagnosis=st.none()
        | st.builds(
            Diagnosis,
            name=LINE,
            icd_code=st.sampled_from(["E11.9", "I10", None]),
            description=LINE,
            evidence=st.lists(st.tuples(LINE, st.none()), max_size=3).map(tuple),
            confidence=SCORED,
        ),
    )
)
def test_insights_come_back_from_fhir(found: Insights) -> None:
    about = About("c1", "Patient/p1", {"display": "rules"})
    made = resources_of(found, about, names=NAMES, now=NOW)
    task = case_resources(new_case(), [], names=NAMES, now=NOW)[-1] | {"status": "completed"}
    task["output"] = outputs_of(made, NAMES)
    assert set(output_references(task)) == set(made)
    shown = insights_json(CaseView(task, insights=made))
    assert shown is not None
    assert shown["case_summary"] == {
        "comprehensive_summary": found.summary,
        "key_findings": list(found.key_findings),
        "lab_summary": found.lab_summary or "",
        "radiology_summary": found.radiology_summary or "",
        "confidence_score": found.summary_confidence.value,
    }
    assert shown["soap_note"] == dict(found.soap or {}) | {"confidence_score": found.soap_confidence.value}
    assert shown["confidence_explanation"]["soap_note"] == list(found.soap_confidence.explanation)
    diagnosis = found.diagnosis
    if diagnosis is None:
        assert shown["primary_diagnosis"] is None
    else:
        assert shown["primary_diagnosis"] == {
            "primary_diagnosis": diagnosis.name,
            "icd_code": diagnosis.icd_code,
            "description": diagnosis.description,
            "confidence_score": diagnosis.confidence.value,
            "supporting_evidence": [sentence for sentence, _ in diagnosis.evidence],
        }
    scores = [part["confidence_score"] for part in (shown[name] for name in ("case_summary", "soap_note")) if part]
    scores += [diagnosis.confidence.value] if diagnosis else []
    assert shown["overall_confidence_score"] == pytest.approx(sum(scores) / len(scores), abs=0.0001)


def test_insights_without_a_patient_are_valid_fhir() -> None:
    found = Insights(
        summary="Tired.",
        lab_summary="High.",
        soap=dict.fromkeys(("subjective", "objective", "assessment", "plan"), ""),
        diagnosis=Diagnosis("Gout", "M10.9", "Gout, unspecified", (("Toe", "DocumentReference/d"),)),
    )
    made = resources_of(found, About("c1", None, {"display": "rules"}), names=NAMES, now=NOW)
    assert len(made) == 4
    for resource in made.values():
        assert [issue.text for issue in validate(resource) if issue.severity in ("error", "fatal")] == []
        model(resource["resourceType"]).model_validate(resource)
