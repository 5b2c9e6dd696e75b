"""Sporo's JSON, as its API reference shows it: what the documentation of the routes is made from."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

MAX_TEXT: Final = 500_000
"""Characters of a text to be summarized or coded."""
MAX_EXTRA: Final = 100_000
MAX_METADATA: Final = 1_000_000
"""Characters of the metadata as JSON."""
MAX_URL: Final = 2_000

Status = Literal["queued", "processing", "completed", "failed"]


class UploadAccepted(BaseModel):
    message: str
    upload_id: str
    webhook_url: str | None
    extra_information: str | None
    metadata: dict[str, Any]


class TextSummary(BaseModel):
    response: str
    webhook_url: str | None
    extra_information: str | None
    metadata: dict[str, Any]


class UploadStatus(BaseModel):
    status: Status
    response: str | None
    extra_information: str | None
    metadata: dict[str, Any]
    error_message: str | None = None


class JobAccepted(BaseModel):
    job_id: str
    status: Status
    message: str
    created_at: str
    webhook_url: str | None


class Icd10Code(BaseModel):
    name: str | None
    icd10_code: str | None
    evidence: str | None


class JobStatus(BaseModel):
    job_id: str
    status: Status
    created_at: str
    updated_at: str
    error_code: str | None = None
    error_message: str | None = None


class Icd10Status(JobStatus):
    icd10_codes: list[Icd10Code] | None = None


class AudioNoteStatus(JobStatus):
    transcript: str | None = None
    note: str | None = None


class Template(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    name: str
    short_description: str


class Templates(BaseModel):
    data: list[Template]
    count: int


class ErrorDetail(BaseModel):
    detail: str


TEXT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["user_input"],
    "properties": {
        "user_input": {"type": "string", "maxLength": MAX_TEXT},
        "extra_information": {"type": "string"},
        "webhook_url": {"type": "string"},
    },
    "additionalProperties": True,
}
ICD10_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "maxLength": MAX_TEXT}, "webhook_url": {"type": "string"}},
}
UPLOAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "extra_information": {"type": "string"},
        "webhook_url": {"type": "string"},
        "email": {"type": "string"},
        "first_name": {"type": "string"},
        "last_name": {"type": "string"},
    },
    "additionalProperties": True,
}
AUDIO_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file", "template_id"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "template_id": {"type": "string"},
        "webhook_url": {"type": "string"},
    },
}


def json_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises HTTPException 422."""
    try:
        found = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise HTTPException(422, "The body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise HTTPException(422, "The body must be a JSON object.")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def text_field(given: dict[str, Any], name: str) -> str:
    """A required text. Raises HTTPException: 422 missing or no string, 400 empty, 413 too long."""
    value = given.get(name)
    if value is None:
        raise HTTPException(422, f"{name}: Field required")
    if not isinstance(value, str):
        raise HTTPException(422, f"{name}: must be a string")
    if not value.strip():
        raise HTTPException(400, f"{name}: must not be empty")
    return limited(name, value, MAX_TEXT)


def optional_text(given: dict[str, Any], name: str) -> str | None:
    """A text that may be absent, null or empty (then None). Raises HTTPException: 422 no string, 413 too long."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise HTTPException(422, f"{name}: must be a string")
    return limited(name, value, MAX_EXTRA) if value.strip() else None


def limited(name: str, value: str, most: int) -> str:
    if len(value) > most:
        raise HTTPException(413, f"{name}: must have at most {most:,} characters; it has {len(value):,}")
    return value


_VISIBLE: Final = re.compile(r"[!-~]+")


def webhook(value: str | None) -> str | None:
    """An address for a webhook as it was sent. Raises HTTPException 422 when it is not an absolute http(s) URL."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(value) > MAX_URL or not _VISIBLE.fullmatch(value):
        raise HTTPException(422, "webhook_url: must be an absolute http or https URL")
    return value


def whole_number(name: str, value: str | None, default: int, least: int, most: int | None) -> int:
    """A query parameter. Raises HTTPException 422."""
    if value is None:
        return default
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", value) or int(value) < least or (most is not None and int(value) > most):
        raise HTTPException(422, f"{name}: must be a whole number, {bounds}")
    return int(value)
