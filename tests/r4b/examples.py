"""The official examples that come with the tests."""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path

ARCHIVE = Path(__file__).parent.parent / "fixtures" / "r4b-examples.tar.xz"


@lru_cache(maxsize=1)
def examples() -> dict[str, bytes]:
    """File name -> the file as HL7 published it."""
    found = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


#: Examples that break the standard they illustrate, and how.
INVALID = {
    "DeviceMetric-example.json": "parent refers to a DeviceDefinition; only a Device may be the parent",
    "EvidenceVariable-example-Wardlaw2014Analysis1.16.3EvidenceSet.json": "definition refers to an Evidence",
    "Observation-clinical-gender.json": "performer refers to an Encounter",
    "SearchParameter-valueset-extensions-ValueSet-author.json": "base is missing",
    "SearchParameter-valueset-extensions-ValueSet-end.json": "base is missing",
    "SearchParameter-valueset-extensions-ValueSet-keyword.json": "base is missing",
    "ValueSet-catalogType.json": "status is missing",
}
