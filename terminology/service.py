"""The in-process terminology service: what search, validation and the terminology operations ask.

Satisfies the search room's ``Terminology`` protocol. Opening it costs nothing: the index is unpacked once per version
into a cache folder and mapped on first use.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.content import DATA
from terminology.expand import Expander, Members, Unknown
from terminology.index import Index
from terminology.loaded import Loaded
from terminology.server.grammars import GrammarShelf
from terminology.server.indexed import IndexShelf
from terminology.server.library import Library, Shelf
from terminology.server.systems import System

PACKED = DATA / "terminology.sqlite.xz"
_KEPT = 64
_KEEP_UP_TO = 5000


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of a code: properties are (name, value) with parent and child codes among them."""

    system: str
    version: str | None
    code: str
    display: str | None
    definition: str | None
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """message says what is wrong, display is the right one."""

    result: bool
    display: str | None = None
    message: str | None = None


class Terminology:
    """Code systems, value sets and their hierarchies. Thread-safe. None (or Unknown) means: not known here.

    stored: what else there is to find content in; what it raises Missing for is to be fetched and asked again."""

    def __init__(self, cache: Path | None = None, stored: Shelf | None = None) -> None:
        """cache: a folder for index files, e.g. below the data directory; what was loaded is there, too."""
        self._cache = cache
        self._opened: Index | None = None
        self._loaded = Loaded(cache) if cache is not None else None
        self._lock = threading.Lock()
        self._pairs: OrderedDict[str, frozenset[tuple[str, str]]] = OrderedDict()
        self.stored = stored

    @property
    def cache(self) -> Path | None:
        return self._cache

    @property
    def index(self) -> Index:
        """The shipped index, unpacked and opened on first use."""
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = Index(unpacked(self._cache))
        return self._opened

    def indexes(self) -> list[Index]:
        """Every index file: what the operator loaded, and what is shipped."""
        loaded = self._loaded.indexes() if self._loaded is not None else []
        return [*loaded, self.index]

    def library(self, sent: Sequence[dict[str, Any]] = ()) -> Library:
        """Everything that can be asked, with what a client sent before it."""
        shelves: list[Shelf] = [IndexShelf(index) for index in self.indexes()]
        shelves.append(GrammarShelf())
        if self.stored is not None:
            shelves.insert(0, self.stored)
        return Library(shelves, sent)

    def changed(self) -> None:
        """What is stored has changed."""
        with self._lock:
            self._pairs.clear()

    def expand(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """(system, code) pairs of a value set by canonical url (maybe with |version)."""
        if self._loaded is not None and self._loaded.renewed():
            self.changed()
        kept = self._pairs.get(value_set)
        if kept is not None:
            return kept
        try:
            pairs = frozenset(Expander(self.library()).by_url(value_set))
        except Unknown:
            return None
        if len(pairs) <= _KEEP_UP_TO:
            with self._lock:
                self._pairs[value_set] = pairs
                while len(self._pairs) > _KEPT:
                    self._pairs.popitem(last=False)
        return pairs

    def expand_resource(self, value_set: dict[str, Any]) -> Collection[tuple[str, str]] | None:
        """(system, code) pairs of a ValueSet resource."""
        try:
            return frozenset(Expander(self.library()).resource(value_set))
        except Unknown:
            return None

    def members(self, value_set: str | dict[str, Any]) -> Members:
        """(system, code) -> display of a value set by url or as a resource. Raises Unknown."""
        expander = Expander(self.library())
        return expander.by_url(value_set) if isinstance(value_set, str) else expander.resource(value_set)

    def subsumed_by(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or below `code`; None when the system, or its hierarchy, is not here."""
        found = self._hierarchical(system)
        return None if found is None else [code, *found.descendants(code)]

    def subsumes(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or above `code`, the nearest first; None when the system, or its hierarchy, is not here."""
        found = self._hierarchical(system)
        if found is None:
            return None
        above: dict[str, None] = {code: None}
        concept = found.locate(code)
        waiting = [] if concept is None else [concept]
        while waiting:
            for parent in found.parents(waiting.pop(0)):
                if parent.code not in above:
                    above[parent.code] = None
                    waiting.append(parent)
        return list(above)

    def lookup(self, system: str, code: str) -> Lookup | None:
        """What is known of a code; None when the system or the code is not."""
        found = self.library().system(system)
        concept = None if found is None else found.locate(code)
        if found is None or concept is None:
            return None
        properties = [(one.code, one.text) for one in found.properties(concept)]
        properties += [("parent", parent.code) for parent in found.parents(concept)]
        properties += [("child", child.code) for child in found.children(concept)]
        return Lookup(found.url, found.version, concept.code, concept.display, concept.definition, tuple(properties))

    def validate_code(self, system: str, code: str, display: str | None = None) -> Validation | None:
        """Whether a code is in a system (and its display right); None when the system is not known, or the code is
        not among the part of it that is."""
        found = self.library().system(system)
        if found is None:
            return None
        concept = found.locate(code)
        if concept is None:
            if not found.complete:
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
                found = None if one_display else self.lookup(one_system, code)
                return _displayed(display, one_display or (found.display if found else None))
        name = value_set if isinstance(value_set, str) else value_set.get("url", "the value set")
        return Validation(False, None, f"The code {code!r}{f' of {system}' if system else ''} is not in {name}.")

    def _hierarchical(self, url: str) -> System | None:
        found = self.library().system(url)
        if found is None or (not found.complete and not found.hierarchical):
            return None
        return found


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
            file.write(lzma.decompress(packed))
        Path(temporary).chmod(0o444)
        Path(temporary).replace(path)
    return path
