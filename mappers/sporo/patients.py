"""Whom documents are of: the Patient with this e-mail address and name (in either order), made when there is none."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fhir_server.jobs.names import Json, Names
from fhir_server.security.caller import SYSTEM

from .translate import printable

if TYPE_CHECKING:
    from fhir_server.hub import Hub

FIELDS = ("email", "first_name", "last_name")
IDENTIFIERS = "sporo-patient"
"""Naming system of the identifier by which two requests at once find out that they mean the same new patient. It is
made from who he is; one that a patient has who by now is called otherwise is passed over for the next."""
_OTHERS = 100


async def whom(hub: Hub, metadata: Mapping[str, Any], names: Names) -> tuple[str | None, Json | None]:
    """(reference, entry): the Patient that the metadata speaks of, and the transaction's entry that makes it when there
    is none yet (the reference is then to that entry). (None, None) unless all three fields are there."""
    said = [metadata.get(name) for name in FIELDS]
    email, first, last = (" ".join(each.split()) if isinstance(each, str) else "" for each in said)
    if not (email and first and last):
        return None, None
    found = await hub.find(SYSTEM, "Patient", [("email", escaped(email)), ("_sort", "_lastUpdated")])
    there = [patient for patient in found if matches(patient, email, first, last)]
    if there:
        return f"Patient/{there[0]['id']}", None
    who = f"{fold(email)}\n" + "\n".join(sorted((fold(first), fold(last))))
    for number in range(_OTHERS):
        mark = hashlib.sha256(f"{who}\n{number}".encode()).hexdigest()[:32]
        taken = await hub.find(SYSTEM, "Patient", [("identifier", f"{names.identifiers(IDENTIFIERS)}|{mark}")], limit=1)
        if not taken:
            break
        if matches(taken[0], email, first, last):  # made since the first search
            return f"Patient/{taken[0]['id']}", None
    url = f"urn:uuid:{uuid4()}"
    entry = {
        "fullUrl": url,
        "resource": new_patient(email, first, last, mark, names),
        "request": {
            "method": "POST",
            "url": "Patient",
            "ifNoneExist": f"identifier={names.identifiers(IDENTIFIERS)}|{mark}",
        },
    }
    return url, entry


def new_patient(email: str, first: str, last: str, mark: str, names: Names) -> Json:
    return {
        "resourceType": "Patient",
        "identifier": [{"use": "secondary", "system": names.identifiers(IDENTIFIERS), "value": mark}],
        "active": True,
        "name": [{"family": printable(last), "given": [printable(first)]}],
        "telecom": [{"system": "email", "value": printable(email)}],
    }


def matches(patient: Mapping[str, Any], email: str, first: str, last: str) -> bool:
    """Whether the Patient has this address and this name, without regard to case, in either order."""
    if patient.get("active") is False:
        return False
    addresses = {
        fold(str(point.get("value") or ""))
        for point in patient.get("telecom") or ()
        if point.get("system") in ("email", None)
    }
    if fold(email) not in addresses:
        return False
    wanted = {(fold(first), fold(last)), (fold(last), fold(first))}
    for name in patient.get("name") or ():
        family, given = fold(str(name.get("family") or "")), [fold(each) for each in name.get("given") or ()]
        if (" ".join(given), family) in wanted or (given and (given[0], family) in wanted):
            return True
        if not family and tuple(fold(str(name.get("text") or "")).rsplit(" ", 1)) in wanted:
            return True
    return False


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def escaped(value: str) -> str:
    """A value of a search parameter that means itself."""
    for char in "\\,$|":
        value = value.replace(char, f"\\{char}")
    return value
