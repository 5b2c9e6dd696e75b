"""The committed content of ``terminology/data``: gzipped or plain tables, read row by row, nothing kept."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent / "data"

SNOMED = "http://snomed.info/sct"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED_VERSION = "2020-07-31"
"""The SNOMED CT International Edition that the Global Patient Set of September 2020 is drawn from."""
ICD10CM_VERSION = "2026-04-01"


def rows(name: str) -> Iterator[list[str]]:
    """The rows of a table below its heading. Raises FileNotFoundError when the content is not installed."""
    path = DATA / name
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
    lines = text.split("\n")
    for line in lines[1:]:
        if line:
            yield line.split("\t")
