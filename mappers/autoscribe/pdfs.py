"""PDFs of reports: printed on demand and kept as Binary; links under which they are had for an hour without a key."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException

from fhir_server.dicom import uids
from fhir_server.files.keep import content_of
from fhir_server.jobs.names import Json
from fhir_server.jobs.runtime import put
from fhir_server.security.caller import SYSTEM

from . import metadata, printing, reports
from .ids import REPORT, digest
from .reports import View
from .writing import SIGNED_LABEL

if TYPE_CHECKING:
    from fhir_server.hub import Hub

    from .reading import Reader

SECONDS: Final = 3600
PATH: Final = "/files/reports"
_ACCESSION: Final = "ACSN"


class Links:
    """Signs and checks links. secret: the same in all processes and after a restart."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret or secrets.token_bytes(32), b"report files", "sha256")

    def signed(self, root: str, name: str, now: float) -> str:
        """An absolute URL of /files/reports/`name`, good for an hour from `now` (seconds since 1970)."""
        expires = int(now) + SECONDS
        return f"{root}{PATH}/{name}?expires={expires}&signature={self._signature(name, expires)}"

    def check(self, name: str, expires: str, signature: str, now: float) -> None:
        """Raises 403 for a link that was altered, or has expired."""
        # the signature is checked first: who alters a link learns nothing else about it
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise HTTPException(403, "The link is not valid.")
        expected = self._signature(name, int(expires))
        if str(int(expires)) != expires or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise HTTPException(403, "The link is not valid.")
        if now >= int(expires):
            raise HTTPException(403, "The link has expired.")

    def _signature(self, name: str, expires: int) -> str:
        return hmac.digest(self._secret, f"{name}\n{expires}".encode(), "sha256").hex()


def has_pdf(view: View) -> bool:
    """Whether a report has a PDF: a completed one has."""
    return reports.status_of(view.report) == "completed"


async def pdf_of(hub: Hub, reader: Reader, view: View) -> bytes:
    """The PDF of a completed report: the one that came with it, else one printed from its text (anew only when
    something that is on it has changed). Raises 501 when this installation prints none."""
    given = await _given(hub, view.report)
    if given is not None:
        return given
    page = await _page(reader, view)
    id = digest("Binary", f"DiagnosticReport/{view.report['id']}/pdf")
    there = await hub.store.read("Binary", id)
    tag = {"system": "urn:vendor:autoscribe:printed", "code": page.digest}
    if there is not None and there.body is not None and page.digest.encode() in there.body:
        content = await content_of(hub, id)
        if content is not None:
            return content
    try:
        content = await printing.printed(page)
    except printing.CannotPrint as error:
        raise HTTPException(501, str(error)) from None
    binary: Json = {
        "resourceType": "Binary",
        "id": id,
        "meta": {"tag": [tag]},
        "contentType": "application/pdf",
        "securityContext": {"reference": f"DiagnosticReport/{view.report['id']}"},
        "data": base64.b64encode(content).decode("ascii"),
    }
    await hub.transact(SYSTEM, [put(binary)])
    return content


def attached_media(report: Mapping[str, Any]) -> str | None:
    """The media type of the file that came with an external report; None when it has only text."""
    for form in report.get("presentedForm") or ():
        media = str(form.get("contentType", "")).partition(";")[0].strip().lower()
        if media and media != "text/plain" and (form.get("data") or form.get("url")):
            return media
    return None


async def attached(hub: Hub, report: Mapping[str, Any]) -> tuple[bytes | None, str]:
    """The file that came with an external report, and its media type."""
    media = attached_media(report) or ""
    data = reports.form_data(report, media)
    reference = reports.form_reference(report, media)
    if data is None and reference is not None:
        data = await content_of(hub, reference.partition("/")[2])
    return data, media


async def _given(hub: Hub, report: Mapping[str, Any]) -> bytes | None:
    """The PDF that presentedForm holds or names."""
    data = reports.form_data(report, "application/pdf")
    if data is not None:
        return data
    reference = reports.form_reference(report, "application/pdf")
    return await content_of(hub, reference.partition("/")[2]) if reference else None


async def _page(reader: Reader, view: View) -> printing.Page:
    report, snapshot = view.report, view.snapshot
    addenda: list[printing.Part] = []
    original = None
    related = (await reader.reports_of([view.study])).get(str(view.study["id"]), [])
    parent = reports.addendum_of(report)
    for other in await reader.views(related, view.study):
        reference = f"DiagnosticReport/{other.report['id']}"
        if parent is not None and reference == parent:
            original = other
        if reports.status_of(other.report) == "completed" and reports.addendum_of(other.report) == (
            f"DiagnosticReport/{report['id']}"
        ):
            addenda.append(await _part(reader, other, f"Addendum {len(addenda) + 1}"))
    if original is not None:
        addenda.append(await _part(reader, original, "Original report"))
    description = str(view.study.get("description") or snapshot.get("procedure") or "")
    return printing.Page(
        title="Addendum to radiology report" if parent is not None else "Radiology report",
        facility=str(snapshot.get("facilityName") or ""),
        report_id=REPORT.of(report),
        study_uid=uids.study_uid(view.study) or "",
        accession=_accession(view.study),
        description=description,
        metadata=snapshot,
        body=await _part(reader, view, ""),
        critical=bool(reports.is_critical(report)),
        addenda=tuple(addenda),
    )


async def _part(reader: Reader, view: View, title: str) -> printing.Part:
    report = view.report
    signature = None
    if reports.status_of(report) == "completed":
        label = next(
            (
                str(each.get("valueString"))
                for each in report.get("extension") or ()
                if str(each.get("url", "")).endswith(f"/StructureDefinition/{SIGNED_LABEL}")
            ),
            None,
        )
        signature = printing.Signature(await _signer(reader, report), label or reports.signed_at(report) or "")
    return printing.Part(reports.plain_text(view) or "", signature, title)


async def _signer(reader: Reader, report: Mapping[str, Any]) -> str:
    """The name of who signed a report."""
    for reference in [*(report.get("resultsInterpreter") or ()), *(report.get("performer") or ())]:
        practitioner = await reader.read(reports.local(reference.get("reference"), "Practitioner"))
        name = metadata.name_of(practitioner or {}) or reference.get("display")
        if name:
            return str(name)
    return ""


def _accession(study: Mapping[str, Any]) -> str:
    for identifier in study.get("identifier") or ():
        if any(each.get("code") == _ACCESSION for each in (identifier.get("type") or {}).get("coding") or ()):
            return str(identifier.get("value", ""))
    return ""
