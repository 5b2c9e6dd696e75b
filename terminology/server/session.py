"""One question to the server: where content is found, what was asked, and what was used to answer."""

from __future__ import annotations

from typing import Any

from terminology.server import messages
from terminology.server.asked import Asked
from terminology.server.library import Library
from terminology.server.problems import Problem, Refused
from terminology.server.systems import System
from terminology.server.versions import listed, matches

Json = dict[str, Any]
SUPPLEMENT = "http://hl7.org/fhir/StructureDefinition/valueset-supplement"
_IMPLICIT = "http://hl7.org/fhir/StructureDefinition/"


class Session:
    """Finds systems and value sets by the version parameters. rules: those that were used, for the answer."""

    def __init__(self, library: Library, asked: Asked) -> None:
        self.library = library
        self.asked = asked
        self.rules: list[tuple[str, str]] = []
        self.required: dict[str, None] = dict.fromkeys(asked.supplements)
        self.satisfied: set[str] = set()
        self.path: list[str] = []

    def require_supplements(self, value_set: Json) -> None:
        """Note what a value set's extensions depend on."""
        for extension in value_set.get("extension") or ():
            if extension.get("url") == SUPPLEMENT:
                canonical = extension.get("valueCanonical") or extension.get("valueUri")
                if canonical:
                    self.required.setdefault(canonical)

    def system(self, url: str, version: str | None, *, rules: bool = True) -> System | None:
        """The code system in the version to use, or None. rules False: `version` as it is."""
        if rules:
            version = self.asked.version_of(url, version, self.rules)
        found = self.library.system(url, version, frozenset(self.required))
        if found is not None:
            for name in self.required:
                if any(one.named(name) for one in found.supplements):
                    self.satisfied.add(name)
        return found

    def system_to_expand(self, url: str, version: str | None) -> System:
        """As `system`; raises Refused when there is none, or when it is not the version that it must be."""
        found = self.system(url, version)
        if found is None:
            version = self.asked.version_of(url, version)
            known = listed(self.library.versions(url))
            id = "UNKNOWN_CODESYSTEM_EXP" if not version else "UNKNOWN_CODESYSTEM_VERSION_EXP"
            if version and not known:
                id += "_NONE"
            text = messages.unknown_system_expanding(url, version, known)
            raise Refused(Problem("error", "not-found", text, "not-found", id), unknown=url)
        problem = self.version_problem(found)
        if problem is not None:
            raise Refused(problem, status=400)
        return found

    def version_problem(self, system: System, path: str = "") -> Problem | None:
        """What a check-system-version parameter has against this version."""
        for required in self.asked.checks(system.url):
            if not matches(required, system.version):
                text = messages.version_not_allowed(system.url, system.version, required)
                return Problem("error", "exception", text, "version-error", "VALUESET_VERSION_CHECK", path)
        return None

    def value_set(self, canonical: str, source: Json | None = None) -> Json | None:
        """A value set that another one refers to: contained in it, or known; None when it is not."""
        if canonical.startswith("#"):
            contained = (source or {}).get("contained") or ()
            return next((one for one in contained if one.get("id") == canonical[1:]), None)
        return self.library.value_set(self.pinned(canonical))

    def pinned(self, canonical: str) -> str:
        """A reference to a value set, with the version that the parameters give it."""
        url, _, version = canonical.partition("|")
        decided = self.asked.version_of(url, version or None, self.rules)
        return f"{url}|{decided}" if decided else url

    def check_supplements(self) -> None:
        """Raises Refused when a supplement is asked for that no system used has."""
        missing = [name for name in self.required if name not in self.satisfied]
        if missing:
            text = messages.supplement_missing(missing)
            raise Refused(Problem("error", "not-found", text, "not-found", "VALUESET_SUPPLEMENT_MISSING"))

    def enter(self, value_set: Json) -> None:
        """Into a value set; raises Refused when that is a circle."""
        name = canonical_of(value_set)
        if not name:
            self.path.append("")
            return
        if name in self.path:
            inside = [one for one in self.path if one]
            text = messages.circular(name, inside)
            raise Refused(Problem("error", "processing", text, "vs-invalid", "VALUESET_CIRCULAR_REFERENCE"))
        self.path.append(name)

    def leave(self) -> None:
        self.path.pop()


def canonical_of(resource: Json) -> str:
    """``url|version``, ``url`` or ''."""
    url, version = resource.get("url"), resource.get("version")
    if not url:
        return ""
    return f"{url}|{version}" if version else str(url)


def standards_status(resource: Json) -> str | None:
    for extension in resource.get("extension") or ():
        if extension.get("url") == _IMPLICIT + "structuredefinition-standards-status":
            return str(extension.get("valueCode"))
    return None
