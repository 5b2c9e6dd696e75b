"""Which parts of a note each section of a template takes, by its title and hints."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fhir_server.processing.engines import TemplateSection
from fhir_server.processing.rules.sections import kind_of

SOAP = (
    TemplateSection("subjective", "Subjective"),
    TemplateSection("objective", "Objective"),
    TemplateSection("assessment", "Assessment"),
    TemplateSection("plan", "Plan"),
)
TOPICS = (
    "chief_complaint", "present_illness", "review_of_systems", "past_history", "surgical_history", "medications",
    "allergies", "immunizations", "family_history", "social_history", "vitals", "examination", "results", "assessment",
    "plan",
)  # fmt: skip
DATA = Path(__file__).parent / "data"


@cache
def _titles() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    """(pattern of a title, topics), the first that fits counts (``data/templates.tsv``)."""
    lines = (DATA / "templates.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return tuple(
        (re.compile(pattern, re.I), tuple(topics.split())) for pattern, topics in (line.split("\t") for line in lines)
    )


_NEAREST: dict[str, tuple[str, ...]] = {
    "chief_complaint": ("present_illness",),
    "review_of_systems": ("present_illness",),
    "surgical_history": ("past_history", "present_illness"),
    "immunizations": ("past_history", "present_illness"),
    "allergies": ("medications", "past_history", "present_illness"),
    "medications": ("past_history", "present_illness"),
    "family_history": ("social_history", "past_history", "present_illness"),
    "social_history": ("past_history", "present_illness"),
    "past_history": ("present_illness",),
    "present_illness": ("chief_complaint",),
    "vitals": ("examination", "results"),
    "results": ("examination", "vitals"),
    "examination": ("vitals", "results"),
    "assessment": ("plan", "results"),
    "plan": ("assessment",),
}


def takes(section: TemplateSection) -> tuple[str, ...]:
    """The topics a section is for; () when its title says nothing that is known."""
    for said in (section.title, *section.hints, section.link_id.replace("-", " ").replace("_", " ")):
        clean = said.strip().rstrip(":")
        for pattern, topics in _titles():
            if pattern.search(clean):
                return topics
        kind = kind_of(clean)
        if kind in TOPICS:
            return (kind,)
        if kind == "differential":
            return ("assessment",)
    return ()


def routes(sections: tuple[TemplateSection, ...]) -> dict[str, int]:
    """topic -> number of the section it goes to: one that is for it, the narrowest first; else for the nearest topic. A
    topic that no section is near to is missing."""
    wanted = [takes(section) for section in sections]
    found: dict[str, int] = {}
    for topic in TOPICS:
        for near in (topic, *_NEAREST.get(topic, ())):
            able = [(len(topics), number) for number, topics in enumerate(wanted) if near in topics]
            if able:
                found[topic] = min(able)[1]
                break
    return found
