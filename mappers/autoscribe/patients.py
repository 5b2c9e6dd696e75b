"""Whose study it is: the Patient that the vendor's metadata describe, found or made. Mostly pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fhir_server.jobs.names import Json
from fhir_server.search.fold import fold
from fhir_server.security.caller import Caller

from . import metadata
from .ids import digest

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def patient_for(hub: Hub, caller: Caller, given: Mapping[str, Any], external: str | None) -> Json:
    """The Patient as it is to be written. One that is there (has a meta) is found by the integrator's own id, else by
    the medical record number when nothing else that is known of both differs."""
    if external:
        found = await hub.find(
            caller, "Patient", [("identifier", _token(metadata.EXTERNAL_PATIENT, external))], limit=1
        )
        if found:
            return described(found[0], given, external)
    mrn = given.get("mrn")
    if mrn:
        for candidate in await hub.find(caller, "Patient", [("identifier", _token(None, mrn))], limit=50):
            if metadata.mrn_of(candidate) == mrn and not differs(candidate, given, external):
                return described(candidate, given, external)
    if external:
        id = digest("Patient", f"{metadata.EXTERNAL_PATIENT}|{external}")
    elif mrn:
        id = digest("Patient", "|".join(str(given.get(name)) for name in ("mrn", "patientName", "dateOfBirth", "sex")))
    else:
        id = uuid4().hex
    return described({"resourceType": "Patient", "id": id, "active": True}, given, external)


def _token(system: str | None, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
    return f"{system}|{escaped}" if system else escaped


def differs(patient: Mapping[str, Any], given: Mapping[str, Any], external: str | None) -> bool:
    """Whether something that is known of both is not the same."""
    known = metadata.external_patient_of(patient)
    if external and known and external != known:
        return True
    for field, element in (("dateOfBirth", "birthDate"), ("sex", "gender")):
        if given.get(field) and patient.get(element) and given[field] != patient[element]:
            return True
    name = metadata.name_of(patient)
    return bool(given.get("patientName") and name and _words(name) != _words(given["patientName"]))


def _words(name: str) -> set[str]:
    return set(fold(name).replace(",", " ").replace("^", " ").split())


def described(patient: Mapping[str, Any], given: Mapping[str, Any], external: str | None = None) -> Json:
    """The Patient with the demographics that `given` has; None clears one. external "": the integrator's id goes."""
    changed = dict(patient)
    if "patientName" in given and given["patientName"] != metadata.name_of(patient):
        shown = metadata.name_of(patient)
        kept = [each for each in patient.get("name") or () if metadata.name_of({"name": [each]}) != shown]
        _set(changed, "name", ([{"text": given["patientName"]}] if given["patientName"] else []) + kept)
    for field, element in (("dateOfBirth", "birthDate"), ("sex", "gender")):
        if field in given and given[field] != patient.get(element):
            _set(changed, element, given[field])
    identifiers = list(changed.get("identifier") or ())
    if "mrn" in given and given["mrn"] != metadata.mrn_of(patient):
        old = next((each for each in identifiers if metadata.is_mrn(each)), None)
        identifiers = [each for each in identifiers if each is not old]
        if given["mrn"]:
            new = (old or {"type": {"coding": [dict(metadata.MR)]}}) | {"value": given["mrn"]}
            identifiers.insert(0, new)
    if external is not None and external != metadata.external_patient_of(patient):
        identifiers = [each for each in identifiers if each.get("system") != metadata.EXTERNAL_PATIENT]
        if external:
            identifiers.append({"system": metadata.EXTERNAL_PATIENT, "value": external})
    _set(changed, "identifier", identifiers)
    return changed


def _set(resource: Json, name: str, value: Any) -> None:
    if value:
        resource[name] = value
    else:
        resource.pop(name, None)
