"""DICOM files for tests: pydicom's own, and small ones made here."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

ROOT = Path(pydicom.__file__).parent / "data" / "test_files"
CT = "1.2.840.10008.5.1.4.1.1.2"


def all_files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*") if path.is_file())


def made(**elements: Any) -> bytes:
    """A file with these elements; without them a CT slice of some study."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    told: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.4.2",
        "StudyInstanceUID": "1.2.3.4.3",
        "Modality": "CT",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
    } | elements
    meta.MediaStorageSOPClassUID = told["SOPClassUID"] or CT
    meta.MediaStorageSOPInstanceUID = told["SOPInstanceUID"] or "1.2"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    buffer = io.BytesIO()
    with pydicom.config.disable_value_validation():
        for name, value in told.items():
            if value is not None:
                setattr(dataset, name, value)
        pydicom.dcmwrite(buffer, dataset, little_endian=True, implicit_vr=False)
    return buffer.getvalue()


def sequence(**elements: Any) -> list[Dataset]:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return [item]
