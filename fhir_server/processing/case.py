"""What a case amounts to: a summary, a SOAP note and a primary diagnosis, each with a computed confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from fhir_server.processing.engines import CodedDiagnosis, CodeResult, ComposeResult, Document, SummarizeResult

DocumentKind = Literal["lab", "radiology", "note"]


@dataclass(frozen=True, slots=True)
class CaseDocument:
    """One document of a case: `kind` says what the uploader called it."""

    document: Document
    kind: DocumentKind = "note"


@dataclass(frozen=True, slots=True)
class CaseRequest:
    """All that is known of a case. `summary`: what the clinician wrote about it, himself (may be empty)."""

    documents: tuple[CaseDocument, ...]
    summary: str = ""
    age: int | None = None
    sex: str = ""
    letter_date: date | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A confidence in 0..1, computed from stated features; `explanation` lists them in sentences."""

    value: float
    explanation: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """Texts are extracts, never invented; "" for `lab_summary` and `radiology_summary` without such documents."""

    comprehensive_summary: str
    key_findings: tuple[str, ...]
    lab_summary: str
    radiology_summary: str
    confidence: Score


@dataclass(frozen=True, slots=True)
class SoapNote:
    """The four parts; NOT_DOCUMENTED where nothing was said."""

    subjective: str
    objective: str
    assessment: str
    plan: str
    confidence: Score


@dataclass(frozen=True, slots=True)
class PrimaryDiagnosis:
    """The most important diagnosis. `primary_diagnosis` in the words of the text, `icd_code` billable ICD-10-CM,
    `description` the code's title, `supporting_evidence` verbatim sentences."""

    primary_diagnosis: str
    icd_code: str
    description: str
    supporting_evidence: tuple[str, ...]
    confidence: Score


@dataclass(frozen=True, slots=True)
class CaseInsights:
    """`primary_diagnosis` is None when the documents name no diagnosis or symptom: none is made up. `overall` is the
    mean of the scores that there are. `codes`, `summary_result` and `note_result` are what it was made from, with
    sources and offsets (documents have the ids given; the case's own summary is "case-summary")."""

    case_summary: CaseSummary
    soap_note: SoapNote
    primary_diagnosis: PrimaryDiagnosis | None
    overall_confidence: float
    codes: CodeResult
    coded_in: Mapping[str, tuple[CodedDiagnosis, ...]]
    summary_result: SummarizeResult
    note_result: ComposeResult


def insights(request: CaseRequest, chosen: Mapping[str, str] | None = None) -> CaseInsights:
    """The insights of one case, by the engines that settings chose (`chosen` maps capability -> engine name)."""
    from fhir_server.processing.insights import build

    return build(request, chosen)
