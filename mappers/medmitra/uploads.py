"""The files of a MedMitra form: which there may be, how large, and what they are kept as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException

from fhir_server.files.multipart import Form, Upload
from fhir_server.files.sniff import Kind

from .translate import NewFile

_TEXTS: Final = frozenset(
    {Kind.PDF, Kind.TEXT, Kind.DOCX, Kind.RTF, Kind.HTML, Kind.CDA, Kind.XML, Kind.HL7V2, Kind.FHIR_JSON, Kind.IMAGE}
)
_KINDS: Final = {"lab": _TEXTS, "radiology": _TEXTS | {Kind.DICOM}}
_ASKED: Final = {
    "lab": "A laboratory file is a PDF or a CSV (or another text document, or a picture of one)",
    "radiology": "A radiology file is a JPEG, PNG or DICOM picture (or a report as a PDF or text document)",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest files in bytes."""

    lab: int
    radiology: int

    def of(self, category: str) -> int:
        return self.lab if category == "lab" else self.radiology


def limits_of(settings: Any) -> Limits:
    return Limits(
        int(getattr(settings, "medmitra_lab_bytes", 10 << 20)),
        int(getattr(settings, "medmitra_radiology_bytes", 50 << 20)),
    )


def files_of_case(form: Form, limits: Limits) -> list[tuple[NewFile, Upload]]:
    """The files of a new case. HTTPException 400 for one that may not be."""
    names = {"lab_files": "lab", "lab_file": "lab", "radiology_files": "radiology", "radiology_file": "radiology"}
    found = []
    for upload in _sent(form):
        category = names.get(upload.field.removesuffix("[]"))
        if category is None:
            raise HTTPException(400, "Files are sent as lab_files or radiology_files.")
        found.append((new_file(upload, category, limits), upload))
    return found


def files_for_case(form: Form, limits: Limits) -> list[tuple[NewFile, Upload]]:
    """The files that are to join a case: `file` or `files`, of the category that the form names, else of the one that
    each looks like."""
    given = form.get("category") or form.get("file_category")
    if given is not None and given not in _KINDS:
        raise HTTPException(400, "category: must be lab or radiology.")
    found = []
    for upload in _sent(form):
        if upload.field.removesuffix("[]") not in ("file", "files"):
            raise HTTPException(400, "The file is sent as file.")
        likely = "radiology" if upload.sniffed.kind in (Kind.DICOM, Kind.IMAGE) else "lab"
        found.append((new_file(upload, given or likely, limits), upload))
    if not found:
        raise HTTPException(400, "file: Field required.")
    return found


def new_file(upload: Upload, category: str, limits: Limits) -> NewFile:
    if upload.size == 0:
        raise HTTPException(400, f"The file {upload.filename} is empty.")
    if upload.size > limits.of(category):
        size = f"it has {upload.size:,} bytes, and {limits.of(category):,} are allowed"
        raise HTTPException(400, f"The file {upload.filename} is too large: {size}.")
    sniffed = upload.sniffed
    if sniffed.kind not in _KINDS[category]:
        raise HTTPException(400, f"The file {upload.filename} is not of a kind that can be taken. {_ASKED[category]}.")
    media = sniffed.media_type
    declared = upload.content_type.partition(";")[0].strip().lower()
    if sniffed.kind is Kind.TEXT and (declared == "text/csv" or upload.filename.lower().endswith(".csv")):
        media = "text/csv"
    return NewFile(str(uuid4()), str(uuid4()), category, upload.filename, media, upload.size, upload.hash)


def _sent(form: Form) -> Sequence[Upload]:
    """The files but for what a browser sends for a field in which none was chosen."""
    return [upload for upload in form.files if upload.size or upload.filename not in ("", "file", "unnamed")]
