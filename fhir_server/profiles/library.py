"""What profiles are at hand while a resource is validated: the standard's, and those a source brings in.

Validation itself does not wait. It asks the library, which remembers what it did not have; the caller fetches that and
validates again, until nothing new is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fhir_server.profiles.profile import Profile, build_profile
from fhir_server.profiles.snapshot import base_structure, generate_snapshot
from fhir_server.r4b.definitions import definitions

_STANDARD = "http://hl7.org/fhir/StructureDefinition/"

Codings = Sequence[tuple[str | None, str]]


class Library:
    """Profiles and value sets by canonical URL."""

    def __init__(self) -> None:
        self._structures: dict[str, Mapping[str, Any]] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._absent: set[str] = set()
        #: Canonical URLs of structures that were asked for and are not here.
        self.missing: set[str] = set()
        self._value_sets: dict[str, tuple[frozenset[tuple[str, str]], frozenset[str]] | None] = {}
        #: Canonical URLs of value sets that were asked for and are not here.
        self.missing_value_sets: set[str] = set()
        #: What could not be used, and why, by URL.
        self.broken: dict[str, str] = {}

    def size(self) -> int:
        """How much it holds."""
        return len(self._structures) + len(self._value_sets) + len(self._absent)

    def add(self, url: str, structure: Mapping[str, Any] | None) -> None:
        """Put a StructureDefinition on the shelf; None says that there is none, so that nobody asks again."""
        url = url.partition("|")[0]
        self.missing.discard(url)
        self._profiles.clear()
        if structure is None:
            self._absent.add(url)
        else:
            self._structures[url] = structure

    def add_value_set(self, url: str, pairs: Collection[tuple[str, str]] | None) -> None:
        """The (system, code) pairs of a value set; None says that they are not known here."""
        self.missing_value_sets.discard(url)
        if pairs is None:
            self._value_sets[url] = None
        else:
            self._value_sets[url] = (frozenset(pairs), frozenset(code for _, code in pairs))

    def profile(self, url: str) -> Profile | None:
        url = url.partition("|")[0]
        if url not in self._profiles:
            structure = self.structure(url)
            if structure is None and url not in self._absent:
                return None
            self._profiles[url] = build_profile(structure) if structure is not None else None
        return self._profiles[url]

    def structure(self, url: str) -> Mapping[str, Any] | None:
        """With a snapshot, made from the differential when it was not sent along."""
        url = url.partition("|")[0]
        found = self._structures.get(url)
        if found is None:
            found = self._of_the_standard(url)
            if found is None and url not in self._absent:
                self.missing.add(url)
            return found
        if found.get("snapshot", {}).get("element"):
            return found
        try:
            made = generate_snapshot(found, self.structure)
        except ValueError as error:
            self.broken[url] = str(error)
            return None
        self._structures[url] = made
        return made

    def _of_the_standard(self, url: str) -> Mapping[str, Any] | None:
        if not url.startswith(_STANDARD):
            return None
        try:
            made = base_structure(url.removeprefix(_STANDARD))
        except KeyError:
            stated = definitions().profile(url)
            if stated is None:
                return None
            # The standard's own profiles are kept as differentials.
            made = generate_snapshot(stated, self.structure)
        self._structures[url] = made
        return made

    def member_of(self, value_set: str, codings: Codings) -> bool | None:
        value_set = value_set.partition("|")[0]
        code_set = definitions().required_binding(value_set)
        if code_set is not None:
            return any(
                code in code_set.plain if system is None else (system, code) in code_set.codes
                for system, code in codings
            )
        if value_set not in self._value_sets:
            self.missing_value_sets.add(value_set)
            return None
        known = self._value_sets[value_set]
        if known is None:
            return None
        pairs, codes = known
        return any(code in codes if system is None else (system, code) in pairs for system, code in codings)
