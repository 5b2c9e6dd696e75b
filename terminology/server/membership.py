"""Whether one code is in a value set, and everything that is to be said about it on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from terminology.server import messages
from terminology.server.designations import STANDARDS_STATUS, Designation, accepts, count, of_json, preferred, presented
from terminology.server.filters import Filter, filter_of
from terminology.server.languages import shown
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session, canonical_of, standards_status
from terminology.server.systems import Concept, System
from terminology.server.versions import listed, matches, order

Json = dict[str, Any]
#: True: in the value set; False: not in it; None: cannot be told.
Verdict = bool | None
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_DEPRECATED: Final = "http://hl7.org/fhir/StructureDefinition/valueset-deprecated"


def absolute(url: str) -> bool:
    return _ABSOLUTE.match(url) is not None


def path_to(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass(slots=True)
class Trail:
    """What was found out so far. Of the coding at hand: version, names (designations), inferred (its system)."""

    problems: list[Problem] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    unknown_systems: dict[str, None] = field(default_factory=dict)
    unknown_codes: set[str] = field(default_factory=set)
    names: list[Designation] = field(default_factory=list)
    default_language: str | None = None
    version: str | None = None
    inferred: str | None = None
    normal_form: str | None = None
    inactive: bool = False
    inactive_path: str = ""
    inactive_code: str = ""
    status: str | None = None

    def begin(self) -> None:
        """The next coding."""
        self.names = []
        self.version = None

    def add(self, problem: Problem, *, say: bool = False) -> bool:
        """Note a problem, once. say: its text is part of the message, too."""
        if say and problem.text not in self.messages:
            self.messages.append(problem.text)
        if problem in self.problems:
            return False
        self.problems.append(problem)
        return True

    def add_unknown(self, session: Session, system: str, version: str | None, path: str) -> str:
        """Note that a code system is not known; the text."""
        known = session.library.versions(system)
        if not version:
            text, id, name = messages.unknown_system(system), "UNKNOWN_CODESYSTEM", system
        else:
            text = messages.unknown_system(system, version, listed(known))
            id = "UNKNOWN_CODESYSTEM_VERSION" if known else "UNKNOWN_CODESYSTEM_VERSION_NONE"
            name = f"{system}|{version}" if known else system
        if name not in self.unknown_systems or not version:
            self.add(Problem("error", "not-found", text, "not-found", id, path))
            self.unknown_systems.setdefault(name)
        return text

    def note_inactive(self, path: str, code: str, status: str | None) -> None:
        self.inactive, self.inactive_path, self.inactive_code = True, path, code
        if status:
            self.status = status

    def note_state(self, system: System, concept: Concept, path: str, code: str) -> None:
        """The status of a concept that is in the value set."""
        if not self.inactive:
            self.inactive = system.inactive(concept)
            self.inactive_path, self.inactive_code = path, code
            self.status = system.state(concept)


class Checker:
    """One value set, ready to be asked."""

    def __init__(self, session: Session, value_set: Json) -> None:
        self.session = session
        self.asked = session.asked
        self.value_set = value_set
        self.compose: Json = value_set.get("compose") or {}
        self.others: dict[str, Checker] = {}
        self._filters: dict[int, tuple[System, list[Filter]]] = {}

    def prepare(self) -> None:
        """Look at the definition: the value sets it takes in, its filters, its supplements. Raises Refused."""
        session = self.session
        session.enter(self.value_set)
        try:
            self.asked.see_value_set(self.value_set)
            if self.compose.get("lockedDate"):
                text = f"The value set {canonical_of(self.value_set)} has a lockedDate, which cannot be honoured."
                raise Refused(Problem("error", "business-rule", text, "vs-invalid"), in_answer=True)
            for kind in ("include", "exclude"):
                for place, part in enumerate(self.compose.get(kind) or ()):
                    self._prepare(part, f"{kind}[{place}]")
        finally:
            session.leave()

    def _prepare(self, part: Json, where: str) -> None:
        for canonical in part.get("valueSet") or ():
            name = self.session.pinned(canonical) if not canonical.startswith("#") else canonical
            if name not in self.others:
                value_set = self.session.value_set(canonical, self.value_set)
                if value_set is None:
                    text = messages.unknown_value_set(name)
                    id = "Unable_to_resolve_value_Set_"
                    raise Refused(Problem("error", "not-found", text, "not-found", id), in_answer=True)
                other = Checker(self.session, value_set)
                other.prepare()
                self.others[name] = other
        if not part.get("system"):
            return
        system = self.session.system(part["system"], part.get("version"))
        if system is None:
            return
        for place, item in enumerate(part.get("filter") or ()):
            if item.get("value") in (None, ""):
                path = f"ValueSet.compose.{where}.filter[{place}]"
                text = messages.filter_without_value(system.url, item.get("property", ""), item.get("op", ""))
                id = "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE"
                raise Refused(Problem("error", "invalid", text, "vs-invalid", id, path), status=400)
            filter_of(system, item["property"], item["op"], str(item["value"]), self.value_set.get("url", ""))

    def _other(self, canonical: str) -> Checker:
        return self.others[canonical if canonical.startswith("#") else self.session.pinned(canonical)]

    def mention(self, trail: Trail, resource: Json, type: str) -> None:
        """A note when what is used is less settled than the value set that uses it."""
        canonical, source = canonical_of(resource), self.value_set
        if not canonical:
            return
        standards = standards_status(resource)
        what = id = ""
        if standards in ("deprecated", "withdrawn"):
            what, id = standards, f"MSG_{standards.upper()}"
        elif resource.get("status") == "retired":
            what, id = "retired", "MSG_RETIRED"
        elif resource.get("experimental") and not source.get("experimental"):
            what, id = "experimental", "MSG_EXPERIMENTAL"
        elif "draft" in (resource.get("status"), standards) and "draft" not in (
            source.get("status"),
            standards_status(source),
        ):
            what, id = "draft", "MSG_DRAFT"
        if what:
            text = messages.reference_to(what, type, canonical)
            trail.add(Problem("information", "business-rule", text, "status-check", id))

    def version_for(self, system: str) -> str | None:
        """The latest version that the definition names for a system."""
        found = [
            p["version"] for p in self.compose.get("include") or () if p.get("system") == system and "version" in p
        ]
        return max(found, key=order, default=None)

    # Membership

    def check(self, trail: Trail, path: str, coding: Json) -> Verdict:
        """Is the coding in the value set? Says what is to be said in the trail."""
        system, code = coding.get("system"), coding["code"]
        if not system and not self.asked.infer_system and not trail.inferred:
            text, id = messages.no_system(), "Coding_has_no_system__cannot_validate"
            trail.add(Problem("warning", "invalid", text, "invalid-data", id, path), say=True)
            return False
        if not system:
            system = trail.inferred or self._infer(trail, code)
            if system is None:
                return False
            trail.inferred = system
        if self.compose:
            return self._in_compose(trail, path, system, coding)
        if "expansion" in self.value_set:
            return self._in_expansion(trail, path, system, coding)
        return False

    def _in_compose(self, trail: Trail, path: str, system: str, coding: Json) -> Verdict:
        version = coding.get("version")
        includes: list[Json] = list(self.compose.get("include") or ())
        fixed = self._version_among(includes, system, coding) if not version else None
        includes = _latest_first(includes)
        verdict: Verdict = False
        for part in includes:
            if not part.get("system"):
                verdict = True
            elif (
                part["system"] == system
                and (not fixed or part.get("version") == fixed)
                and self._applies(part, version, includes)
            ):
                found = self._part_system(trail, path, part, version)
                if found is None:
                    return None if not self.asked.membership_only else False
                self.mention(trail, found.meta, "CodeSystem")
                verdict = self._in_part(trail, path, found, part, coding["code"], excluding=False)
                if verdict:
                    trail.version = found.version
            else:
                verdict = False
            for canonical in part.get("valueSet") or ():
                other = self._other(canonical)
                self.mention(trail, other.value_set, "ValueSet")
                if verdict is True:
                    verdict = other.check(trail, path, {**coding, "system": system})
            if verdict is True:
                break
        if verdict is True and self._is_excluded(trail, path, system, coding):
            return False
        return verdict

    def _is_excluded(self, trail: Trail, path: str, system: str, coding: Json) -> bool:
        for part in self.compose.get("exclude") or ():
            excluded = True
            if part.get("system"):
                found = self.session.system(part["system"], part.get("version"))
                if found is None:
                    version = self.asked.version_of(part["system"], part.get("version"))
                    known = listed(self.session.library.versions(part["system"]))
                    text = messages.unknown_system_expanding(part["system"], version, known)
                    raise Refused(Problem("error", "not-found", text, "not-found"), unknown=part["system"])
                self.mention(trail, found.meta, "CodeSystem")
                quiet = Trail()
                excluded = found.url == system and self._in_part(
                    quiet, path, found, part, coding["code"], excluding=True
                )
            for canonical in part.get("valueSet") or ():
                if excluded:
                    excluded = self._other(canonical).check(Trail(), path, {**coding, "system": system}) is True
            if excluded:
                return True
        return False

    def _applies(self, part: Json, version: str | None, includes: Sequence[Json]) -> bool:
        """An include in another version is passed over when there is one in the coding's own."""
        if not version or part.get("version") == version:
            return True
        return not any(one.get("version") == version for one in includes)

    def _version_among(self, includes: Sequence[Json], system: str, coding: Json) -> str | None:
        """For includes in several versions: the latest that has the code (and its display), if not all have."""
        versions = {p["version"] for p in includes if p.get("system") == system and p.get("version")}
        if len(versions) < 2:
            return None
        having = []
        for version in versions:
            found = self.session.system(system, version)
            concept = None if found is None else found.locate(coding["code"])
            if found is None or concept is None:
                continue
            display = coding.get("display")
            if not display or any(name.value == display for name in found.designations(concept)):
                having.append(version)
        if len(having) == len(versions):
            return None
        return str(max(having or versions, key=order))

    def _part_system(self, trail: Trail, path: str, part: Json, given: str | None) -> System | None:
        """The code system of an include, in the version that include, coding and parameters agree on."""
        url, include = part["system"], part.get("version")
        version = self._agreed(trail, path, url, include, given)
        found = self.session.system(url, version)
        if found is None:
            decided = self.asked.version_of(url, version)
            text = trail.add_unknown(self.session, url, decided, path_to(path, "system"))
            if text not in trail.messages and not self.asked.membership_only:
                trail.messages.append(text)
            return None
        problem = self.session.version_problem(found, path_to(path, "version"))
        if problem is not None:
            trail.add(problem)
        trail.default_language = found.language
        return found

    def _agreed(self, trail: Trail, path: str, url: str, include: str | None, given: str | None) -> str | None:
        """The version to look in. given: the coding's own; what contradicts it is noted."""
        result = self.asked.version_of(url, include, self.session.rules)
        if not given:
            return result
        if result and given != result and matches(result, given):
            result = given
        if not result and given in self.session.library.versions(url):
            result = given
        if not result and any(matches(given, one) for one in self.session.library.versions(url)):
            result = given
        found = self.session.system(url, result)
        where = path_to(path, "version")
        if found is not None and found.version != given and not matches(given, found.version):
            severity = "error"
            if not result:
                text = messages.version_differs_from_default(url, found.version, given)
                id = "VALUESET_VALUE_MISMATCH_DEFAULT"
                severity = "error" if found.meta.get("versionNeeded") else "warning"
            elif result != include:
                text = messages.version_differs_from_result(url, result, include, given)
                id = "VALUESET_VALUE_MISMATCH_CHANGED"
            else:
                text, id = messages.version_differs(url, include, given), "VALUESET_VALUE_MISMATCH"
            trail.add(Problem(severity, "invalid", text, "vs-invalid", id, where), say=severity == "error")
            if self.session.system(url, given, rules=False) is None:
                known = self.session.library.versions(url)
                text = messages.unknown_system(url, given, listed(known))
                trail.unknown_systems.setdefault(f"{url}|{given}")
                id = "UNKNOWN_CODESYSTEM_VERSION"
                problem = Problem("error", "not-found", text, "not-found", id, path_to(path, "system"))
                trail.add(problem, say=True)
        elif found is None and result != given:
            text = messages.version_differs(url, result, given)
            id = "VALUESET_VALUE_MISMATCH"
            trail.add(Problem("error", "invalid", text, "vs-invalid", id, where), say=True)
        return result

    def _in_part(self, trail: Trail, path: str, system: System, part: Json, code: str, *, excluding: bool) -> bool:
        """Is the code in the system's part of an include or exclude?"""
        if part.get("concept"):
            for item in part["concept"]:
                if item["code"] == code:
                    concept = system.locate(code)
                    if concept is not None:
                        return self._listed(trail, path, system, concept, item)
            return False
        concept = system.locate(code)
        if part.get("filter"):
            if concept is None or not all(one.passes(concept) for one in self._filters_of(system, part)):
                return False
            trail.names = system.designations(concept)
            return self._allowed(trail, path, system, concept, code, excluding=excluding, filtered=True)
        if concept is None:
            if not self.asked.membership_only and not excluding:
                trail.add(self.unknown_code(system, code, path))
                trail.unknown_codes.add(f"{system.canonical}#{code}")
                return not system.complete
            return False
        if concept.code != code and not excluding:
            self._note_normal_form(trail, path, system, code, concept.code)
        trail.names = system.designations(concept)
        return self._allowed(trail, path, system, concept, code, excluding=excluding, filtered=False)

    def _filters_of(self, system: System, part: Json) -> list[Filter]:
        kept = self._filters.get(id(part))
        if kept is None or kept[0] is not system:
            url = self.value_set.get("url", "")
            filters = [filter_of(system, f["property"], f["op"], str(f["value"]), url) for f in part["filter"]]
            kept = self._filters[id(part)] = (system, filters)
        return kept[1]

    def _note_normal_form(self, trail: Trail, path: str, system: System, code: str, right: str) -> None:
        if right.lower() == code.lower():
            text, id = messages.case_differs(code, right, system.canonical), "CODE_CASE_DIFFERENCE"
        else:
            text, id = messages.not_normal(code, right, system.canonical), "CODE_NOT_IN_NORMAL_FORM"
        trail.add(Problem("information", "business-rule", text, "code-rule", id, path_to(path, "code")))
        trail.normal_form = right

    def unknown_code(self, system: System, code: str, path: str) -> Problem:
        where = path_to(path, "code")
        if system.complete:
            text = messages.unknown_code(code, system.url, system.version)
            id = "Unknown_Code_in_Version" if system.version else "Unknown_Code_in"
            return Problem("error", "code-invalid", text, "invalid-code", id, where)
        text = messages.unknown_code_in_fragment(code, system.url, system.version)
        return Problem("warning", "code-invalid", text, "invalid-code", "UNKNOWN_CODE_IN_FRAGMENT", where)

    def _no_inactives(self) -> bool:
        return self.compose.get("inactive") is False

    def _abstract_problem(self, trail: Trail, path: str, system: System, concept: Concept, code: str) -> bool:
        if self.asked.abstract or not system.abstract(concept):
            return False
        if not self.asked.membership_only:
            text = messages.abstract_code(system.url, code)
            id = "ABSTRACT_CODE_NOT_ALLOWED"
            trail.add(Problem("error", "business-rule", text, "code-rule", id, path_to(path, "code")))
        return True

    def _allowed(
        self, trail: Trail, path: str, system: System, concept: Concept, code: str, *, excluding: bool, filtered: bool
    ) -> bool:
        """A concept that is there may still be abstract or inactive where that is not allowed."""
        if self._abstract_problem(trail, path, system, concept, code):
            return False
        inactive = system.inactive(concept)
        barred = self._no_inactives()
        if inactive and (barred or (self.asked.active_only and not filtered)):
            if not excluding:
                if not filtered:
                    text, id = messages.not_active(code), "STATUS_CODE_WARNING_CODE"
                    problem = Problem("error", "business-rule", text, "code-rule", id, path_to(path, "code"))
                    trail.add(problem, say=True)
                if not self.asked.membership_only:
                    trail.note_inactive(path, code, system.state(concept))
            return False
        if not excluding:
            trail.note_state(system, concept, path, code)
        return True

    def _listed(self, trail: Trail, path: str, system: System, concept: Concept, item: Json) -> bool:
        """A concept that the definition enumerates."""
        code = item["code"]
        trail.names = system.designations(concept)
        if item.get("display"):
            trail.names.append(Designation(item["display"].strip(), display=True))
        trail.names += [of_json(one) for one in item.get("designation") or ()]
        if self._abstract_problem(trail, path, system, concept, code):
            return False
        if self._no_inactives() and system.inactive(concept):
            if not self.asked.membership_only:
                trail.note_inactive(path, code, system.state(concept))
            return False
        extensions = {one.get("url"): one for one in item.get("extension") or ()}
        status = extensions.get(STANDARDS_STATUS, {}).get("valueCode")
        if status not in ("withdrawn", "deprecated"):
            status = "deprecated" if _DEPRECATED in extensions else None
        if status:
            text = messages.deprecated_in_value_set(system.url, code, status, canonical_of(self.value_set))
            id = "CONCEPT_DEPRECATED_IN_VALUESET"
            trail.add(Problem("warning", "business-rule", text, "code-comment", id, path_to(path, "code")))
        trail.note_state(system, concept, path, code)
        return True

    def _in_expansion(self, trail: Trail, path: str, system: str, coding: Json) -> Verdict:
        waiting = list(self.value_set["expansion"].get("contains") or ())
        while waiting:
            item = waiting.pop()
            waiting.extend(item.get("contains") or ())
            if item.get("code") != coding["code"] or item.get("system") != system or item.get("abstract"):
                continue
            version = item.get("version") or coding.get("version")
            if coding.get("version") and item.get("version") not in (None, coding["version"]):
                continue
            found = self.session.system(system, version)
            if found is None:
                if item.get("display"):
                    trail.names = [Designation(item["display"], display=True)]
                trail.version = version
                return True
            concept = found.locate(coding["code"])
            if concept is None:
                trail.add(self.unknown_code(found, coding["code"], path))
                return False
            trail.names = found.designations(concept)
            trail.version = found.version
            return self._allowed(trail, path, found, concept, coding["code"], excluding=False, filtered=False)
        return False

    # A code without a system

    def _infer(self, trail: Trail, code: str) -> str | None:
        systems = sorted(self._systems_of(code))
        if len(systems) == 1:
            return systems[0]
        name = canonical_of(self.value_set)
        if systems:
            text = messages.many_systems(code, name, systems)
            id = "Unable_to_resolve_system__value_set_has_multiple_matches"
        else:
            text, id = messages.cannot_infer(code, name), "UNABLE_TO_INFER_CODESYSTEM"
        trail.add(Problem("error", "not-found", text, "cannot-infer", id, "code"), say=True)
        return None

    def _systems_of(self, code: str) -> set[str]:
        """The systems in which the value set has such a code."""
        found: set[str] = set()
        candidates = {part["system"] for part in self.compose.get("include") or () if part.get("system")}
        for other in self.others.values():
            candidates |= other._systems_of(code)
        for contained in _flat(self.value_set.get("expansion") or {}):
            if contained.get("code") == code and contained.get("system"):
                candidates.add(contained["system"])
        for system in candidates:
            if self.check(Trail(), "", {"system": system, "code": code}) is True:
                known = self.session.system(system, self.version_for(system))
                if known is None or known.locate(code) is not None:
                    found.add(system)
        return found

    # Displays

    def display_problem(
        self, trail: Trail, coding: Json, path: str, *, lenient_default: bool = False
    ) -> Problem | None:
        """What is wrong with the display of a coding whose names are in the trail."""
        display, system, code = coding["display"], trail.inferred or coding.get("system", ""), coding["code"]
        languages = self.asked.languages
        where = path_to(path, "display")
        default = trail.default_language or "en"
        right, spaces = accepts(trail.names, languages, default if lenient_default else None, display)
        severity = "warning" if self.asked.lenient_display else "error"
        if right:
            if accepts(trail.names, languages, None, display, active=True)[0]:
                return None
            status = next((name.status for name in trail.names if name.value == display), "")
            allowed = list(
                dict.fromkeys(n.value for n in trail.names if n.active and n.shows and n.value and n.display)
            )
            text = messages.inactive_display(display, code, allowed, status)
            return Problem("warning", "invalid", text, "display-comment", "INACTIVE_DISPLAY_FOUND", where)
        number = count(trail.names, languages, shown_only=True)
        if number == 0:
            severity = "warning"
            number = count(trail.names, languages, shown_only=False)
        if number == 0:
            return self._no_name(trail, coding, system, where)
        text = messages.wrong_display(
            display, system, code, presented(trail.names, languages), number, shown(languages), spaces=spaces
        )
        id = "Display_Name_WS_for__should_be_one_of__instead_of" if spaces else ""
        id = id or "Display_Name_for__should_be_one_of__instead_of"
        return Problem(severity, "invalid", text, "invalid-display", id, where)

    def _no_name(self, trail: Trail, coding: Json, system: str, where: str) -> Problem:
        """There is no display in the languages that were asked for."""
        display, code = coding["display"], coding["code"]
        name = preferred(trail.names, None)
        if name is None or not name.value:
            text, id = messages.no_display_at_all(display, system, code), "NO_VALID_DISPLAY_AT_ALL"
            return Problem("warning", "invalid", text, "invalid-display", id, where)
        languages = shown(self.asked.languages)
        default = trail.default_language or "en"
        if accepts(trail.names, self.asked.languages, default, display)[0]:
            text = messages.default_display(display, system, code, languages)
            id = "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK"
            return Problem("information", "invalid", text, "invalid-display", id, where)
        text = messages.no_display_in_language(display, system, code, languages, name.value)
        id = "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR"
        severity = "warning" if self.asked.lenient_display else "error"
        return Problem(severity, "invalid", text, "invalid-display", id, where)


def _latest_first(includes: list[Json]) -> list[Json]:
    """Includes of one system in several versions, the latest first; the others where they are."""
    groups: dict[Any, list[Json]] = {}
    for place, part in enumerate(includes):
        groups.setdefault(part.get("system", place), []).append(part)
    for group in groups.values():
        if len(group) > 1 and all(part.get("version") for part in group):
            group.sort(key=lambda part: order(part["version"]), reverse=True)
    remaining = {key: iter(group) for key, group in groups.items()}
    return [next(remaining[part.get("system", place)]) for place, part in enumerate(includes)]


def _flat(expansion: Json) -> list[Json]:
    found: list[Json] = []
    waiting = list(expansion.get("contains") or ())
    while waiting:
        item = waiting.pop()
        found.append(item)
        waiting.extend(item.get("contains") or ())
    return found
