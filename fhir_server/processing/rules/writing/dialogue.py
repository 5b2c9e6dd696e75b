"""Who said what: a transcript as turns, with or without labels for the speakers."""

from __future__ import annotations

import re

from fhir_server.processing.engines import Turn
from fhir_server.processing.rules.sections import sections

_LABEL = re.compile(
    r"^[ \t]*(?:\[?\(?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?\)?\]?[ \t\-]*)?"
    r"(?P<who>(?:dr\.?|doctor|physician|clinician|provider|nurse|np|pa|therapist|md|patient|pt|guest_family|"
    r"guest_clinician|mother|father|mom|dad|parent|wife|husband|son|daughter|caregiver|family|interviewer|speaker|d|p)"
    r"(?:[ _.]+(?-i:(?!Name|Id|Age)[A-Z][a-z]+|\d{1,2}))?)[ \t]*[:>][ \t]*",
    re.I | re.M,
)
_CLINICIAN = re.compile(
    r"^(?:dr|doctor|physician|clinician|provider|nurse|np|pa|therapist|md|guest_clinician|interviewer|d)\b", re.I
)
_PATIENT = re.compile(r"^(?:patient|pt|p)\b", re.I)
_FEWEST = 2
"""Speakers that make a conversation; one is the clinician, or they are numbered ("Mother: stroke" is none)."""
_HEADINGS = 2
"""Known headings up to which a text without any question may still be a conversation."""


def turns(text: str) -> tuple[tuple[Turn, int], ...]:
    """The turns of a labelled transcript, each with the offset of its words; () when the text has no labels."""
    labels = list(_LABEL.finditer(text))
    speakers = {label["who"].lower() for label in labels}
    if len(speakers) < _FEWEST or not {speaker(one) for one in speakers} & {"clinician", ""}:
        return ()
    if "?" not in text and sum(1 for section in sections(text) if section.kind) > _HEADINGS:
        return ()
    found = []
    for number, label in enumerate(labels):
        end = labels[number + 1].start() if number + 1 < len(labels) else len(text)
        said = text[label.end() : end].rstrip()
        if said.strip():
            found.append((Turn(said, speaker(label["who"])), label.end()))
    return tuple(found)


def speaker(label: str) -> str:
    """ "clinician", "patient", "other" or "" for a label as it is written."""
    if _CLINICIAN.match(label):
        return "clinician"
    if _PATIENT.match(label):
        return "patient"
    return "" if label.lower().startswith("speaker") else "other"
