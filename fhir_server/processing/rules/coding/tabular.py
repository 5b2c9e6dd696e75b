"""The tabular list of ICD-10-CM as coding asks it: which codes are billable, what is below them, what excludes what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

from terminology.content import rows
from terminology.words import words

_VAGUE = ("uncomplicated", "without ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One code of the list; seventh: (character, meaning) pairs that a complete code must choose from."""

    title: str
    parent: str
    seventh: tuple[tuple[str, str], ...]
    leaf: bool


class Tabular:
    """The list, held in memory (about 25 MB): for workers, not for API processes."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, list[str]] = {}
        sevenths: dict[str, tuple[tuple[str, str], ...]] = {"": ()}
        for kind, code, parent, title, _, _, seventh, leaf in rows("icd10cm.tsv.gz"):
            if kind != "code":
                continue
            if seventh not in sevenths:
                sevenths[seventh] = tuple(
                    (part[0], part[2:]) for part in seventh.split("|") if len(part) > 1 and part[1] == "="
                )
            self._entries[code] = Entry(title, parent, sevenths[seventh], leaf == "1")
            if "." in code:
                self._children.setdefault(parent, []).append(code)
        self._notes: dict[tuple[str, str], tuple[str, ...]] = {
            (code, kind): tuple(named.split("|")) for code, kind, named in rows("icd10cm-notes.tsv.gz")
        }
        self.complete = lru_cache(maxsize=16384)(self._complete)
        self.noted = lru_cache(maxsize=16384)(self._noted)

    def known(self, code: str) -> bool:
        """Whether the code, or what it is without its seventh character, is in the list."""
        return code in self._entries or self._stem(code) is not None

    def billable(self, code: str) -> bool:
        """Whether the code may stand on a claim: nothing below it, and its seventh character given when it has one."""
        entry = self._entries.get(code)
        if entry is not None:
            return entry.leaf and not entry.seventh
        return self._stem(code) is not None

    def title(self, code: str) -> str:
        """The official title; of a code with seventh character, with its meaning. "" when not known."""
        entry = self._entries.get(code)
        if entry is not None:
            return entry.title
        stem = self._stem(code)
        if stem is None:
            return ""
        found = self._entries[stem]
        meaning = dict(found.seventh).get(code[-1], "")
        return f"{found.title}, {meaning}".rstrip(", ")

    def parted(self, code: str) -> tuple[str, str]:
        """A code without its seventh character, and that character ("" when it has none)."""
        stem = None if code in self._entries else self._stem(code)
        return (code, "") if stem is None else (stem, code[-1])

    def _stem(self, code: str) -> str | None:
        if len(code) != 8:
            return None
        stem = code[:-1]
        while stem not in self._entries and stem[-1:] == "X":
            stem = stem[:-1].rstrip(".")
        entry = self._entries.get(stem)
        return stem if entry and entry.leaf and code[-1] in dict(entry.seventh) else None

    def vague(self, code: str) -> bool:
        """Whether the title says that something was not specified."""
        title = self.title(code).lower()
        return "unspecified" in title or title.startswith("other ")

    def telling(self, code: str) -> bool:
        """Whether the title says something beyond the disease itself."""
        return not self.vague(code) and not any(said in self.title(code).lower() for said in _VAGUE)

    def children(self, code: str) -> list[str]:
        return self._children.get(code, [])

    def _complete(self, code: str, said: frozenset[str]) -> str | None:
        """The billable code at or below `code` that fits the words said: what they say where they say it, else the
        unspecified one. None when the list leaves no default (a choice that nobody stated)."""
        for _ in range(5):
            entry = self._entries.get(code)
            if entry is None:
                return code if self.billable(code) else None
            below = self._children.get(code)
            if not below:
                break
            chosen = self._child(entry, below, said)
            if chosen is None:
                return None
            code = chosen
        entry = self._entries[code]
        if not entry.seventh:
            return code
        letter = _seventh(entry.seventh, said)
        dotted = code if "." in code else f"{code}."
        return dotted.ljust(7, "X") + letter if letter else None

    def _child(self, entry: Entry, below: list[str], said: frozenset[str]) -> str | None:
        known = set(words(entry.title))
        best, most = None, 0.0
        for code in below:
            title = self._entries[code].title.lower()
            telling = set(words(title.split("without")[0])) - known - {"other", "primary", "female"}
            vague = "unspecified" in title or "without" in title or "uncomplicated" in title
            if telling - {"uncomplicated", "site"} <= said and not title.startswith("other"):
                score = len(telling & said) + (0.5 if vague else 0.1)
            elif vague and "unspecified" in title and not telling & {"right", "left", "bilateral"}:
                score = 0.4
            elif code.endswith(("9", "0")) and "other" not in title:
                score = 0.05
            else:
                continue
            if score > most:
                best, most = code, score
        return best

    def _noted(self, code: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """The codes and ranges that notes of these kinds at the code or above it name."""
        found: list[str] = []
        at: str | None = code if code in self._entries else self._stem(code)
        while at:
            for kind in kinds:
                found.extend(self._notes.get((at, kind), ()))
            entry = self._entries.get(at)
            at = entry.parent if entry and entry.parent != at else None
        return tuple(found)

    def excludes(self, code: str) -> tuple[str, ...]:
        """The codes and ranges that an Excludes1 note at the code or above it names."""
        return self.noted(code, ("excludes1",))

    def first(self, code: str) -> tuple[str, ...]:
        """The codes that a note "code first" at the code or above it names."""
        return self.noted(code, ("first",))


def _seventh(choices: tuple[tuple[str, str], ...], said: frozenset[str]) -> str | None:
    letters = dict(choices)
    if "sequela" in said and "S" in letters:
        return "S"
    if "open" in said and "B" in letters and "open" in letters["B"]:
        return "B"
    if said & {"subsequent", "healing", "followup"} and "D" in letters:
        return "D"
    if "A" in letters:
        return "A"
    best, most = None, 0
    for letter, meaning in choices:
        if "unspecified" in meaning:
            best = best or letter
        elif set(words(meaning)) <= said and len(words(meaning)) > most:
            best, most = letter, len(words(meaning))
    return best or ("0" if "0" in letters else None)


@lru_cache(maxsize=131072)
def within(code: str, named: str) -> bool:
    """Whether a code lies at or below a code, or in a range of codes ("I20-I25"), that a note names."""
    low, _, high = named.partition("-")
    if not high:
        return code == low or (code.startswith(low) and (len(low) > 3 or code[3:4] in ("", ".")))
    return low <= code[: len(low)] and code[: len(high)] <= high


@cache
def tabular() -> Tabular:
    """The list, read on first use and kept for the process."""
    return Tabular()
