"""Insights -> FHIR R4B resources. Pure. (The way back: projection.insights_json.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.states import instant
from fhir_server.processing.engines import NOT_DOCUMENTED

from .narrative import printable, xhtml
from .words import ABSENT, CATEGORIES, CONFIDENCE, ICD10CM, OUTPUTS, PROGRESS_NOTE, SOAP


@dataclass(frozen=True, slots=True)
class Scored:
    """A confidence in 0..1 (None: not said) and the sentences that explain it."""

    value: float | None = None
    explanation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """evidence: (sentence, reference to the document it stands in or None)."""

    name: str
    icd_code: str | None
    description: str
    evidence: tuple[tuple[str, str | None], ...] = ()
    confidence: Scored = Scored()


@dataclass(frozen=True, slots=True)
class Insights:
    """What is known of a case after its analysis; a text that is None was not given."""

    summary: str | None = None
    key_findings: tuple[str, ...] = ()
    lab_summary: str | None = None
    radiology_summary: str | None = None
    summary_confidence: Scored = Scored()
    soap: Mapping[str, str] | None = None
    soap_confidence: Scored = Scored()
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class About:
    """The case: its Task's id, "Patient/x" (None: unknown), and who wrote the insights (a Reference)."""

    case_id: str
    subject: str | None
    author: Json


def resources_of(found: Insights, about: About, *, names: Names, now: datetime) -> dict[str, Json]:
    """Output name -> resource. Ids depend on the case alone, so that a second analysis replaces the first one's."""
    made: dict[str, Json] = {}
    if found.soap is not None:
        made["soap-note"] = _composition(found, about, names, now)
    for category, text in (("lab", found.lab_summary), ("radiology", found.radiology_summary)):
        if text:
            made[f"{category}-summary"] = _report(category, text, about, now)
    if found.diagnosis is not None:
        made["primary-diagnosis"] = _condition(found.diagnosis, about, names, now)
    if found.summary is not None or found.key_findings:
        made["case-summary"] = _impression(found, about, made, names, now)
    return made


def outputs_of(made: Mapping[str, Json], names: Names) -> list[Json]:
    """Task.output items."""
    return [
        {
            "type": names.concept("task-parameter", name, name.replace("-", " ").capitalize()),
            "valueReference": {"reference": f"{resource['resourceType']}/{resource['id']}"},
        }
        for name, resource in made.items()
    ]


def id_of(case_id: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{case_id}/{name}"))


def _start(name: str, about: About, confidence: Scored | None, names: Names) -> Json:
    resource: Json = {"resourceType": OUTPUTS[name], "id": id_of(about.case_id, name)}
    extensions: list[Json] = []
    if confidence is not None:
        if confidence.value is not None:
            extensions.append({"url": CONFIDENCE, "valueDecimal": Decimal(str(round(confidence.value, 4)))})
        extensions += [
            {"url": names.extension("confidence-explanation"), "valueString": printable(sentence)}
            for sentence in confidence.explanation
            if sentence.strip()
        ]
    if extensions:
        resource["extension"] = extensions
    return resource


def _subject(about: About) -> Json:
    if about.subject:
        return {"reference": about.subject}
    return {"extension": [{"url": ABSENT, "valueCode": "unknown"}], "display": "Unidentified patient"}


def _composition(found: Insights, about: About, names: Names, now: datetime) -> Json:
    sections = []
    for name, (code, display) in SOAP.items():
        text = (found.soap or {}).get(name) or ""
        sections.append(
            {
                "title": name.capitalize(),
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": display}]},
                "text": {"status": "generated", "div": xhtml(text if text.strip() else NOT_DOCUMENTED)},
            }
        )
    return _start("soap-note", about, found.soap_confidence, names) | {
        "status": "preliminary",
        "type": {"coding": [dict(PROGRESS_NOTE)]},
        "subject": _subject(about),
        "date": instant(now),
        "author": [about.author],
        "title": "SOAP note",
        "section": sections,
    }


def _report(category: str, text: str, about: About, now: datetime) -> Json:
    kind = CATEGORIES[category]
    return {
        "resourceType": "DiagnosticReport",
        "id": id_of(about.case_id, f"{category}-summary"),
        "status": "preliminary",
        "category": [{"coding": [dict(kind["category"])]}],
        "code": {"coding": [dict(kind["type"])]},
        "subject": _subject(about),
        "issued": instant(now),
        "conclusion": printable(text),
    }


def _condition(diagnosis: Diagnosis, about: About, names: Names, now: datetime) -> Json:
    concept: Json = {"text": printable(diagnosis.name)}
    if diagnosis.icd_code:
        coding = {"system": ICD10CM, "code": diagnosis.icd_code}
        if diagnosis.description:
            coding["display"] = printable(diagnosis.description)
        concept = {"coding": [coding]} | concept
    condition = _start("primary-diagnosis", about, diagnosis.confidence, names) | {
        "clinicalStatus": _coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": _coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "provisional"),
        "category": [_coded("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")],
        "code": concept,
        "subject": _subject(about),
        "recordedDate": instant(now),
    }
    evidence = []
    for sentence, document in diagnosis.evidence:
        if sentence.strip():
            one: Json = {"code": [{"text": printable(sentence)}]}
            evidence.append(one | ({"detail": [{"reference": document}]} if document else {}))
    if evidence:
        condition["evidence"] = evidence
    if diagnosis.description:
        condition["note"] = [{"text": printable(diagnosis.description)}]
    return condition


def _impression(found: Insights, about: About, made: Mapping[str, Json], names: Names, now: datetime) -> Json:
    impression = _start("case-summary", about, found.summary_confidence, names) | {
        "status": "completed",
        "subject": _subject(about),
        "date": instant(now),
    }
    if found.summary:
        impression["summary"] = printable(found.summary)
    if "primary-diagnosis" in made:
        impression["problem"] = [{"reference": f"Condition/{made['primary-diagnosis']['id']}"}]
    findings = [{"itemCodeableConcept": {"text": printable(each)}} for each in found.key_findings if each.strip()]
    if findings:
        impression["finding"] = findings
    investigated = [
        {"reference": f"DiagnosticReport/{made[name]['id']}"}
        for name in ("lab-summary", "radiology-summary")
        if name in made
    ]
    if investigated:
        impression["investigation"] = [{"code": {"text": "Files of the case"}, "item": investigated}]
    return impression


def _coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}
