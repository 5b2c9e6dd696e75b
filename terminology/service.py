"""The in-process terminology service: what search, validation and the terminology operations ask.

Satisfies the search room's ``Terminology`` protocol. Opening it costs nothing: the index is unpacked once per version
into a cache folder and mapped on first use.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.content import DATA, ICD10CM
from terminology.expand import Expander, Json, Members, Unknown
from terminology.index import Concept, Index, System

PACKED = DATA / "terminology.sqlite.gz"
_KEPT = 64
_KEEP_UP_TO = 5000


@dataclass(frozen=True, slots=True)
class Lookup:
    """CodeSystem/$lookup (R4B 4.8.17): properties are (name, value) with parent and child codes among them."""

    system: System
    code: str
    display: str | None
    definition: str | None
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """$validate-code (R4B 4.8.18, 4.9.17): message says what is wrong, display is the right one."""

    result: bool
    display: str | None = None
    message: str | None = None


class Terminology:
    """Code systems, value sets and their hierarchies. Thread-safe. None (or Unknown) means: not known here."""

    def __init__(self, cache: Path | None = None, find: Callable[[str], Json | None] | None = None) -> None:
        """cache: a folder for the unpacked index, e.g. the data directory; find: ValueSet resources by url."""
        self._cache = cache
        self._opened: Index | None = None
        self._lock = threading.Lock()
        self._find = find
        self._pairs: OrderedDict[str, frozenset[tuple[str, str]]] = OrderedDict()

    @property
    def index(self) -> Index:
        """The index, unpacked and opened on first use."""
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = Index(unpacked(self._cache))
        return self._opened

    @property
    def expander(self) -> Expander:
        return Expander(self.index, self._find)

    def expand(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """(system, code) pairs of a value set by canonical url (maybe with |version)."""
        kept = self._pairs.get(value_set)
        if kept is not None:
            return kept
        try:
            pairs = frozenset(self.expander.by_url(value_set))
        except Unknown:
            return None
        if self._find is None and len(pairs) <= _KEEP_UP_TO:
            with self._lock:
                self._pairs[value_set] = pairs
                while len(self._pairs) > _KEPT:
                    self._pairs.popitem(last=False)
        return pairs

    def expand_resource(self, value_set: dict[str, Any]) -> Collection[tuple[str, str]] | None:
        """(system, code) pairs of a ValueSet resource."""
        try:
            return frozenset(self.expander.resource(value_set))
        except Unknown:
            return None

    def members(self, value_set: str | dict[str, Any]) -> Members:
        """(system, code) -> display of a value set by url or as a resource. Raises Unknown."""
        if isinstance(value_set, str):
            return self.expander.by_url(value_set)
        return self.expander.resource(value_set)

    def subsumed_by(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or below `code`; None when the system, or its hierarchy, is not here."""
        found = self._hierarchical(system)
        if found is None:
            return None
        stem = self._stem(found, code)
        below = self.index.below(found, stem)
        if found.url != ICD10CM:
            return below
        if stem != code:
            return [code]
        return [full for one in below for full in (one, *self._completed(found, one))]

    def subsumes(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or above `code`; None when the system, or its hierarchy, is not here."""
        found = self._hierarchical(system)
        if found is None:
            return None
        stem = self._stem(found, code)
        above = self.index.above(found, stem)
        return above if stem == code else [code, *above]

    def lookup(self, system: str, code: str) -> Lookup | None:
        """What is known of a code; None when the system or the code is not."""
        found = self.index.system(system)
        if found is None:
            return None
        concept = self._concept(found, code)
        if concept is None:
            return None
        stem = self._stem(found, concept.code)
        properties = [(n, v) for n, v in self.index.properties(found, stem) if n != "seventh"]
        parents = self.index.parents(found, stem) if stem == concept.code else [stem]
        properties += [("parent", parent) for parent in parents]
        if stem == concept.code:
            properties += [("child", child) for child in self.index.children(found, stem)]
        return Lookup(found, concept.code, concept.display, concept.definition, tuple(properties))

    def validate_code(self, system: str, code: str, display: str | None = None) -> Validation | None:
        """Whether a code is in a system (and its display right); None when the system is not known, or the code is
        not among the part of it that is."""
        found = self.index.system(system)
        if found is None:
            return None
        concept = self._concept(found, code)
        if concept is None:
            if found.content != "complete":
                return None
            return Validation(False, None, f"The code {code!r} is not in the code system {system}.")
        return _displayed(display, concept.display)

    def validate_member(
        self, value_set: str | dict[str, Any], system: str | None, code: str, display: str | None = None
    ) -> Validation:
        """Whether a code is in a value set; system None: in any system of it. Raises Unknown."""
        members = self.members(value_set)
        for (one_system, one_code), one_display in members.items():
            if one_code == code and (system is None or system == one_system):
                return _displayed(display, one_display or self._display(one_system, code))
        name = value_set if isinstance(value_set, str) else value_set.get("url", "the value set")
        return Validation(False, None, f"The code {code!r}{f' of {system}' if system else ''} is not in {name}.")

    def _display(self, system: str, code: str) -> str | None:
        found = self.lookup(system, code)
        return found.display if found else None

    def _hierarchical(self, url: str) -> System | None:
        found = self.index.system(url)
        if found is None or (found.content != "complete" and not self.index.has_hierarchy(found)):
            return None
        return found

    def _concept(self, system: System, code: str) -> Concept | None:
        concept = self.index.concept(system, code)
        if concept is None and system.url == ICD10CM:
            stem = self._stem(system, code)
            base = self.index.concept(system, stem)
            if base is not None and code in self._completed(system, stem):
                return Concept(code, base.display, None)
        return concept

    def _stem(self, system: System, code: str) -> str:
        """An ICD-10-CM code without its seventh character, when it has one; else the code."""
        if system.url != ICD10CM or len(code) != 8:
            return code
        stem = code[:-1]
        while stem and self.index.concept(system, stem) is None and stem[-1] == "X":
            stem = stem[:-1].rstrip(".")
        return stem if stem and self.index.concept(system, stem) is not None else code

    def _completed(self, system: System, code: str) -> list[str]:
        """An ICD-10-CM code with each seventh character that it takes, padded with X to the sixth place."""
        if self.index.children(system, code):
            return []
        letters = next((v for n, v in self.index.properties(system, code) if n == "seventh"), "")
        dotted = code if "." in code else f"{code}."
        return [dotted.ljust(7, "X") + letter for letter in letters if letter != "|"]


def _displayed(given: str | None, right: str | None) -> Validation:
    if given is None or right is None or given.casefold() == right.casefold():
        return Validation(True, right)
    return Validation(False, right, f"The display {given!r} is not right; it is {right!r}.")


def unpacked(cache: Path | None = None) -> Path:
    """The index file, unpacked from the package once per version into `cache` (default: the user's cache folder)."""
    packed = PACKED.read_bytes()
    name = f"terminology-{hashlib.sha256(packed).hexdigest()[:16]}.sqlite"
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fhir-server"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder) if not (folder / name).exists() else (None, "")
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="fhir-server-"))
        handle, temporary = tempfile.mkstemp(dir=folder)
    path = folder / name
    if handle is not None:
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.decompress(packed))
        Path(temporary).chmod(0o444)
        Path(temporary).replace(path)
    return path
