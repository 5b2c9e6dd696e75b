"""HealthSage CDT's JSON, as its API reference shows it."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_NOTE = 1500
"""Characters (Unicode code points) in a note."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _date_text(value: Any) -> Any:
    """A date is text in the form YYYY-MM-DD and nothing else (pydantic alone would take a number of seconds)."""
    if value is None:
        return None
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError("must be a date in the form YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date that exists, in the form YYYY-MM-DD") from None


def _filled(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be text")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _short_enough(value: Any) -> Any:
    value = _filled(value)
    if len(value) > MAX_NOTE:
        raise ValueError(f"must have at most {MAX_NOTE} characters; it has {len(value)}")
    return value


Date = Annotated[date | None, BeforeValidator(_date_text)]


class GenerateRequest(BaseModel):
    """What is to be processed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "note": "67-year-old male with history of paroxysmal atrial fibrillation diagnosed in 2021, "
                "hypertension, and hyperlipidemia. Patient underwent pulmonary vein isolation via catheter ablation "
                "in September 2023.",
                "specialty": "Cardiology",
                "letter_date": "2025-03-15",
            }
        }
    )

    note: Annotated[str, BeforeValidator(_short_enough), Field(max_length=MAX_NOTE)]
    """The clinical note."""
    specialty: Annotated[str, BeforeValidator(_filled)]
    """Medical specialty, e.g. "Cardiology"; "General Medicine" when there is none."""
    letter_date: Date = None
    """Date of the letter; today when absent."""
    patient_dob: Date = None


class Submitted(BaseModel):
    task_id: str
    status: str


class Extraction(BaseModel):
    """note[start:end] == source, in code points."""

    id: str
    snomed_ct_code: str | None
    snomed_ct_term: str | None
    concept_type: str
    status: Literal["confirmed", "provisional", "differential"]
    date: str | None
    end_date: str | None
    relative_date: str | None
    relative_end_date: str | None
    source: str | None
    start: int | None
    end: int | None
    shortened_id: str


class JsonData(BaseModel):
    extractions: list[Extraction]
    specialty: str | None
    snomed_ct_version: str | None


class Tokens(BaseModel):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class TaskResult(BaseModel):
    task_id: str
    status: Literal["PENDING", "SUCCESS", "FAILURE"]
    letter_date: str | None
    patient_dob: str | None
    json_data: JsonData | None
    usage: Tokens | None


class KeyUsage(BaseModel):
    total_requests: int
    tokens_used: int
    token_limit: int
    remaining_tokens: int


class ErrorDetail(BaseModel):
    detail: str
