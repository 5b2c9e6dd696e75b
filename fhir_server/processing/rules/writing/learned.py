"""Which part of a note the words of an exchange belong to, where no rule says it (see ``generate.topics``)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from terminology.fold import fold
from terminology.words import word

DATA = Path(__file__).parent / "data"
LEARNED = (
    "present_illness", "review_of_systems", "past_history", "surgical_history", "medications", "allergies",
    "immunizations", "family_history", "social_history", "examination", "results", "assessment", "plan",
)  # fmt: skip
_TOKEN = re.compile(r"[a-z]{2,}|\d+")


def tokens(text: str) -> list[str]:
    """The words of an exchange as the table has them."""
    return [word(one) if one.isalpha() else "0" for one in _TOKEN.findall(fold(text))]


@cache
def _weights() -> dict[str, tuple[int, ...]]:
    lines = (DATA / "topic-words.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {name: tuple(map(int, rest)) for name, *rest in (line.split("\t") for line in lines)}


def scores(text: str) -> dict[str, int]:
    """topic -> how much the words speak for it, in hundredths of a natural logarithm. {} when no word tells."""
    table = _weights()
    found = [table[one] for one in set(tokens(text)) if one in table]
    return dict(zip(LEARNED, map(sum, zip(*found, strict=True)), strict=True)) if found else {}
