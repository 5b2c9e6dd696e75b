"""DiagnosticReport -> the vendor's reports; and the DiagnosticReports that this dialect writes. Pure."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.jobs.names import Json, Names, own_extension, value_of

from . import metadata
from .ids import REPORT, STUDY

ADDENDUM_OF: Final = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-addendumOf"
IN_PROGRESS: Final = frozenset({"registered", "partial", "preliminary"})
COMPLETED: Final = frozenset({"final", "amended", "corrected", "appended"})
RADIOLOGY: Final = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
REPORT_CODE: Final = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
_TAG: Final = re.compile(r"<[^>]*>")
_BREAK: Final = re.compile(r"(?i)<(br|/p|/div|/h[1-6]|/li|/tr)\b[^>]*>")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


@dataclass(frozen=True, slots=True)
class View:
    """A report and all that its projection needs. user_id: of the radiologist; text: what a Binary holds that the
    report's own presentedForm only names; created: the instant of its first version."""

    report: Mapping[str, Any]
    study: Mapping[str, Any]
    patient: Mapping[str, Any] | None
    user_id: str
    created: str | None
    text: str | None = None

    @property
    def snapshot(self) -> Json:
        return metadata.projected(metadata.of_report(self.report, self.study, self.patient))


def status_of(report: Mapping[str, Any]) -> str | None:
    """The vendor's status; None for a report that is none any more (cancelled, entered in error)."""
    status = report.get("status")
    if status in COMPLETED:
        return "completed"
    return "in_progress" if status in IN_PROGRESS else None


def addendum_of(report: Mapping[str, Any]) -> str | None:
    """ "DiagnosticReport/x" whose addendum this is; None when it is a report of its own."""
    for extension in report.get("extension") or ():
        if extension.get("url") == ADDENDUM_OF:
            reference = (extension.get("valueReference") or {}).get("reference")
            return local(reference, "DiagnosticReport") or ""
    return None


def local(reference: object, type: str) -> str | None:
    """ "Type/id" of a reference, relative or absolute, to a resource of `type`."""
    found = re.search(rf"(?:^|/)({type}/[A-Za-z0-9\-.]{{1,64}})(?:/_history/[^/]+)?$", str(reference or ""))
    return found[1] if found else None


def is_critical(report: Mapping[str, Any]) -> bool | None:
    """null until completed; then what was said at sign-off, false when nothing was."""
    if status_of(report) != "completed":
        return None
    said = own_extension(report, "report-critical")
    return bool(value_of(said)) if said is not None else False


def signed_at(report: Mapping[str, Any]) -> str | None:
    issued = report.get("issued")
    return issued if isinstance(issued, str) and status_of(report) == "completed" else None


def plain_text(view: View) -> str | None:
    """The report as text: the text form that is presented, else the conclusion, else the narrative."""
    presented = text_form(view.report)
    found = presented if presented is not None else view.text
    if found is not None:
        return found
    if view.report.get("conclusion"):
        return str(view.report["conclusion"])
    return narrative_text((view.report.get("text") or {}).get("div"))


def text_form(report: Mapping[str, Any]) -> str | None:
    """The text of presentedForm, when the report itself holds it."""
    for form in report.get("presentedForm") or ():
        if _media(form) == "text/plain" and isinstance(form.get("data"), str):
            return decoded(form["data"], str(form.get("contentType")))
    return None


def form_reference(report: Mapping[str, Any], media: str) -> str | None:
    """ "Binary/x" that presentedForm of this media type names."""
    for form in report.get("presentedForm") or ():
        if _media(form) == media and form.get("url"):
            found = local(form["url"], "Binary")
            if found:
                return found
    return None


def form_data(report: Mapping[str, Any], media: str) -> bytes | None:
    """The bytes of presentedForm of this media type, when the report itself holds them."""
    for form in report.get("presentedForm") or ():
        if _media(form) == media and isinstance(form.get("data"), str):
            try:
                return base64.b64decode(form["data"])
            except (binascii.Error, ValueError):
                return None
    return None


def _media(form: Mapping[str, Any]) -> str:
    return str(form.get("contentType", "")).partition(";")[0].strip().lower()


