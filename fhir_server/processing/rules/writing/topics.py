"""What a sentence of a conversation or a dictation is about: the part of a note it belongs to."""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from fhir_server.processing.rules.writing.results import results

DATA = Path(__file__).parent / "data"


@cache
def _cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(topic, pattern), the more telling topics first; ``data/topics.tsv`` has one alternative a line."""
    lines = (DATA / "topics.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [(name, pattern) for name, pattern in (line.split("\t") for line in lines)]
    return tuple(
        (name, re.compile("|".join(pattern for _, pattern in group), re.I))
        for name, group in groupby(rows, key=itemgetter(0))
    )


_CLINICIANS = frozenset(("plan", "assessment", "examination", "vitals", "results"))
"""What only the clinician says with authority: a patient's "I think you ..." is none of these."""


@cache
def _courtesy() -> re.Pattern[str]:
    """One or more of the courtesies of ``data/courtesies.txt``, and nothing else."""
    said = "|".join((DATA / "courtesies.txt").read_text(encoding="utf-8").split("\n")[:-1])
    return re.compile(rf"^(?:(?:{said})[\s,.!?]*)+$", re.I)


_ANSWER = re.compile(
    r"^\W*(?:um+|uh+|well|oh)?\W*(?:yes|yeah|yep|yup|no|nope|nah|not (?:really|that i know of|at all)|never|none|i do|"
    r"i don'?t|i have(?:n'?t)?|sometimes|correct|that'?s (?:right|correct)|sure|maybe|a little|a bit|occasionally|"
    r"mm-?hmm|uh-?huh|i (?:think|guess) so|i'?m not sure|nothing)\b",
    re.I,
)


_DOSE = re.compile(r"\b\d+ ?(?:mg|mcg|units)\b(?! ?/)", re.I)
_VITAL = re.compile(r"\b(?:blood pressure|bp|pulse|heart rate|temperature|weight|bmi)\b", re.I)


def topic(said: str, speaker: str) -> str | None:
    """The part of a note a sentence is about; None when it does not say."""
    if speaker != "patient" and results(said) and not _DOSE.search(said):
        return "vitals" if _VITAL.search(said) else "results"
    for name, pattern in _cues():
        if (speaker != "patient" or name not in _CLINICIANS) and pattern.search(said):
            return name
    return None


def is_chat(said: str) -> bool:
    """Whether a sentence is courtesy only."""
    return _courtesy().match(said.strip()) is not None


def is_answer(said: str) -> bool:
    """Whether a sentence means something only with the question before it."""
    return _ANSWER.match(said) is not None and len(said.split()) <= 8
