"""The header of a DICOM file, as far as an ImagingStudy needs it. Pixels are not read. DICOM PS3.10."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from fhir_server.dicom import uids

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Bytes of a file that hold all of its header that is looked at, in any file that makes sense.
HEAD: Final = 4 << 20
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_TEXT: Final = 1000
_TAGS: Final = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "SeriesTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "Modality",
    "InstitutionName",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "ProcedureCodeSequence",
    "SeriesDescription",
    "PerformingPhysicianName",
    "OperatorsName",
    "AnatomicRegionSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "BodyPartExamined",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Laterality",
    "ImageLaterality",
    "ReasonForTheRequestedProcedure",
    "RequestedProcedureDescription",
)


class Unlinkable(Exception):
    """A file from which no study can be told. str() is a sentence for people; it holds nothing of a patient."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept of a DICOM sequence. scheme: SCT, SRT, DCM, LN, 99LOCAL, ..."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Instance:
    """What one object says of itself, its series, its study and its patient; '' for what it does not say.

    Dates, times and names are as DICOM writes them. instance_uid '': what is told is only of the series (or, without a
    series_uid, of the study). series_instances, study_series, study_instances: numbers that a PACS has told.
    """

    study_uid: str
    series_uid: str = ""
    instance_uid: str = ""
    sop_class: str = ""
    number: int | None = None

    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    series_date: str = ""
    series_time: str = ""
    body_part: str = ""
    anatomy: Code | None = None
    laterality: str = ""
    performers: tuple[str, ...] = ()
    series_instances: int | None = None

    study_date: str = ""
    study_time: str = ""
    offset: str = ""
    description: str = ""
    accession: str = ""
    accession_issuer: str = ""
    referrer: str = ""
    institution: str = ""
    procedure: Code | None = None
    procedure_text: str = ""
    reason: str = ""
    modalities: tuple[str, ...] = ()
    study_series: int | None = None
    study_instances: int | None = None

    patient_id: str = ""
    issuer: str = ""
    issuer_system: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (132 bytes or more) is DICOM: it has the prefix, or, as old files do,
    begins at once with an element of group 0008 or 0002 in little endian."""
    if head[128:132] == b"DICM":
        return True
    group, element = head[0:2], int.from_bytes(head[2:4], "little")
    return len(head) >= 132 and group in (b"\x08\x00", b"\x02\x00") and element <= 0x18 and head[4:6] != b"\0\0\0\0"


def read_header(source: Path | bytes | BinaryIO) -> Instance:
    """What a file says. bytes: of the whole file, or at least HEAD of its beginning. Raises Unlinkable, and OSError for
    a path that cannot be opened; nothing else, whatever is in the file."""
    if isinstance(source, bytes):
        return _read(io.BytesIO(source))
    if isinstance(source, Path):
        with source.open("rb") as file:
            return _read(file)
    return _read(source)


def _read(file: BinaryIO) -> Instance:
    import pydicom
    from pydicom.config import disable_value_validation

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            dataset = _dataset(file, pydicom)
            return _instance(dataset)
    except Unlinkable:
        raise
    except (Exception, RecursionError) as error:
        raise Unlinkable(f"The file is not DICOM, or its header is broken ({type(error).__name__}).") from None


def _dataset(file: BinaryIO, pydicom: Any) -> Dataset:
    from pydicom.filereader import read_dataset

    tags = [pydicom.datadict.tag_for_keyword(name) for name in _TAGS]
    start = file.read(132)
    file.seek(0)
    if start[128:132] == b"DICM":
        meta = _meta(file)
        if meta is not None and str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            # pydicom would inflate all of it, however much that is
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(HEAD), HEAD)
            found = read_dataset(
                io.BytesIO(inflated),
                is_implicit_VR=False,
                is_little_endian=True,
                specific_tags=tags,
                stop_when=lambda tag, vr, length: tag >= 0x7FE00000,
            )
            found.file_meta = meta
            return found
        file.seek(0)
    read: Dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
    return read


def _meta(file: BinaryIO) -> Any:
    """The file meta information, with `file` just behind it."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    read_preamble(file, False)
    return _read_file_meta_info(file)


