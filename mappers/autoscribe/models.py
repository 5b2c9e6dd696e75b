"""AutoScribe's request bodies, as its client sends them. What is not known is refused, not left aside."""

from __future__ import annotations

import re
from datetime import date, time
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from fhir_server.dicom.uids import is_uid

from .ids import CUSTOMER, STUDY, USER, Kind

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"\d{2}:\d{2}(:\d{2})?")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def _date(value: str) -> str:
    if value and not _DATE.fullmatch(value):
        raise ValueError("must be a date in the form YYYY-MM-DD")
    if value:
        try:
            date.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a date that exists, in the form YYYY-MM-DD") from None
    return value


def _time(value: str) -> str:
    if value and not _TIME.fullmatch(value):
        raise ValueError("must be a time in the form HH:MM")
    if value:
        try:
            time.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time that exists, in the form HH:MM") from None
    return value


def _text(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value if value.strip() else ""


def _uid(value: str) -> str:
    if not is_uid(value):
        raise ValueError("must be a DICOM UID: at most 64 digits and dots, no component with a leading zero")
    return value


def _id(kind: Kind) -> Any:
    def check(value: str) -> str:
        if not kind.is_valid(value):
            raise ValueError(f"must have the form {kind.prefix}_ and 32 hexadecimal digits")
        return value

    return AfterValidator(check)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


Text = Annotated[str, AfterValidator(_text)]
Date = Annotated[str, AfterValidator(_date)]
Time = Annotated[str, AfterValidator(_time)]
Uid = Annotated[str, AfterValidator(_uid)]
StudyId = Annotated[str, _id(STUDY)]
UserId = Annotated[str, _id(USER)]
CustomerId = Annotated[str, _id(CUSTOMER)]
Amount = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1e6, allow_inf_nan=False)]
Severity = Literal["normal", "high", "stat"]
Key = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_text)]
Pairs = Annotated[dict[Key, Annotated[Text, Field(max_length=1000)]], Field(max_length=50)]
Note = Annotated[Text, Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, in camelCase."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Height(_Body):
    unit: Literal["in", "cm"]
    value: Amount


class Weight(_Body):
    unit: Literal["lbs", "kg"]
    value: Amount


class ReportMetadata(_Body):
    """Patient demographics and scan information for report generation."""

    age: Text | None = None
    date_of_birth: Date | None = None
    facility_name: Text | None = None
    height: Height | None = None
    mrn: Text | None = None
    patient_name: Text | None = None
    procedure: Text | None = None
    referring_physician_name: Text | None = None
    sex: Literal["male", "female", "other"] | None = None
    study_date: Date | None = None
    study_time: Time | None = None
    weight: Weight | None = None


class PriorReport(_Body):
    """An external prior report, for comparison."""

    report_text: Annotated[Text, Field(min_length=1)]
    external_study_id: Text | None = None
    modality: Text | None = None
    study_date: Text | None = None
    study_description: Text | None = None


class StudyCreate(_Body):
    """POST /studies"""

    report_metadata: ReportMetadata
    severity: Severity
    study_description: Annotated[Text, Field(min_length=1)]
    study_instance_uid: Uid
    assigned_to: UserId | None = None
    clinical_history: Text | None = None
    clinical_indication: Text | None = None
    express_customer_id: CustomerId | None = None
    external_patient_id: Text | None = None
    metadata: Pairs | None = None
    modality: Text | None = None
    prior_reports: Annotated[list[PriorReport], Field(max_length=50)] | None = None
    technologist_notes: Annotated[list[Note], Field(max_length=50)] | None = None
    technologist_technique: Text | None = None


class StudyUpdate(_Body):
    """PATCH /studies/{studyId}: what is not sent stays (a default is never looked at), null clears."""

    assigned_to: UserId | None = None
    clinical_history: Text | None = None
    clinical_indication: Text | None = None
    express_customer_id: CustomerId | None = None
    external_patient_id: Text | None = None
    metadata: Pairs | None = None
    modality: Text | None = None
    prior_reports: Annotated[list[PriorReport], Field(max_length=50)] | None = None
    report_metadata: ReportMetadata = ReportMetadata()
    severity: Severity = "normal"
    study_description: Annotated[Text, Field(min_length=1)] = "-"
    technologist_notes: Annotated[list[Note], Field(max_length=50)] | None = None
    technologist_technique: Text | None = None


class StudyNamed(_Body):
    """A study by either of its ids."""

    study_id: StudyId | None = None
    study_instance_uid: Uid | None = None

    @model_validator(mode="after")
    def _one(self) -> StudyNamed:
        if self.study_id is None and self.study_instance_uid is None:
            raise ValueError("must provide either studyId or studyInstanceUid")
        return self


class _ExternalReport(_Body):
    reader_name: Text | None = None
    report_file_name: Text | None = None
    report_file_url: Text | None = None
    report_text: Text | None = None
    signed_at: Text | None = None

    @property
    def has_report(self) -> bool:
        return any((self.reader_name, self.report_file_url, self.report_text, self.signed_at))

    @model_validator(mode="after")
    def _file(self) -> _ExternalReport:
        if bool(self.report_file_url) != bool(self.report_file_name):
            raise ValueError("reportFileUrl and reportFileName must be given together")
        return self


class ExternalCreate(_ExternalReport):
    """POST /studies/external"""

    report_metadata: ReportMetadata
    severity: Severity
    study_description: Annotated[Text, Field(min_length=1)]
    study_instance_uid: Uid
    express_customer_id: CustomerId | None = None
    external_patient_id: Text | None = None
    metadata: Pairs | None = None
    modality: Text | None = None


class ExternalReportCreate(_ExternalReport):
    """POST /studies/external/reports"""

    study_id: StudyId | None = None
    study_instance_uid: Uid | None = None

    @model_validator(mode="after")
    def _one(self) -> ExternalReportCreate:
        if self.study_id is None and self.study_instance_uid is None:
            raise ValueError("must provide either studyId or studyInstanceUid")
        return self
