"""A case's documents amount to insights whose confidence is computed and explained."""

from __future__ import annotations

from fhir_server.processing.case import CaseDocument, CaseInsights, CaseRequest, DocumentKind, insights
from fhir_server.processing.engines import NOT_DOCUMENTED, Document

LAB = "BASIC METABOLIC PANEL 2024-01-05\nCreatinine 2.1 mg/dL (H)\nBNP 1250 pg/mL (H)\n"
FILM = "CHEST X-RAY\nFINDINGS: Cardiomegaly. Bilateral pleural effusions.\nIMPRESSION: Congestive heart failure."


def case(*documents: tuple[DocumentKind, str], summary: str = "") -> CaseInsights:
    given = tuple(CaseDocument(Document(str(n), f"{n}.pdf", text), kind) for n, (kind, text) in enumerate(documents))
    return insights(CaseRequest(given, summary))


def test_the_primary_diagnosis_has_a_code_and_verbatim_evidence() -> None:
    found = case(("lab", LAB), ("radiology", FILM), summary="Worsening dyspnea; known heart failure.").primary_diagnosis
    assert found is not None
    assert found.icd_code == "I50.9"
    assert "Congestive heart failure." in found.supporting_evidence
    assert all(
        any(one in text for text in (FILM, "Worsening dyspnea; known heart failure."))
        for one in found.supporting_evidence
    )


def test_each_kind_of_document_has_its_summary() -> None:
    summary = case(("lab", LAB), ("radiology", FILM)).case_summary
    assert "Creatinine 2.1" in summary.lab_summary
    assert "Cardiomegaly" in summary.radiology_summary
    assert "Cardiomegaly" not in summary.lab_summary


def test_a_case_without_radiology_has_no_radiology_summary() -> None:
    assert case(("lab", LAB)).case_summary.radiology_summary == ""


def test_laboratory_values_are_objective() -> None:
    note = case(("lab", LAB), summary="Shortness of breath for three days.").soap_note
    assert "Creatinine 2.1 mg/dL (H)" in note.objective
    assert "Shortness of breath" in note.subjective
    assert note.plan == NOT_DOCUMENTED


def test_no_diagnosis_is_made_up() -> None:
    found = case(("lab", LAB))
    assert found.primary_diagnosis is None
    scores = [found.case_summary.confidence.value, found.soap_note.confidence.value]
    assert found.overall_confidence == round(sum(scores) / 2, 2)


def test_confidence_rises_with_what_the_documents_tell_and_says_why() -> None:
    little, more = case(("lab", LAB)), case(("lab", LAB), ("radiology", FILM), summary="PMH: asthma. Plan: diurese.")
    assert more.case_summary.confidence.value > little.case_summary.confidence.value
    assert any("assessment" in line for line in more.case_summary.confidence.explanation)


def test_a_case_with_nothing_readable_says_so() -> None:
    found = case(("lab", ""))
    assert found.primary_diagnosis is None
    assert found.case_summary.confidence.value == 0.05
