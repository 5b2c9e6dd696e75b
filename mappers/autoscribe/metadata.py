"""Study and snapshot metadata (who, what, where, when of a scan) <-> FHIR R4B. Pure.

The live metadata of a study are its Patient's and its ImagingStudy's; height and weight are Observations contained in
the ImagingStudy. A report's snapshot is the same, frozen in resources contained in the DiagnosticReport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from fhir_server.jobs.names import Json, Names, own_extension, without_extension

SNAPSHOT: Final = "snapshot-metadata"
LOCAL_TIME: Final = "local-time"
MR: Final = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
EXTERNAL_PATIENT: Final = "urn:vendor:autoscribe:external-patient-id"
_VITALS: Final = "http://terminology.hl7.org/CodeSystem/observation-category"

#: (vendor's field, LOINC code, display, the vendor's unit -> UCUM)
_MEASURES: Final = (
    ("height", "8302-2", "Body height", {"in": "[in_i]", "cm": "cm"}),
    ("weight", "29463-7", "Body weight", {"lbs": "[lb_av]", "kg": "kg"}),
)
#: UCUM -> (the vendor's unit, factor)
_UNITS: Final[Mapping[str, tuple[str, Decimal]]] = {
    "[in_i]": ("in", Decimal(1)),
    "[in_us]": ("in", Decimal(1)),
    "[ft_i]": ("in", Decimal(12)),
    "cm": ("cm", Decimal(1)),
    "m": ("cm", Decimal(100)),
    "mm": ("cm", Decimal("0.1")),
    "[lb_av]": ("lbs", Decimal(1)),
    "[oz_av]": ("lbs", Decimal(1) / 16),
    "kg": ("kg", Decimal(1)),
    "g": ("kg", Decimal("0.001")),
}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Where the fields that the contained ImagingStudy freezes live in it.
_STUDY_FIELDS: Final = ("started", "_started", "location", "referrer", "procedureCode")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where metadata are read from. effective: DiagnosticReport.effectiveDateTime, for a study that has no date."""

    patient: Mapping[str, Any] | None = None
    study: Mapping[str, Any] | None = None
    observations: Sequence[Mapping[str, Any]] = ()
    age: str | None = None
    effective: str | None = None


def of_study(study: Mapping[str, Any], patient: Mapping[str, Any] | None) -> Sources:
    """The live metadata of a study."""
    contained = study.get("contained") or ()
    return Sources(patient, study, _of_type(contained, "Observation"), _age_said(study))


def of_report(report: Mapping[str, Any], study: Mapping[str, Any] | None, patient: Mapping[str, Any] | None) -> Sources:
    """The snapshot in a report; what it has none of is the study's and the patient's, as they are now."""
    contained = report.get("contained") or ()
    patients = _of_type(contained, "Patient")
    studies = _of_type(contained, "ImagingStudy")
    frozen = bool(patients) and own_extension(report, SNAPSHOT) is not None
    observations = _of_type(contained, "Observation")
    live = of_study(study or {}, patient)
    return Sources(
        patient=patients[0] if patients else patient,
        study=studies[0] if studies else study,
        observations=observations if observations or frozen else live.observations,
        age=_age_said(report) if frozen else live.age,
        effective=_effective(report),
    )


def _of_type(resources: Sequence[Mapping[str, Any]], type: str) -> list[Mapping[str, Any]]:
    return [each for each in resources if each.get("resourceType") == type]


def _effective(report: Mapping[str, Any]) -> str | None:
    found = report.get("effectiveDateTime") or (report.get("effectivePeriod") or {}).get("start")
    return found if isinstance(found, str) else None


def projected(sources: Sources) -> Json:
    """The vendor's object; what is not known is left out."""
    patient, study = sources.patient or {}, sources.study or {}
    day, time = _moment(study, sources.effective)
    found: Json = {
        "age": sources.age or _age_at(patient.get("birthDate"), day),
        "dateOfBirth": _whole_date(patient.get("birthDate")),
        "facilityName": _display(study.get("location")),
        "height": None,
        "mrn": mrn_of(patient),
        "patientName": name_of(patient),
        "procedure": _concepts(study.get("procedureCode")),
        "referringPhysicianName": _display(study.get("referrer")),
        "sex": patient.get("gender") if patient.get("gender") in ("male", "female", "other") else None,
        "studyDate": day,
        "studyTime": time,
        "weight": None,
    }
    for name, code, _, _ in _MEASURES:
        found[name] = _measured(sources.observations, code, name)
    return {name: value for name, value in found.items() if value is not None}


