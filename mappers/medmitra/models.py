"""MedMitra's JSON, as its documentation shows it, and what its requests may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt

from .words import TASK_STATUS

MAX_NAME, MAX_SUMMARY, MAX_AGE = 255, 100_000, 150
_GENDER = re.compile(r"[^\W\d_]+([ '-][^\W\d_]+)*")
_WHOLE = re.compile(r"[0-9]{1,4}")


def _text(given: Any, most: int) -> str:
    if not isinstance(given, str):
        raise ValueError("must be text")
    value = given.strip()
    if not value:
        raise ValueError("must not be empty")
    if len(value) > most:
        raise ValueError(f"must have at most {most} characters; it has {len(value)}")
    if any((char < " " and char not in "\t\r\n") or "\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("must not hold control characters")
    return value


def _name(value: Any) -> Any:
    return value if value is None else _text(value, MAX_NAME)


def _summary(value: Any) -> Any:
    """An empty one is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return value if value is None else ""
    return _text(value, MAX_SUMMARY)


def _age(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number of years")
    if not 0 <= value <= MAX_AGE:
        raise ValueError(f"must be from 0 to {MAX_AGE}")
    return value


def _gender(value: Any) -> Any:
    if value is None:
        return None
    value = _text(value, 50)
    if not _GENDER.fullmatch(value):
        raise ValueError("must be a word such as Male, Female or Transgender")
    return value


def _status(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or value not in TASK_STATUS):
        raise ValueError(f"must be one of {', '.join(TASK_STATUS)}")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Summary = Annotated[str | None, BeforeValidator(_summary)]
Age = Annotated[int, BeforeValidator(_age), Field(ge=0, le=MAX_AGE)]
Gender = Annotated[str, BeforeValidator(_gender)]


class CreateCase(BaseModel):
    """The text fields of the form."""

    user_id: Name
    patient_name: Name
    patient_age: Age
    patient_gender: Gender
    case_summary: Summary = None


class UpdateCase(BaseModel):
    """Any of these; what is absent or null stays."""

    patient_name: Annotated[str | None, BeforeValidator(_name)] = None
    patient_age: Annotated[int | None, BeforeValidator(_age)] = None
    patient_gender: Annotated[str | None, BeforeValidator(_gender)] = None
    case_summary: Summary = None
    status: Annotated[str | None, BeforeValidator(_status)] = None


Score = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)] | None


class GivenSummary(BaseModel):
    model_config = ConfigDict(extra="forbid")
    comprehensive_summary: str = ""
    key_findings: list[str] = []
    lab_summary: str | None = None
    radiology_summary: str | None = None
    confidence_score: Score = None


class GivenNote(BaseModel):
    model_config = ConfigDict(extra="forbid")
    subjective: str = ""
    objective: str = ""
    assessment: str = ""
    plan: str = ""
    confidence_score: Score = None


class GivenDiagnosis(BaseModel):
    model_config = ConfigDict(extra="forbid")
    primary_diagnosis: Annotated[str, Field(min_length=1)]
    icd_code: Annotated[str, Field(pattern=r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$")] | None = None
    description: str | None = None
    confidence_score: Score = None
    supporting_evidence: list[str] = []


class GivenResults(BaseModel):
    """Results of an analysis that was done elsewhere, in the form of ai_insights."""

    model_config = ConfigDict(extra="forbid")
    case_summary: GivenSummary | None = None
    soap_note: GivenNote | None = None
    primary_diagnosis: GivenDiagnosis | None = None
    overall_confidence_score: Score = None
    """Not kept: it is the mean of the three."""
    generated_at: str | None = None
    confidence_explanation: Mapping[str, list[str]] | None = None


class Analyze(BaseModel):
    analysis_results: GivenResults | None = None


class ListQuery(BaseModel):
    """What may be asked of a list of cases."""

    model_config = ConfigDict(extra="ignore")
    user_id: str | None = None
    page: int | None = Field(None, ge=1, le=1_000_000)
    limit: int | None = Field(None, ge=1, le=1000)
    status: Annotated[str | None, BeforeValidator(_status)] = None
    search: str | None = None
    start_date: date | None = None
    end_date: date | None = None
    min_age: int | None = Field(None, ge=0)
    max_age: int | None = Field(None, ge=0)
    sort_by: Annotated[str, Field(pattern="^(created_at|updated_at|patient_name|patient_age|status)$")] = "created_at"
    sort_order: Annotated[str, Field(pattern="^(asc|desc)$")] = "desc"


# What the answers hold, for the interactive documentation


class CaseRow(BaseModel):
    id: int
    case_id: str
    user_id: str | None
    doctor_id: str | None
    patient_name: str | None
    patient_age: int | None
    patient_gender: str | None
    case_summary: str | None
    status: str
    created_at: str | None
    updated_at: str | None


class FileRow(BaseModel):
    file_id: str
    case_id: str | None
    file_name: str
    file_type: str | None
    file_size: int | None
    file_url: str | None
    file_category: str
    upload_date: str | None
    text_data: str | None
    ai_summary: str | None


class CaseSummaryPart(BaseModel):
    comprehensive_summary: str
    key_findings: list[str]
    lab_summary: str
    radiology_summary: str
    confidence_score: float | None


class SoapPart(BaseModel):
    subjective: str
    objective: str
    assessment: str
    plan: str
    confidence_score: float | None


class DiagnosisPart(BaseModel):
    primary_diagnosis: str | None
    icd_code: str | None
    description: str | None
    confidence_score: float | None
    supporting_evidence: list[str]


class AiInsights(BaseModel):
    case_summary: CaseSummaryPart | None
    soap_note: SoapPart | None
    primary_diagnosis: DiagnosisPart | None
    overall_confidence_score: float | None
    generated_at: str | None
    confidence_explanation: dict[str, list[str]]


class Created(BaseModel):
    message: str
    case: CaseRow
    uploaded_files: list[FileRow]


class Cases(BaseModel):
    cases: list[CaseRow]


class CaseDetail(BaseModel):
    case: CaseRow
    files: list[FileRow]
    ai_insights: AiInsights | None


class CaseChanged(BaseModel):
    message: str
    case: CaseRow


class Message(BaseModel):
    message: str


class Uploaded(BaseModel):
    message: str
    file: FileRow


class Files(BaseModel):
    files: list[FileRow]


class OneFile(BaseModel):
    file: FileRow


class ErrorDetail(BaseModel):
    detail: str
