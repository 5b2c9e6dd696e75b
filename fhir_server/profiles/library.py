"""What profiles are at hand while a resource is validated: the standard's, and those a source brings in.

Validation itself does not wait. It asks the library, which remembers what it did not have; the caller fetches that and
validates again, until nothing new is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhir_server.profiles.profile import Profile, build_profile
from fhir_server.profiles.snapshot import base_structure, generate_snapshot
from fhir_server.r4b.definitions import definitions

_STANDARD = "http://hl7.org/fhir/StructureDefinition/"

Codings = Sequence[tuple[str | None, str]]


class Library:
    """Profiles and value sets by canonical URL. contains: (value set url, codings) -> bool, None when unknown."""

    def __init__(self, contains: Callable[[str, Codings], bool | None] | None = None) -> None:
        self._contains = contains
        self._structures: dict[str, Mapping[str, Any]] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._absent: set[str] = set()
        #: Canonical URLs of structures that were asked for and are not here.
        self.missing: set[str] = set()
        #: What could not be used, and why, by URL.
        self.broken: dict[str, str] = {}

    def add(self, url: str, structure: Mapping[str, Any] | None) -> None:
        """Put a StructureDefinition on the shelf; None says that there is none, so that nobody asks again."""
        url = url.partition("|")[0]
        self.missing.discard(url)
        self._profiles.clear()
        if structure is None:
            self._absent.add(url)
        else:
            self._structures[url] = structure

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
            return None
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
        return self._contains(value_set, codings) if self._contains is not None else None
