"""Summaries that cite, notes by template sections: nothing that the sources do not say."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.processing.engines import (
    NOT_DOCUMENTED,
    ComposeRequest,
    ComposeResult,
    Document,
    SummarizeRequest,
    SummarizeResult,
    TemplateSection,
    Turn,
    composer,
    summarizer,
)
from fhir_server.processing.rules.writing.results import results, trend

FIRST = """Date: 01/05/2024
CHIEF COMPLAINT: Shortness of breath.
HPI: 67-year-old man with heart failure and three days of worsening dyspnea.
PMH: Hypertension. GERD.
MEDICATIONS: lisinopril 20 mg daily, furosemide 40 mg daily.
ALLERGIES: Penicillin (hives).
LABS: Creatinine 2.1, potassium 4.8.
ASSESSMENT: Acute on chronic systolic heart failure.
PLAN: IV furosemide."""
SECOND = """Date: 02/01/2024
HPI: Follow-up of heart failure, breathing improved.
MEDICATIONS: lisinopril 20 mg daily, furosemide 80 mg daily.
ALLERGIES: Penicillin (hives).
LABS: Creatinine 2.4.
PLAN: Refer to nephrology."""
TALK = """Doctor: Good morning, what brings you in today?
Patient: I've had chest pain for three days.
Doctor: Any shortness of breath?
Patient: No.
Doctor: Any allergies?
Patient: Penicillin gives me hives.
Doctor: Do you smoke?
Patient: I quit ten years ago.
Doctor: Your blood pressure is 150/90. Lungs are clear to auscultation.
Doctor: I think this is stable angina. I'm going to order a stress test.
Patient: Thank you, doctor."""


def summarize(*texts: str, focus: str = "", limit: int = 60) -> SummarizeResult:
    documents = tuple(Document(str(number), f"{number}.txt", text) for number, text in enumerate(texts))
    return summarizer().summarize(SummarizeRequest(documents, focus, limit=limit))


def section(result: SummarizeResult, kind: str) -> str:
    return next((s.text for s in result.sections if s.kind == kind), "")


def test_every_sentence_of_a_summary_is_verbatim_at_its_place() -> None:
    texts = (FIRST, SECOND)
    for quote in summarize(*texts).sentences:
        assert texts[int(quote.document)][quote.start : quote.end] == quote.text
        for document, start, end in quote.also:
            assert texts[int(document)][start:end]


def test_what_two_documents_say_stands_once_and_cites_both() -> None:
    text = section(summarize(FIRST, SECOND), "allergies")
    assert text == "- Penicillin (hives). [1][2]"


def test_a_changed_dose_is_no_repeat() -> None:
    text = section(summarize(FIRST, SECOND), "medications")
    assert "furosemide 40 mg" in text
    assert "furosemide 80 mg" in text
    assert text.count("lisinopril") == 1


def test_documents_are_told_in_the_order_of_their_dates() -> None:
    text = section(summarize(SECOND, FIRST), "history")
    assert text.index("three days of worsening") < text.index("breathing improved")


def test_a_result_with_two_dates_has_a_trend() -> None:
    text = section(summarize(SECOND, FIRST), "results")
    assert "Creatinine: 2.1 (2024-01-05) [1] -> 2.4 (2024-02-01) [2], rising" in text


def test_a_plan_and_an_assessment_are_kept_apart() -> None:
    result = summarize(FIRST)
    assert section(result, "assessment") == "- Acute on chronic systolic heart failure."
    assert section(result, "plan") == "- IV furosemide."


def test_what_the_reader_asks_for_is_preferred() -> None:
    notes = "HPI: " + " ".join(f"He had a cold in {year}." for year in range(2000, 2020)) + " His knee clicks."
    assert "knee" in section(summarize(notes, focus="knee", limit=10), "history")
    assert "knee" not in section(summarize(notes, limit=10), "history")


def test_nothing_clinical_gives_a_summary_that_says_so() -> None:
    assert summarize("", "\n\n").text == "No clinical statements were found in the documents."


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=120), min_size=1, max_size=3))
def test_any_text_can_be_summarized_and_is_only_quoted(texts: list[str]) -> None:
    for quote in summarize(*texts).sentences:
        assert texts[int(quote.document)][quote.start : quote.end] == quote.text


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Hemoglobin A1c 8.4%", "Hemoglobin A1c", "8.4%"),
        ("Hgb 10.2 g/dL", "Hemoglobin", "10.2 g/dL"),
        ("BP 150/90", "Blood pressure", "150/90"),
        ("potassium was 4.8", "Potassium", "4.8"),
        ("ejection fraction of 30-35%", "Ejection fraction", "30-35%"),
    ],
)
def test_results_are_read(text: str, name: str, value: str) -> None:
    (found,) = results(text)
    assert (found.name, found.value) == (name, value)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([1, 2, 3], "rising"), ([3, 2], "falling"), ([100, 101], "stable"), ([1, 5, 2], "variable")],
)
def test_trends(numbers: list[float], said: str) -> None:
    assert trend(numbers) == said


def compose(text: str, *titles: str) -> ComposeResult:
    sections = tuple(TemplateSection(title.lower(), title) for title in titles)
    return composer().compose(ComposeRequest(text, sections=sections))


def part(result: ComposeResult, title: str) -> str:
    return next(s.text for s in result.sections if s.title == title)


def test_a_conversation_becomes_a_soap_note() -> None:
    result = compose(TALK)
    assert [s.title for s in result.sections] == ["Subjective", "Objective", "Assessment", "Plan"]
    assert "chest pain for three days" in part(result, "Subjective")
    assert "150/90" in part(result, "Objective")
    assert part(result, "Assessment") == "I think this is stable angina."
    assert part(result, "Plan") == "I'm going to order a stress test."


def test_a_short_answer_stands_with_its_question() -> None:
    text = compose(TALK).text
    assert "Any shortness of breath? No." in text
    assert "Do you smoke? I quit ten years ago." in text


def test_answers_go_where_their_question_belongs() -> None:
    result = compose(TALK, "HPI", "Allergies", "Social History", "Medications")
    assert "Penicillin gives me hives" in part(result, "Allergies")
    assert "quit" in part(result, "Social History")
    assert part(result, "Medications") == NOT_DOCUMENTED


def test_courtesies_are_left_out() -> None:
    text = compose(TALK).text
    assert "Good morning" not in text
    assert "Thank you" not in text


def test_a_section_about_which_nothing_was_said_says_so() -> None:
    result = compose("The patient has a cough.", "History of Present Illness", "Allergies", "Plan")
    assert [s.documented for s in result.sections] == [True, False, False]
    assert part(result, "Plan") == NOT_DOCUMENTED


def test_spoken_headings_of_a_dictation_are_obeyed() -> None:
    text = "The patient has a sore throat. Assessment. Strep pharyngitis. Plan. Amoxicillin 500 mg for ten days."
    result = compose(text)
    assert part(result, "Assessment") == "Strep pharyngitis."
    assert part(result, "Plan") == "Amoxicillin 500 mg for ten days."


def test_a_note_keeps_its_sections_in_another_template() -> None:
    result = compose(FIRST, "Chief Complaint", "HPI", "Past Medical History", "Medications", "Assessment & Plan")
    assert part(result, "Chief Complaint") == "Shortness of breath."
    assert part(result, "Past Medical History").startswith("Hypertension.")
    assert "IV furosemide." in part(result, "Assessment & Plan")


def test_turns_may_be_given_as_such() -> None:
    turns = (Turn("Any fever?", "clinician"), Turn("No.", "patient"))
    result = composer().compose(ComposeRequest(turns=turns))
    quotes = [(q.document, q.text) for s in result.sections for q in s.sentences]
    assert quotes == [("0", "Any fever?"), ("1", "No.")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*TALK.split("\n"), "", "Um.", "No?", "\u00e9\u0130 x"]), max_size=14))
def test_a_note_holds_only_words_that_were_said(lines: list[str]) -> None:
    text = "\n".join(lines)
    result = compose(text)
    for one in result.sections:
        for quote in one.sentences:
            assert text[quote.start : quote.end] == quote.text
        said = re.sub(r"^(?:Patient|Family): |\"", "", one.text, flags=re.M)
        if one.documented:
            assert all(word in text for word in said.split())


def test_a_document_keeps_the_date_given_to_it() -> None:
    document = Document("a", "a.txt", "LABS: Creatinine 1.0", date(2024, 5, 6))
    other = Document("b", "b.txt", "LABS: Creatinine 1.5", date(2023, 5, 6))
    result = summarizer().summarize(SummarizeRequest((document, other)))
    assert "[1] b.txt (2023-05-06)" in result.text
