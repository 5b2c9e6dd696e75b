"""A code system that is a CodeSystem resource in memory: what clients send along, and small ones that are kept here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from terminology.server.designations import Designation, of_json
from terminology.server.systems import Concept, Property, Supplement, System, properties_of

Json = dict[str, Any]
_WORD = re.compile(r"[^\W_]+")


class Listed(System):
    """See System. Concept.key is the concept's JSON."""

    def __init__(self, resource: Json, supplements: Sequence[Supplement] = ()) -> None:
        self.meta = {key: value for key, value in resource.items() if key != "concept"}
        self.supplements = tuple(supplements)
        self._by_code: dict[str, Json] = {}
        self._roots: list[str] = []
        self._up: dict[str, list[str]] = {}
        self._down: dict[str, list[str]] = {}
        self._walk(resource.get("concept") or (), None)
        self._roots = [code for code in self._by_code if code not in self._up]
        self._folded = {} if self.case_sensitive else {code.lower(): code for code in self._by_code}

    def supplemented(self, supplements: Sequence[Supplement]) -> Listed:
        """The same with other supplements; shares the concepts."""
        twin = object.__new__(Listed)
        twin.__dict__.update(self.__dict__)
        twin.supplements = tuple(supplements)
        return twin

    def _walk(self, concepts: Sequence[Json], parent: str | None) -> None:
        waiting: list[tuple[Json, str | None]] = [(concept, parent) for concept in reversed(concepts)]
        while waiting:
            concept, above = waiting.pop()
            code = concept["code"]
            self._by_code[code] = concept
            if above is not None:
                self._link(code, above)
            for item in concept.get("property") or ():
                if item.get("code") in ("parent", "subsumedBy") and item.get("valueCode"):
                    self._link(code, item["valueCode"])
                elif item.get("code") == "child" and item.get("valueCode"):
                    self._link(item["valueCode"], code)
            waiting.extend((child, code) for child in reversed(concept.get("concept") or ()))

    def _link(self, child: str, parent: str) -> None:
        ups = self._up.setdefault(child, [])
        if parent not in ups:
            ups.append(parent)
            self._down.setdefault(parent, []).append(child)

    def _concept(self, code: str) -> Concept | None:
        found = self._by_code.get(code)
        if found is None:
            return None
        display = found.get("display")
        return Concept(found["code"], display.strip() if display else None, found.get("definition"), found)

    def locate(self, code: str) -> Concept | None:
        found = self._concept(code)
        if found is None and self._folded:
            right = self._folded.get(code.lower())
            found = None if right is None else self._concept(right)
        return found

    def concepts(self) -> Iterator[Concept]:
        for code in self._by_code:
            yield self._concept(code)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._by_code)

    @property
    def hierarchical(self) -> bool:
        return bool(self._up)

    def roots(self) -> list[Concept]:
        return self._several(self._roots)

    def _several(self, codes: Sequence[str]) -> list[Concept]:
        return [found for code in codes if (found := self._concept(code)) is not None]

    def children(self, concept: Concept) -> list[Concept]:
        return self._several(self._down.get(concept.code, ()))

    def parents(self, concept: Concept) -> list[Concept]:
        return self._several(self._up.get(concept.code, ()))

    def ancestors(self, code: str) -> set[str]:
        return set(self._reach(code, self._up))

    def descendants(self, code: str) -> list[str]:
        return self._reach(code, self._down)

    @staticmethod
    def _reach(code: str, links: dict[str, list[str]]) -> list[str]:
        found: dict[str, None] = {}
        waiting = list(reversed(links.get(code, ())))
        while waiting:
            one = waiting.pop()
            if one not in found and one != code:
                found[one] = None
                waiting.extend(reversed(links.get(one, ())))
        return list(found)

    def own_designations(self, concept: Concept) -> Sequence[Designation]:
        return [of_json(item) for item in concept.key.get("designation") or ()]

    def own_properties(self, concept: Concept) -> Sequence[Property]:
        return properties_of(concept.key, self.meta)

    def own_extensions(self, concept: Concept) -> Sequence[Json]:
        return concept.key.get("extension") or ()

    def search(self, text: str) -> Iterator[Concept]:
        words = [word.lower() for word in _WORD.findall(text)]
        if not words:
            return
        folded = text.strip().lower()
        found: list[tuple[tuple[int, int], int, Concept]] = []
        for place, concept in enumerate(self.concepts()):
            rank = _rank(concept.code.lower(), [d.value.lower() for d in self.designations(concept)], words, folded)
            if rank is not None:
                found.append((rank, place, concept))
        found.sort(key=lambda one: one[:2])
        for _, _, concept in found:
            yield concept


def _rank(code: str, names: list[str], words: list[str], text: str) -> tuple[int, int] | None:
    """(how good, length); None when it does not match."""
    if code == text:
        return (0, 0)
    best: tuple[int, int] | None = (1, len(code)) if code.startswith(text) else None
    for name in names:
        have = _WORD.findall(name)
        if not all(any(one.startswith(word) for one in have) for word in words):
            continue
        rank = (1 if name == text else 2 if name.startswith(text) else 3, len(name))
        best = rank if best is None else min(best, rank)
    return best