def _moment(study: Mapping[str, Any], effective: str | None) -> tuple[str | None, str | None]:
    """(YYYY-MM-DD, HH:MM) as the clock on the wall showed it."""
    said = study.get("started") or effective
    local = own_extension(study.get("_started") or {}, LOCAL_TIME)
    time = str(local.get("valueTime", ""))[:5] if local else ""
    if not isinstance(said, str):
        return None, time or None
    return _whole_date(said[:10]), (said[11:16] if len(said) > 10 else time) or None


def _whole_date(text: object) -> str | None:
    return text if isinstance(text, str) and _DATE.fullmatch(text) else None


def _age_said(resource: Mapping[str, Any]) -> str | None:
    for part in (own_extension(resource, SNAPSHOT) or {}).get("extension") or ():
        if part.get("url") == "age":
            return str(part.get("valueString") or "") or None
    return None


def _age_at(born: object, day: str | None) -> str | None:
    """ "34.5 years", "2 months", "12 days": the age on the day of the study."""
    if day is None or _whole_date(born) is None:
        return None
    try:
        start, end = date.fromisoformat(str(born)), date.fromisoformat(day)
    except ValueError:
        return None
    if end < start:
        return None
    months = (end.year - start.year) * 12 + end.month - start.month - (end.day < start.day)
    if months >= 24:
        years = Decimal(months) / 12
        return f"{years.quantize(Decimal('0.1')).normalize():f} years"
    if months >= 1:
        return f"{months} month{'s' if months > 1 else ''}"
    days = (end - start).days
    return f"{days} day{'' if days == 1 else 's'}"


def _display(reference: Mapping[str, Any] | None) -> str | None:
    return (reference or {}).get("display")


def _concepts(concepts: Sequence[Mapping[str, Any]] | None) -> str | None:
    for concept in concepts or ():
        coded = next((each["display"] for each in concept.get("coding") or () if each.get("display")), None)
        if concept.get("text") or coded:
            return str(concept.get("text") or coded)
    return None


def name_of(person: Mapping[str, Any]) -> str | None:
    """A person's name as text: the official one, else the first that is still used."""
    names = [each for each in person.get("name") or () if each.get("use") not in ("old", "maiden")]
    names.sort(key=lambda each: each.get("use") != "official")
    for name in names or person.get("name") or ():
        parts = [
            *(name.get("prefix") or ()),
            *(name.get("given") or ()),
            name.get("family"),
            *(name.get("suffix") or ()),
        ]
        text = name.get("text") or " ".join(str(part) for part in parts if part)
        if text:
            return str(text)
    return None


def is_mrn(identifier: Mapping[str, Any]) -> bool:
    return any(coding.get("code") == "MR" for coding in (identifier.get("type") or {}).get("coding") or ())


def mrn_of(patient: Mapping[str, Any]) -> str | None:
    """The medical record number: the identifier of type MR, else the first that is not a vendor's."""
    identifiers = [each for each in patient.get("identifier") or () if each.get("value")]
    for identifier in identifiers:
        if is_mrn(identifier):
            return str(identifier["value"])
    others = (each for each in identifiers if not str(each.get("system", "")).startswith("urn:vendor:"))
    return next((str(each["value"]) for each in others), None)


def external_patient_of(patient: Mapping[str, Any]) -> str | None:
    for identifier in patient.get("identifier") or ():
        if identifier.get("system") == EXTERNAL_PATIENT and identifier.get("value"):
            return str(identifier["value"])
    return None


def _measured(observations: Sequence[Mapping[str, Any]], code: str, name: str) -> Json | None:
    for observation in observations:
        if any(coding.get("code") == code for coding in (observation.get("code") or {}).get("coding") or ()):
            quantity = observation.get("valueQuantity") or {}
            unit, factor = _UNITS.get(str(quantity.get("code") or quantity.get("unit")), (None, Decimal(1)))
            value = quantity.get("value")
            if unit is not None and value is not None:
                return {"unit": unit, "value": number(Decimal(str(value)) * factor)}
    return None


def number(value: Decimal) -> int | float:
    """A JSON number: 178, 68.5"""
    return int(value) if value == value.to_integral_value() else float(value)


