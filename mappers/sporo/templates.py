"""Note templates are Questionnaires: those that are shipped, and which others count as one. Pure.

A template is an active Questionnaire with a title whose `code` is the LOINC code of a kind of note; its items are the
sections, in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fhir_server.jobs.names import Json, Names
from fhir_server.processing.engines import TemplateSection

from .translate import LOINC, TEMPLATE_ID, minted

VERSION: Final = "1.0"
"""Questionnaire.version of what is shipped: raised when a template changes, else what a site has edited stays."""

#: LOINC codes of kinds of notes: a Questionnaire with one of them is a template.
NOTE_TYPES: Final = {
    "34109-9": "Note",
    "11506-3": "Progress note",
    "34117-2": "History and physical note",
    "11488-4": "Consult note",
    "18842-5": "Discharge summary",
    "18748-4": "Diagnostic imaging study",
    "34752-6": "Cardiology Note",
    "34131-3": "Outpatient Progress note",
    "28628-6": "Psychiatry Note",
    "34111-5": "Emergency department Note",
    "34746-8": "Nurse Note",
    "28570-0": "Procedure note",
    "11504-8": "Surgical operation note",
    "34108-1": "Outpatient Note",
    "34112-3": "Hospital Note",
    "34130-5": "Hospital Progress note",
    "34133-9": "Summary of episode note",
    "34099-2": "Cardiology Consult note",
    "34788-0": "Psychiatry Consult note",
    "28627-8": "Psychiatry Progress note",
    "28623-7": "Nurse Progress note",
    "34745-0": "Nurse Discharge summary",
    "34105-7": "Hospital Discharge summary",
    "34748-4": "Telephone encounter Note",
    "34140-4": "Transfer of care referral note",
    "18761-7": "Transfer summary note",
    "28636-9": "Initial evaluation note",
    "18776-5": "Plan of care note",
    "59283-2": "Well child visit note",
    "34786-4": "Mental health Note",
    "34765-8": "General medicine Note",
    "34766-6": "General medicine Outpatient Note",
    "34797-1": "Neurology Consult note",
    "34806-0": "Oncology Note",
    "34830-0": "Pulmonary Note",
    "34815-1": "Orthopaedic surgery Note",
    "34778-1": "Obstetrics and Gynecology Note",
    "34808-6": "Ophthalmology Note",
    "34759-1": "Dermatology Note",
    "34796-3": "Nephrology Note",
}

#: Section -> (title, LOINC code, what belongs there).
_SECTIONS: Final = {
    "complaint": ("Chief Complaint", "10154-3", "Why the patient comes, in the patient's words."),
    "hpi": ("History of Present Illness", "10164-2", "Onset, course, severity, what makes it better or worse."),
    "past": ("Past Medical History", "11348-0", "Earlier illnesses, operations, hospital stays."),
    "medications": ("Medications", "10160-0", "What the patient takes, with dose and frequency."),
    "allergies": ("Allergies", "48765-2", "Substances and reactions."),
    "family": ("Family History", "10157-6", "Illnesses of relatives."),
    "social": ("Social History", "29762-2", "Smoking, alcohol, drugs, work, living situation."),
    "ros": ("Review of Systems", "10187-3", "Symptoms asked for, by organ system."),
    "vitals": ("Vital Signs", "8716-3", "Blood pressure, pulse, temperature, breathing, oxygen, weight."),
    "exam": ("Physical Examination", "29545-1", "Findings of the examination."),
    "results": ("Results", "30954-2", "Laboratory, imaging and other tests."),
    "assessment": ("Assessment", "51848-0", "Diagnoses and what they rest on."),
    "plan": ("Plan", "18776-5", "Treatment, tests, referrals, follow-up."),
    "subjective": ("Subjective", "61150-9", "What the patient reports."),
    "objective": ("Objective", "61149-1", "Vital signs, examination, results."),
    "interval": ("Interval History", "10164-2", "What has changed since the last note."),
    "referral": ("Reason for Consultation", "42349-1", "Who asks what."),
    "recommendations": ("Recommendations", "18776-5", "Advice to who asked."),
    "admission": ("Reason for Admission", "46241-6", "Why the patient was admitted."),
    "course": ("Hospital Course", "8648-8", "What happened during the stay."),
    "discharge_diagnoses": ("Discharge Diagnoses", "11535-2", "Diagnoses at discharge."),
    "discharge_medications": ("Discharge Medications", "10183-2", "Medicines to be taken at home."),
    "instructions": ("Discharge Instructions", "8653-8", "What the patient was told; follow-up."),
    "condition": ("Condition at Discharge", "", "How the patient was at discharge."),
    "indication": ("Indication", "18785-6", "Why the examination was done; clinical question."),
    "technique": ("Technique", "55111-9", "How the images were made; contrast."),
    "comparison": ("Comparison", "18834-2", "Earlier examinations."),
    "findings": ("Findings", "59776-5", "What the images show."),
    "impression": ("Impression", "19005-8", "What it means."),
    "cardiac": ("Cardiac History", "11348-0", "Heart disease, interventions, devices, risk factors."),
    "cardiac_tests": ("Cardiac Investigations", "30954-2", "ECG, echocardiography, stress test, catheterisation."),
    "birth": ("Birth and Developmental History", "", "Pregnancy, birth, milestones, growth."),
    "immunisations": ("Immunisations", "11369-6", "Vaccines given and due."),
    "feeding": ("Feeding and Sleep", "", "Diet, appetite, sleep."),
    "psychiatric": ("Psychiatric History", "", "Earlier episodes, treatment, hospital stays, self-harm."),
    "substances": ("Substance Use", "", "Alcohol, nicotine, drugs."),
    "mental": ("Mental Status Examination", "10190-7", "Appearance, mood, affect, thought, cognition, insight."),
    "risk": ("Risk Assessment", "", "Danger to self or others, protective factors."),
    "triage": ("Mode of Arrival and Triage", "", "How the patient came, urgency."),
    "ed_course": ("Emergency Department Course", "", "Treatment given, response, reassessment."),
    "disposition": ("Disposition", "", "Discharge, admission or transfer; follow-up."),
    "nursing_assessment": ("Nursing Assessment", "51848-0", "State of the patient: pain, skin, mobility, intake."),
    "interventions": ("Interventions", "", "Care given, medicines administered."),
    "response": ("Patient Response", "", "How the patient responded."),
    "education": ("Patient Education", "", "What was explained to patient and family."),
}
#: The beginning of every history, in the order that is usual.
_HISTORY: Final = ("complaint", "hpi", "past", "medications", "allergies", "family", "social")

#: (key, title, short description, LOINC code, sections)
_SHIPPED: Final[tuple[tuple[str, str, str, str, tuple[str, ...]], ...]] = (
    (
        "general",
        "GENERAL TEMPLATE",
        "A minimal and versatile template designed for any clinical interview.",
        "34109-9",
        ("complaint", "hpi", "past", "medications", "allergies", "exam", "assessment", "plan"),
    ),
    (
        "soap",
        "SOAP NOTE",
        "Subjective, objective, assessment and plan: the classic note of a visit.",
        "11506-3",
        ("subjective", "objective", "assessment", "plan"),
    ),
    (
        "history-and-physical",
        "HISTORY AND PHYSICAL",
        "A complete history and physical examination, as at an admission or a first visit.",
        "34117-2",
        (*_HISTORY, "ros", "vitals", "exam", "results", "assessment", "plan"),
    ),
    (
        "progress",
        "PROGRESS NOTE",
        "What has changed since the last note, for inpatient rounds and follow-up visits.",
        "11506-3",
        ("interval", "medications", "vitals", "exam", "results", "assessment", "plan"),
    ),
    (
        "consult",
        "CONSULTATION NOTE",
        "A specialist's answer to a colleague's question, with recommendations.",
        "11488-4",
        ("referral", "hpi", "past", "medications", "allergies", "exam", "results", "assessment", "recommendations"),
    ),
    (
        "discharge",
        "DISCHARGE SUMMARY",
        "Hospital course, diagnoses, medicines and follow-up for those who go on treating the patient.",
        "18842-5",
        (
            "admission",
            "discharge_diagnoses",
            "course",
            "results",
            "condition",
            "discharge_medications",
            "allergies",
            "instructions",
        ),
    ),
    (
        "radiology",
        "RADIOLOGY REPORT",
        "Indication, technique, comparison, findings and impression of an imaging study.",
        "18748-4",
        ("indication", "technique", "comparison", "findings", "impression"),
    ),
    (
        "cardiology",
        "CARDIOLOGY NOTE",
        "A visit to the cardiologist: symptoms, risk factors, investigations and plan.",
        "34752-6",
        (
            "complaint",
            "hpi",
            "cardiac",
            "medications",
            "allergies",
            "family",
            "vitals",
            "exam",
            "cardiac_tests",
            "assessment",
            "plan",
        ),
    ),
    (
        "paediatric",
        "PAEDIATRIC NOTE",
        "A child's visit (pediatrics): growth and development, immunisations, feeding, examination.",
        "34131-3",
        (
            "complaint",
            "hpi",
            "birth",
            "immunisations",
            "feeding",
            "medications",
            "allergies",
            "family",
            "vitals",
            "exam",
            "assessment",
            "plan",
        ),
    ),
    (
        "psychiatry",
        "PSYCHIATRY NOTE",
        "A psychiatric interview: history, mental status, risk and treatment plan.",
        "28628-6",
        (
            "complaint",
            "hpi",
            "psychiatric",
            "substances",
            "past",
            "medications",
            "family",
            "social",
            "mental",
            "risk",
            "assessment",
            "plan",
        ),
    ),
    (
        "emergency",
        "EMERGENCY DEPARTMENT NOTE",
        "An emergency visit from triage to disposition.",
        "34111-5",
        (
            "triage",
            "complaint",
            "hpi",
            "past",
            "medications",
            "allergies",
            "vitals",
            "exam",
            "results",
            "ed_course",
            "assessment",
            "disposition",
        ),
    ),
    (
        "nursing",
        "NURSING NOTE",
        "A nurse's note: assessment, interventions, response, education and plan of care.",
        "34746-8",
        ("vitals", "nursing_assessment", "interventions", "response", "education", "plan"),
    ),
)
#: The one id that the vendor's documentation shows.
_KNOWN_IDS: Final = {"general": "66eb0bfe20db7d898c8e5c4e"}


def template_id(key: str) -> str:
    """The id of a shipped template: 24 hex digits, the same on every server."""
    return _KNOWN_IDS.get(key) or hashlib.sha256(f"sporo-template/{key}".encode()).hexdigest()[:24]


def shipped(names: Names) -> list[Json]:
    """The community templates that come with the server."""
    return [
        {
            "resourceType": "Questionnaire",
            "id": template_id(key),
            "url": f"{names.base}/Questionnaire/{template_id(key)}",
            "identifier": [{"system": TEMPLATE_ID, "value": template_id(key)}],
            "version": VERSION,
            "name": "".join(word.capitalize() for word in key.split("-")) + "Template",
            "title": title,
            "status": "active",
            "subjectType": ["Patient"],
            "description": description,
            "code": [{"system": LOINC, "code": loinc, "display": NOTE_TYPES[loinc]}],
            "item": [_item(section) for section in sections],
        }
        for key, title, description, loinc, sections in _SHIPPED
    ]


def _item(section: str) -> Json:
    title, loinc, hint = _SECTIONS[section]
    found: Json = {"linkId": section.replace("_", "-"), "text": title, "type": "text"}
    if loinc:
        found["code"] = [{"system": LOINC, "code": loinc}]
    found["item"] = [{"linkId": f"{found['linkId']}-hint", "text": hint, "type": "display"}]
    return found


def is_template(questionnaire: Mapping[str, Any]) -> bool:
    """Whether a Questionnaire is a note template. (R4B's search parameter `code` is about items, so it cannot say.)"""
    return (
        questionnaire.get("status") == "active"
        and bool(questionnaire.get("title"))
        and any(
            coding.get("system") == LOINC and coding.get("code") in NOTE_TYPES
            for coding in questionnaire.get("code") or ()
        )
    )


def vendor_id(template: Mapping[str, Any]) -> str:
    """`_id`"""
    return minted("Questionnaire", str(template["id"]))


def catalogue(templates: Iterable[Mapping[str, Any]], *, name: str = "", search: str = "") -> list[Json]:
    """The templates as the vendor lists them, by name. `name` and `search` are looked for without regard to case."""
    shown = [
        {
            "_id": vendor_id(template),
            "name": str(template["title"]),
            "short_description": str(template.get("description") or ""),
        }
        for template in templates
        if template.get("title")
    ]
    wanted, words = name.casefold(), search.casefold()
    found = [
        each
        for each in shown
        if wanted in each["name"].casefold()
        and (words in each["name"].casefold() or words in each["short_description"].casefold())
    ]
    return sorted(found, key=lambda each: (each["name"].casefold(), each["_id"]))


def sections(template: Mapping[str, Any]) -> tuple[TemplateSection, ...]:
    """The sections that a note by this template has."""
    return tuple(_sections(template.get("item") or ()))


def _sections(items: Sequence[Mapping[str, Any]]) -> Iterator[TemplateSection]:
    for item in items:
        if item.get("type") == "display" or not item.get("text"):
            continue
        inner = item.get("item") or ()
        hints = [str(coding["code"]) for coding in item.get("code") or () if coding.get("code")]
        hints += [str(coding["display"]) for coding in item.get("code") or () if coding.get("display")]
        hints += [str(each["text"]) for each in inner if each.get("type") == "display" and each.get("text")]
        yield TemplateSection(str(item["linkId"]), str(item["text"]), tuple(hints))
        yield from _sections(inner)