def _instance(dataset: Dataset) -> Instance:
    meta = getattr(dataset, "file_meta", None)
    study_uid = _uid(dataset, "StudyInstanceUID")
    if not study_uid:
        if uids.cleaned(_get(meta, "MediaStorageSOPClassUID")) == "1.2.840.10008.1.3.10":
            raise Unlinkable("It is a DICOMDIR, which lists other files.")
        raise Unlinkable("It has no Study Instance UID, so it belongs to no study.")
    sop_class = _uid(dataset, "SOPClassUID") or uids.cleaned(_get(meta, "MediaStorageSOPClassUID"))
    instance_uid = _uid(dataset, "SOPInstanceUID") or uids.cleaned(_get(meta, "MediaStorageSOPInstanceUID"))
    series_uid = _uid(dataset, "SeriesInstanceUID")
    if not series_uid or not instance_uid or not sop_class:
        raise Unlinkable("It lacks the Series Instance UID, the SOP Instance UID or the SOP Class UID.")
    for name, uid in (("SOP Class", sop_class), ("SOP Instance", instance_uid)):
        _checked(name, uid)
    issuer_system = ""
    for item in _items(dataset, "IssuerOfPatientIDQualifiersSequence"):
        issuer_system = entity_system(_text(item, "UniversalEntityID"), _text(item, "UniversalEntityIDType"))
    accession_issuer = ""
    for item in _items(dataset, "IssuerOfAccessionNumberSequence"):
        accession_issuer = entity_system(_text(item, "UniversalEntityID"), _text(item, "UniversalEntityIDType"))
    return Instance(
        study_uid=study_uid,
        series_uid=series_uid,
        instance_uid=instance_uid,
        sop_class=sop_class,
        number=_number(dataset, "InstanceNumber"),
        modality=_text(dataset, "Modality"),
        series_number=_number(dataset, "SeriesNumber"),
        series_description=_text(dataset, "SeriesDescription"),
        series_date=_text(dataset, "SeriesDate"),
        series_time=_text(dataset, "SeriesTime"),
        body_part=_text(dataset, "BodyPartExamined"),
        anatomy=_code(dataset, "AnatomicRegionSequence"),
        laterality=_text(dataset, "Laterality") or _text(dataset, "ImageLaterality"),
        performers=_texts(dataset, "PerformingPhysicianName") or _texts(dataset, "OperatorsName"),
        study_date=_text(dataset, "StudyDate"),
        study_time=_text(dataset, "StudyTime"),
        offset=_text(dataset, "TimezoneOffsetFromUTC"),
        description=_text(dataset, "StudyDescription"),
        accession=_text(dataset, "AccessionNumber"),
        accession_issuer=accession_issuer,
        referrer=_text(dataset, "ReferringPhysicianName"),
        institution=_text(dataset, "InstitutionName"),
        procedure=_code(dataset, "ProcedureCodeSequence"),
        procedure_text=_text(dataset, "RequestedProcedureDescription"),
        reason=_text(dataset, "ReasonForTheRequestedProcedure"),
        patient_id=_text(dataset, "PatientID"),
        issuer=_text(dataset, "IssuerOfPatientID"),
        issuer_system=issuer_system,
        patient_name=_text(dataset, "PatientName"),
        birth_date=_text(dataset, "PatientBirthDate"),
        sex=_text(dataset, "PatientSex"),
    )


def entity_system(id: str, kind: str) -> str:
    """An HL7 universal entity id (PS3.3 10.14) as a URI, '' when it is none."""
    if kind.upper() == "ISO" or (not kind and uids.is_uid(id)):
        return f"urn:oid:{id}" if uids.is_uid(id) else ""
    if kind.upper() == "UUID":
        return f"urn:uuid:{id.lower()}"
    if kind.upper() == "URI":
        return id
    return f"http://{id}" if kind.upper() == "DNS" and id else ""


def _get(dataset: Any, name: str) -> Any:
    """The value of an attribute, None when it is absent, empty or cannot be read."""
    if dataset is None:
        return None
    try:
        return dataset.get(name)
    except Exception:  # a value that its VR does not allow
        return None


def _items(dataset: Any, name: str) -> list[Any]:
    value = _get(dataset, name)
    try:
        return list(value or ())
    except TypeError:
        return []


def clean(value: object) -> str:
    """Text that a FHIR string may hold: no control characters, no space around, not too long."""
    text = "".join(char if char >= " " and char != "\x7f" else " " for char in str(value))
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())[:_TEXT]


def _texts(dataset: Any, name: str) -> tuple[str, ...]:
    value = _get(dataset, name)
    if value is None or isinstance(value, bytes):
        return ()
    values = list(value) if type(value).__name__ in ("MultiValue", "list") else [value]
    return tuple(text for text in (clean(each) for each in values) if text)


def _text(dataset: Any, name: str) -> str:
    return next(iter(_texts(dataset, name)), "")


def _number(dataset: Any, name: str) -> int | None:
    """A number that FHIR's unsignedInt holds."""
    try:
        value = int(_text(dataset, name))
    except (ValueError, OverflowError):
        return None
    return value if 0 <= value <= 2**31 - 1 else None


def _uid(dataset: Any, name: str) -> str:
    """A UID, '' when there is none. Raises Unlinkable for one that is not valid."""
    uid = uids.cleaned(_text(dataset, name))
    return _checked(name, uid) if uid else ""


def _checked(name: str, uid: str) -> str:
    if not uids.is_uid(uid):
        raise Unlinkable(f"Its {name} is not a valid DICOM UID.")
    return uid


def _code(dataset: Any, name: str) -> Code | None:
    for item in _items(dataset, name):
        value = _text(item, "CodeValue") or _text(item, "LongCodeValue")
        if value:
            return Code(value, _text(item, "CodingSchemeDesignator"), _text(item, "CodeMeaning"))
    return None
