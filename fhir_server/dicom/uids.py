"""DICOM unique identifiers: which are valid, and how FHIR writes them. DICOM PS3.5 section 9, R4B ImagingStudy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

SYSTEM: Final = "urn:dicom:uid"
"""Identifier.system of a Study Instance UID; the value is ``urn:oid:`` and the UID."""
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def is_uid(text: str) -> bool:
    """At most 64 characters; components of digits without leading zeros, at least two, with dots between them."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def cleaned(text: object) -> str:
    """The UID without the padding that files have (a NUL, or a space), '' for none."""
    return str(text or "").strip(" \0\t\r\n")


def identifier(uid: str) -> dict[str, Any]:
    """The Identifier of a study."""
    return {"system": SYSTEM, "value": f"urn:oid:{uid}"}


def study_uid(study: Mapping[str, Any]) -> str | None:
    """The Study Instance UID of an ImagingStudy, with or without ``urn:oid:`` before it; None when it has none."""
    return uid_in(study.get("identifier") or ())


def uid_in(identifiers: Iterable[Mapping[str, Any]]) -> str | None:
    """The first DICOM UID among Identifiers."""
    for each in identifiers:
        if each.get("system") == SYSTEM and isinstance(each.get("value"), str):
            return str(each["value"]).removeprefix("urn:oid:")
    return None


def criteria(uid: str) -> list[tuple[str, str]]:
    """Search parameters that find the ImagingStudies with this UID."""
    return [("identifier", f"{SYSTEM}|urn:oid:{uid},{SYSTEM}|{uid}")]
