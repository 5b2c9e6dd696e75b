"""Whose study it is, and who ordered it: the Patient by id and issuer, the ServiceRequest by accession number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fhir_server.dicom import times, uids
from fhir_server.dicom.headers import Instance
from fhir_server.dicom.study import accession_of
from fhir_server.jobs.names import Json
from fhir_server.search.fold import fold
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_MR: Final = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}
_GENDERS: Final = {"M": "male", "F": "female", "O": "other"}
_URI: Final = re.compile(r"[a-z][a-z0-9+.\-]*:\S+", re.IGNORECASE)


def digest(text: str) -> str:
    """32 hex digits: the id of what is made once, whoever makes it."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def representative(instances: Sequence[Instance]) -> Instance:
    """The instance by which the patient is told: one that has an id, the same one in whatever order they are."""
    return min(instances, key=lambda each: (not each.patient_id, each.patient_id, each.issuer, each.instance_uid))


def issuer_system(instance: Instance) -> str:
    """The system of the patient's identifier, '' when the issuer is not told, or only in words."""
    if instance.issuer_system:
        return instance.issuer_system
    if uids.is_uid(instance.issuer):
        return f"urn:oid:{instance.issuer}"
    return instance.issuer if _URI.fullmatch(instance.issuer) else ""


def own_id(instance: Instance) -> str:
    """The id of the Patient that is made when none matches: one for each id and issuer; a study's own without an id."""
    if not instance.patient_id:
        return digest(f"Patient/dicom-study/{instance.study_uid}")
    return digest(f"Patient/dicom/{issuer_system(instance) or instance.issuer}/{instance.patient_id}")


async def patient_for(hub: Hub, instances: Sequence[Instance]) -> str:
    """The id of the Patient whose study it is: one that is there, or the id for a new one."""
    told = representative(instances)
    if not told.patient_id:
        return own_id(told)
    candidates = await hub.find(SYSTEM, "Patient", [("identifier", escaped(told.patient_id))], limit=50)
    for candidate in candidates:
        if any(_is_same(identifier, told) for identifier in candidate.get("identifier") or ()):
            return str(candidate["id"])
    if not told.issuer and not issuer_system(told):
        # no issuer: an id alone says little, but with the same name and date of birth it says enough
        alike = [each for each in candidates if _is_like(each, told)]
        if len(alike) == 1:
            return str(alike[0]["id"])
    return own_id(told)


def escaped(value: str) -> str:
    """A token's value for a search."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")


def _is_same(identifier: Mapping[str, Any], told: Instance) -> bool:
    if identifier.get("value") != told.patient_id:
        return False
    system, assigner = identifier.get("system", ""), (identifier.get("assigner") or {}).get("display", "")
    wanted = issuer_system(told)
    if wanted and system == wanted:
        return True
    if told.issuer:
        return assigner.casefold() == told.issuer.casefold() or (not wanted and system == told.issuer)
    return not wanted and not system and not assigner


def _is_like(patient: Mapping[str, Any], told: Instance) -> bool:
    born = times.day(told.birth_date)
    name = times.human_name(told.patient_name)
    if not born or patient.get("birthDate") != born or name is None:
        return False
    family = fold(str(name.get("family", "")))
    names = patient.get("name") or ()
    return any(
        fold(str(each.get("family", ""))) == family or family in fold(str(each.get("text", ""))).split()
        for each in names
        if family
    )


def described(patient: Mapping[str, Any] | None, instances: Sequence[Instance], id: str) -> Json:
    """The Patient that files have made: every name that was told, and what else they say of it."""
    changed: Json = dict(patient or {"resourceType": "Patient", "id": id, "active": True})
    told = representative(instances)
    if told.patient_id and not changed.get("identifier"):
        identifier: Json = {"type": {"coding": [dict(_MR)]}}
        system = issuer_system(told)
        if system:
            identifier["system"] = system
        identifier["value"] = told.patient_id
        if told.issuer:
            identifier["assigner"] = {"display": told.issuer}
        changed["identifier"] = [identifier]
    its = [each for each in instances if (each.patient_id, each.issuer) == (told.patient_id, told.issuer)]
    names = {str(each.get("text", "")): each for each in changed.get("name") or ()}
    for instance in its:
        name = times.human_name(instance.patient_name)
        if name is not None and name["text"] not in names:
            names[name["text"]] = name
    if names:
        changed["name"] = [names[text] for text in sorted(names)]
    born = min((day for each in its if (day := times.day(each.birth_date))), default="")
    if born and "birthDate" not in changed:
        changed["birthDate"] = born
    sex = min((_GENDERS[each.sex.upper()] for each in its if each.sex.upper() in _GENDERS), default="")
    if sex and "gender" not in changed:
        changed["gender"] = sex
    return changed


async def order_for(hub: Hub, instances: Sequence[Instance], subject: str) -> str | None:
    """ "ServiceRequest/x" with the study's accession number, when there is one, and it is for the same patient."""
    accession, system = accession_of(instances)
    if not accession:
        return None
    found = await hub.find(SYSTEM, "ServiceRequest", [("identifier", escaped(accession))], limit=20)
    fitting = [
        each
        for each in found
        if each.get("status") != "entered-in-error"
        and _subject(each) in ("", subject)
        and any(_is_accession(identifier, accession, system) for identifier in each.get("identifier") or ())
    ]
    return f"ServiceRequest/{fitting[0]['id']}" if len(fitting) == 1 else None


def _subject(resource: Mapping[str, Any]) -> str:
    reference = str((resource.get("subject") or {}).get("reference", ""))
    return "/".join(reference.split("/_history/")[0].split("/")[-2:])


def _is_accession(identifier: Mapping[str, Any], value: str, system: str) -> bool:
    """The same number; of the same issuer, as far as both say; not of another kind (a placer's number, say)."""
    if identifier.get("value") != value or (system and identifier.get("system") not in (None, system)):
        return False
    kinds = [each.get("code") for each in (identifier.get("type") or {}).get("coding") or ()]
    return not kinds or "ACSN" in kinds