def decoded(data: str, content_type: str = "") -> str | None:
    """The text of base64 data, in the charset that its media type names, else UTF-8, else Latin-1."""
    try:
        raw = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return None
    named = re.search(r"charset\s*=\s*\"?([A-Za-z0-9_\-]+)", content_type)
    for charset in ([named[1]] if named else []) + ["utf-8"]:
        try:
            return raw.decode(charset)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("latin-1")


def narrative_text(div: object) -> str | None:
    """XHTML as plain text."""
    if not isinstance(div, str):
        return None
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", div))).replace("\xa0", " ")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() or None


def report_json(view: View) -> Json:
    """One of GET /reports."""
    report = view.report
    shown: Json = {
        "createdAt": view.created,
        "isAddendum": addendum_of(report) is not None,
        "isCritical": is_critical(report),
        "reportId": REPORT.of(report),
        "signedAt": signed_at(report),
        "snapshotMetadata": view.snapshot,
        "status": status_of(report),
        "studyId": STUDY.of(view.study),
        "updatedAt": (report.get("meta") or {}).get("lastUpdated"),
        "userId": view.user_id,
    }
    text = plain_text(view)
    if text is not None:
        shown["reportPlainText"] = text
    return shown


def text_json(view: View) -> Json:
    """One of GET /reports/text."""
    shown: Json = {
        "isCritical": is_critical(view.report),
        "reportId": REPORT.of(view.report),
        "snapshotMetadata": view.snapshot,
    }
    text = plain_text(view)
    if text is not None:
        shown["plainText"] = text
    return shown


def pdf_json(view: View, url: str) -> Json:
    """One of GET /reports/pdf."""
    return {
        "isCritical": is_critical(view.report),
        "presignedUrl": url,
        "reportId": REPORT.of(view.report),
        "snapshotMetadata": view.snapshot,
    }


def study_status(reports: Sequence[Mapping[str, Any]], *, assigned: bool) -> str:
    """studyReportStatus, from the reports of a study."""
    statuses = [(status_of(each), addendum_of(each) is not None) for each in reports]
    if ("in_progress", True) in statuses:
        return "addendum_active"
    if any(status == "completed" for status, _ in statuses):
        return "completed"
    if any(status == "in_progress" for status, _ in statuses):
        return "in_progress"
    return "assigned" if assigned else "unassigned"


# What this dialect writes


def new_report(*, id: str, status: str, study: Mapping[str, Any], snapshot: Mapping[str, Any], names: Names) -> Json:
    """A DiagnosticReport on a study, with the metadata of this moment frozen in it."""
    report: Json = {
        "resourceType": "DiagnosticReport",
        "id": id,
        "identifier": [REPORT.identifier(id)],
        "status": status,
        "category": [{"coding": [dict(RADIOLOGY)]}],
        "code": {"coding": [dict(REPORT_CODE)]},
        "subject": study.get("subject"),
        "imagingStudy": [{"reference": f"ImagingStudy/{study['id']}"}],
    }
    if study.get("description"):
        report["code"]["text"] = study["description"]
    if study.get("basedOn"):
        report["basedOn"] = study["basedOn"]
    if study.get("started"):
        report["effectiveDateTime"] = study["started"]
    if report["subject"] is None:
        del report["subject"]
    return metadata.with_snapshot(report, snapshot, metadata.frozen_circumstances(study), names)


def new_addendum(parent: Mapping[str, Any], *, id: str, study: Mapping[str, Any], snapshot: Json, names: Names) -> Json:
    """An addendum that is being dictated."""
    report = new_report(id=id, status="partial", study=study, snapshot=snapshot, names=names)
    report["extension"].append(
        {"url": ADDENDUM_OF, "valueReference": {"reference": f"DiagnosticReport/{parent['id']}"}}
    )
    for name in ("resultsInterpreter", "performer"):
        if parent.get(name):
            report[name] = parent[name]
    return report


def text_attachment(text: str) -> Json:
    return {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(text.encode()).decode("ascii"),
        "title": "Report",
    }


def is_instant(text: str) -> bool:
    """Whether FHIR can hold this text as an instant."""
    return _INSTANT.fullmatch(text) is not None
