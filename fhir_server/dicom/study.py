"""Instances of one study -> its ImagingStudy. Pure: the same instances give the same study, in whatever order and in
how many parts they come, and once more changes nothing.

Of what is told differently by two files the smaller text counts. What came from files is noted in an extension, so that
what somebody else has written in the ImagingStudy is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from fhir_server.dicom import codes, times, uids
from fhir_server.dicom.headers import Code, Instance
from fhir_server.jobs.names import Json, Names, own_extension, value_of, without_extension

SOURCE: Final = "dicom-source"
LOCAL_TIME: Final = "local-time"
ACCESSION_TYPE: Final = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}
_KEPT: Final = frozenset({"cancelled", "entered-in-error"})


def merged(
    study: Mapping[str, Any],
    instances: Sequence[Instance],
    names: Names,
    *,
    zone: tzinfo | None = None,
) -> Json:
    """The ImagingStudy, extended by what the instances (all of this study) say. It has an id and a subject already.

    zone: of the site, for times that say none."""
    changed = dict(study)
    series = _all_series(study, instances, names, zone)
    has_pictures = any(each.get("instance") or each.get("numberOfInstances") for each in series)
    if changed.get("status") not in _KEPT:
        changed["status"] = "available" if has_pictures else changed.get("status", "registered")
    _identify(changed, instances)
    _modalities(changed, series, instances)
    _attributes(changed, instances, names, zone)
    if series:
        changed["series"] = series
    told_series = max((each.study_series or 0 for each in instances), default=0)
    told_instances = max((each.study_instances or 0 for each in instances), default=0)
    stored = sum(each.get("numberOfInstances", 0) for each in series)
    changed["numberOfSeries"] = max(len(series), told_series)
    changed["numberOfInstances"] = max(stored, told_instances)
    return changed


def accession_of(instances: Iterable[Instance]) -> tuple[str, str]:
    """(accession number, its issuer's system or ''); ('', '') for none."""
    return min(((each.accession, each.accession_issuer) for each in instances if each.accession), default=("", ""))


def _identify(study: Json, instances: Sequence[Instance]) -> None:
    identifiers = list(study.get("identifier") or ())
    if uids.uid_in(identifiers) is None:
        identifiers.insert(0, uids.identifier(instances[0].study_uid))
    known = {(each.get("system", ""), each.get("value")) for each in identifiers if _is_accession(each)}
    told = {(each.accession_issuer, each.accession) for each in instances if each.accession} - known
    accessions = [_accession(*each) for each in told]
    if accessions:
        # several accession numbers in one study are rare, and all of them true
        mine = [each for each in identifiers if _is_accession(each)] + accessions
        mine.sort(key=lambda each: (each["value"], each.get("system", "")))
        identifiers = [each for each in identifiers if not _is_accession(each)] + mine
    study["identifier"] = identifiers


def _is_accession(identifier: Mapping[str, Any]) -> bool:
    return any(each.get("code") == "ACSN" for each in (identifier.get("type") or {}).get("coding") or ())


def _accession(system: str, value: str) -> Json:
    found: Json = {"type": {"coding": [dict(ACCESSION_TYPE)]}}
    if system:
        found["system"] = system
    return found | {"value": value}


def _modalities(study: Json, series: Sequence[Mapping[str, Any]], instances: Sequence[Instance]) -> None:
    """The distinct modalities of the series; a word that somebody used for one stays with it."""
    found = {each.get("code") or each.get("display", ""): each for each in study.get("modality") or ()}
    told = [code for each in instances for code in each.modalities]
    for coding in [*(each["modality"] for each in series), *(codes.modality(code) for code in told)]:
        found.setdefault(coding.get("code", ""), dict(coding))
    if len(found) > 1 and "OT" in found:
        del found["OT"]
    if found:
        study["modality"] = [found[code] for code in sorted(found)]


# Attributes of the study as a whole: name -> how an instance tells it (one text), and what elements it makes.


def _started(text: str, names: Names) -> Json:
    day, _, time = text.partition("|")
    if not time:
        return {"started": text}
    extension = {"url": names.extension(LOCAL_TIME), "valueTime": time}
    return {"started": day, "_started": {"extension": [extension]}}


def _procedure(text: str, names: Names) -> Json:
    words, value, scheme, meaning = (text.split("\t") + [""] * 4)[:4]
    concept: Json = {}
    if value:
        concept["coding"] = [codes.coding(Code(value, scheme, meaning))]
    if words or meaning:
        concept["text"] = words or meaning
    return {"procedureCode": [concept]}


def _procedure_text(instance: Instance) -> str:
    code = instance.procedure
    parts = (instance.procedure_text, *((code.value, code.scheme, code.meaning) if code else ("", "", "")))
    return "\t".join(parts).rstrip("\t")


_ATTRIBUTES: Final[Mapping[str, tuple[Callable[[Instance], str], Callable[[str, Names], Json]]]] = {
    "description": (lambda each: each.description, lambda text, _: {"description": text}),
    "referrer": (lambda each: times.spoken_name(each.referrer), lambda text, _: {"referrer": {"display": text}}),
    "location": (lambda each: each.institution, lambda text, _: {"location": {"display": text}}),
    "procedure": (_procedure_text, _procedure),
    "reason": (lambda each: each.reason, lambda text, _: {"reasonCode": [{"text": text}]}),
}
_ELEMENTS: Final = {
    "started": ("started", "_started"),
    "description": ("description",),
    "referrer": ("referrer",),
    "location": ("location",),
    "procedure": ("procedureCode",),
    "reason": ("reasonCode",),
}


def _attributes(study: Json, instances: Sequence[Instance], names: Names, zone: tzinfo | None) -> None:
    noted = {
        str(part["url"]): str(value_of(part))
        for part in (own_extension(study, SOURCE) or {}).get("extension") or ()
        if "url" in part
    }
    told = {name: {tell(each) for each in instances} for name, (tell, _) in _ATTRIBUTES.items()}
    told["started"] = {times.moment(each.study_date, each.study_time, each.offset, zone) for each in instances}
    for name, elements in _ELEMENTS.items():
        make = _started if name == "started" else _ATTRIBUTES[name][1]
        candidates = (told[name] | {noted.get(name, "")}) - {""}
        if not candidates:
            continue
        chosen = min(candidates, key=_exact if name == "started" else str)
        before = make(noted[name], names) if name in noted else {}
        if {element: study[element] for element in elements if element in study} == before:
            for element in elements:
                study.pop(element, None)
            study.update(make(chosen, names))
        noted[name] = chosen
    if noted:
        parts = [{"url": name, "valueString": noted[name]} for name in sorted(noted)]
        extension = {"url": names.extension(SOURCE), "extension": parts}
        study["extension"] = [*without_extension(study, SOURCE), extension]


def _exact(moment: str) -> tuple[str, int, str]:
    """The earliest day first; on one day an exact time before a local one, and the day alone last."""
    return moment[:10], {"T": 0, "|": 1}.get(moment[10:11], 2), moment


# Series


def _all_series(
    study: Mapping[str, Any], instances: Sequence[Instance], names: Names, zone: tzinfo | None
) -> list[Json]:
    found: dict[str, Json] = {str(each["uid"]): each for each in study.get("series") or ()}
    grouped: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.series_uid:
            grouped.setdefault(instance.series_uid, []).append(instance)
    for uid, its in grouped.items():
        found[uid] = _series(found.get(uid), uid, its, names, zone)
    return sorted(found.values(), key=lambda each: (each.get("number", 2**31), each["uid"]))


def _series(before: Json | None, uid: str, instances: Sequence[Instance], names: Names, zone: tzinfo | None) -> Json:
    series: Json = {"uid": uid} | dict(before or {})
    told = {each.modality for each in instances} - {""}
    known = (series.get("modality") or {}).get("code", "OT")
    if known == "OT" or known in told:
        series["modality"] = codes.modality(min(told - {"OT"}, default="")) if known == "OT" else series["modality"]
    _smallest(series, "number", [each.series_number for each in instances])
    _smallest(series, "description", [each.series_description for each in instances])
    sites = [codes.body_site(each.anatomy, each.body_part) for each in instances]
    _smallest(series, "bodySite", sites, key=_coding_key)
    _smallest(series, "laterality", [codes.laterality(each.laterality) for each in instances], key=_coding_key)
    moments = [times.moment(each.series_date, each.series_time, each.offset, zone) for each in instances]
    first = min((each for each in moments if each), key=_exact, default="")
    if first and ("started" not in series or _exact(_moment_of(series)) > _exact(first)):
        series.pop("_started", None)
        series.update(_started(first, names))
    performers = {times.spoken_name(name) for each in instances for name in each.performers} - {""}
    there = {(each.get("actor") or {}).get("display") for each in series.get("performer") or ()}
    if performers - there:
        mine = [{"actor": {"display": name}} for name in performers - there]
        listed = [*(series.get("performer") or ()), *mine]
        series["performer"] = sorted(listed, key=lambda each: str(each["actor"].get("display", "")))
    by_uid = {str(each["uid"]): each for each in series.get("instance") or ()}
    for instance in instances:
        if instance.instance_uid:
            one = by_uid.setdefault(
                instance.instance_uid, {"uid": instance.instance_uid, "sopClass": codes.sop_class(instance.sop_class)}
            )
            _smallest(one, "number", [instance.number])
            class_told = codes.sop_class(instance.sop_class)
            if class_told["code"] < one["sopClass"].get("code", ""):
                one["sopClass"] = class_told
    if by_uid:
        series["instance"] = sorted(by_uid.values(), key=lambda each: (each.get("number", 2**31), each["uid"]))
    counted = [each.series_instances or 0 for each in instances]
    series["numberOfInstances"] = max(len(by_uid), *counted, int(series.get("numberOfInstances") or 0))
    order = ("id", "extension", "uid", "number", "modality", "description", "numberOfInstances", "endpoint", "bodySite")
    return {name: series[name] for name in order if name in series} | series


def _smallest(element: Json, name: str, told: Iterable[Any], key: Callable[[Any], Any] = lambda value: value) -> None:
    known = [element[name]] if name in element else []
    candidates = [*known, *(value for value in told if value is not None and value != "")]
    if candidates:
        element[name] = min(candidates, key=key)


def _coding_key(coding: Mapping[str, Any]) -> tuple[bool, str, str]:
    """What has a code comes before what has only words."""
    return "code" not in coding, str(coding.get("code", "")), str(coding.get("display", ""))


def _moment_of(element: Mapping[str, Any]) -> str:
    local = own_extension(element.get("_started") or {}, LOCAL_TIME)
    started = str(element.get("started", ""))
    return f"{started}|{local['valueTime']}" if local else started