# From the vendor's object to FHIR


def demographics(given: Mapping[str, Any]) -> Json:
    """The elements of a Patient."""
    elements: Json = {}
    if given.get("patientName"):
        elements["name"] = [{"text": given["patientName"]}]
    if given.get("dateOfBirth"):
        elements["birthDate"] = given["dateOfBirth"]
    if given.get("sex"):
        elements["gender"] = given["sex"]
    if given.get("mrn"):
        elements["identifier"] = [{"type": {"coding": [dict(MR)]}, "value": given["mrn"]}]
    return elements


def circumstances(given: Mapping[str, Any], names: Names) -> Json:
    """The elements of an ImagingStudy."""
    elements: Json = {}
    if given.get("procedure"):
        elements["procedureCode"] = [{"text": given["procedure"]}]
    if given.get("facilityName"):
        elements["location"] = {"display": given["facilityName"]}
    if given.get("referringPhysicianName"):
        elements["referrer"] = {"display": given["referringPhysicianName"]}
    if given.get("studyDate"):
        elements["started"] = given["studyDate"]
    if given.get("studyTime"):
        elements["_started"] = local_time(given["studyTime"], names)
    return elements


def local_time(text: str, names: Names) -> Json:
    """`_started` for a time of day of which nobody said in which time zone: FHIR's dateTime cannot hold it."""
    time = text if len(text) > 5 else f"{text}:00"
    return {"extension": [{"url": names.extension(LOCAL_TIME), "valueTime": time}]}


def with_measures(resource: Json, given: Mapping[str, Any], names: Names, *, subject: str) -> Json:
    """An ImagingStudy (or a report) with height, weight and the age said, contained; those it had are replaced."""
    changed = dict(resource)
    kept = [each for each in changed.get("contained") or () if each.get("id") not in ("height", "weight")]
    parts = _parts(resource, ("height", "weight", "age"))
    for name, code, display, units in _MEASURES:
        quantity = given.get(name)
        if quantity:
            kept.append(_observation(name, code, display, quantity, units, subject))
            parts.append({"url": name, "valueReference": {"reference": f"#{name}"}})
    if given.get("age"):
        parts.append({"url": "age", "valueString": given["age"]})
    changed["contained"] = kept
    changed["extension"] = without_extension(resource, SNAPSHOT)
    if parts:
        changed["extension"].append({"url": names.extension(SNAPSHOT), "extension": parts})
    for name in ("contained", "extension"):
        if not changed[name]:
            del changed[name]
    return changed


def _parts(resource: Mapping[str, Any], without: Sequence[str]) -> list[Json]:
    parts = (own_extension(resource, SNAPSHOT) or {}).get("extension") or ()
    return [part for part in parts if part.get("url") not in without]


def _observation(
    id: str, code: str, display: str, quantity: Mapping[str, Any], units: Mapping[str, str], subject: str
) -> Json:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"system": _VITALS, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": code, "display": display}]},
        "subject": {"reference": subject},
        "valueQuantity": {
            "value": Decimal(str(quantity["value"])),
            "unit": quantity["unit"],
            "system": UCUM,
            "code": units[quantity["unit"]],
        },
    }


def with_snapshot(report: Json, given: Mapping[str, Any], frozen: Mapping[str, Any], names: Names) -> Json:
    """The report with these metadata frozen in it; `frozen`: what frozen_circumstances gave of the study. The extension
    names what is contained (dom-3)."""
    patient = {"resourceType": "Patient", "id": "snap"} | demographics(given)
    study = {
        "resourceType": "ImagingStudy",
        "id": "snap-study",
        "status": "unknown",
        "subject": {"reference": "#snap"},
        **frozen,
    }
    parts = [
        {"url": "patient", "valueReference": {"reference": "#snap"}},
        {"url": "study", "valueReference": {"reference": "#snap-study"}},
    ]
    changed = dict(report)
    changed["contained"] = [*(report.get("contained") or ()), patient, study]
    changed["extension"] = [
        *without_extension(report, SNAPSHOT),
        {"url": names.extension(SNAPSHOT), "extension": parts},
    ]
    return with_measures(changed, given, names, subject="#snap")


def frozen_circumstances(study: Mapping[str, Any]) -> Json:
    """What a study says of itself that metadata show, to be copied."""
    return {name: study[name] for name in _STUDY_FIELDS if name in study}
