"""The Alphabetic Index, Neoplasm table, titles and inclusion terms as sets of words: which codes do they lead to?

An entry holds for a text when all its words are said there; of those that hold, the one with the most words leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from terminology.content import rows


@dataclass(frozen=True, slots=True)
class Lead:
    """An entry all whose words were said, and the code it leads to (not always billable)."""

    code: str
    said: tuple[str, ...]


class Lexicon:
    """Entries by their rarest word; each is kept as one string until it is asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, list[str]] = {}
        self._read: dict[str, tuple[tuple[Lead, frozenset[str]], ...]] = {}
        for code, said in rows("icd10cm-lexicon.tsv.gz"):
            rarest, _, rest = said.partition(" ")
            self._entries.setdefault(rarest, []).append(f"{code} {rest}")

    def leads(self, said: frozenset[str]) -> Iterator[Lead]:
        """Every entry whose words are all among those said."""
        for rarest in said:
            for lead, rest in self._read.get(rarest) or self._by(rarest):
                if rest <= said:
                    yield lead

    def _by(self, rarest: str) -> tuple[tuple[Lead, frozenset[str]], ...]:
        """The entries under a word, taken apart when first asked for: a note uses few of them."""
        parts = (entry.split() for entry in self._entries.get(rarest, ()))
        found = tuple((Lead(code, (rarest, *rest)), frozenset(rest)) for code, *rest in parts)
        if found:
            self._read[rarest] = found
        return found

    def exact(self, said: frozenset[str]) -> str | None:
        """The code of the entry with exactly these words."""
        for lead in self.leads(said):
            if len(lead.said) == len(said):
                return lead.code
        return None


@cache
def lexicon() -> Lexicon:
    """The lexicon, read on first use and kept for the process."""
    return Lexicon()
