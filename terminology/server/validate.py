"""$validate-code on ValueSet and CodeSystem (R4B 4.9.16.2, 4.8.16.3): is the code there, and is its display right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from terminology.server import messages
from terminology.server.asked import Asked
from terminology.server.designations import preferred
from terminology.server.membership import Checker, Trail, absolute, path_to
from terminology.server.problems import Problem, Refused, outcome
from terminology.server.session import Session, canonical_of
from terminology.server.systems import System
from terminology.server.versions import listed, order

Json = dict[str, Any]
Mode = Literal["code", "coding", "codeableConcept"]
_ROOT: Final[dict[Mode, str]] = {"code": "", "coding": "Coding", "codeableConcept": "CodeableConcept"}
_UNCHECKED: Final = ("UNKNOWN_CODESYSTEM", "UNKNOWN_CODESYSTEM_VERSION", "UNKNOWN_CODESYSTEM_VERSION_NONE")


@dataclass(slots=True)
class Coded:
    """What is to be validated: codings, and the form they came in."""

    mode: Mode
    codings: list[Json]
    concept: Json = field(default_factory=dict)

    @property
    def root(self) -> str:
        return _ROOT[self.mode]

    def path(self, place: int) -> str:
        return f"CodeableConcept.coding[{place}]" if self.mode == "codeableConcept" else self.root


def parameters(**named: tuple[str, Any] | None) -> list[Json]:
    """Parameters.parameter from name=(kind, value)."""
    return [{"name": name, one[0]: one[1]} for name, one in named.items() if one is not None]


def validate_in_value_set(session: Session, value_set: Json, coded: Coded) -> Json:
    """The Parameters of the answer. Raises Refused when the question cannot be answered, Missing."""
    session.require_supplements(value_set)
    checker = Checker(session, value_set)
    try:
        checker.prepare()
    except Refused as refused:
        if not refused.in_answer:
            raise
        return refused_answer(session, refused, coded)
    session.check_supplements()
    return _Validation(session, checker, coded).answer()


def validate_in_system(session: Session, system: System, coded: Coded) -> Json:
    """As above, for all of a code system."""
    include: Json = {"system": system.url}
    if system.version:
        include["version"] = system.version
    name = system.meta.get("valueSet") or f"{system.url}/vs"
    value_set = {"resourceType": "ValueSet", "url": name, "status": "active", "compose": {"include": [include]}}
    checker = Checker(session, value_set)
    checker.prepare()
    session.check_supplements()
    return _Validation(session, checker, coded, whole_system=True).answer()


def refused_answer(session: Session, refused: Refused, coded: Coded | None) -> Json:
    """The answer false, for what could not be looked into."""
    found: list[Json] = []
    if coded is not None and coded.mode == "codeableConcept":
        found.append({"name": "codeableConcept", "valueCodeableConcept": coded.concept})
    elif coded is not None and coded.codings:
        coding = coded.codings[0]
        if coding.get("code"):
            found.append({"name": "code", "valueCode": coding["code"]})
        if coding.get("system"):
            found.append({"name": "system", "valueUri": coding["system"]})
            version = coding.get("version")
            if not version:
                system = session.system(coding["system"], None)
                version = None if system is None else system.version
            if version:
                found.append({"name": "version", "valueString": version})
    found.append({"name": "issues", "resource": outcome(refused.problems)})
    found.append({"name": "message", "valueString": str(refused)})
    found.append({"name": "result", "valueBoolean": False})
    if refused.unknown:
        found.append({"name": "x-caused-by-unknown-system", "valueCanonical": refused.unknown})
    return {"resourceType": "Parameters", "parameter": found}


class _Validation:
    """Codings one by one, and the answer from what was found of each."""

    def __init__(self, session: Session, checker: Checker, coded: Coded, *, whole_system: bool = False) -> None:
        self.session = session
        self.asked: Asked = session.asked
        self.checker = checker
        self.coded = coded
        self.whole_system = whole_system
        self.trail = Trail()
        self.ok: bool | None = False
        self.no_code = False
        self.matched: set[int] = set()
        self.said: list[str] = []
        self.chosen: Json | None = None
        self.chosen_version: str | None = None
        self.chosen_path = ""
        self.display: str | None = None
        self.first: Json | None = None
        self.first_version: str | None = None
        self.other_version: str | None = None

    @property
    def name(self) -> str:
        return canonical_of(self.checker.value_set) or "(unidentified)"

    def answer(self) -> Json:
        trail = self.trail
        self.checker.mention(trail, self.checker.value_set, "ValueSet")
        for place, coding in enumerate(self.coded.codings):
            if not self._coding(place, coding):
                break
        self._forgive_unchecked()
        self._summarise()
        return {"resourceType": "Parameters", "parameter": self._parameters()}

    def _coding(self, place: int, coding: Json) -> bool:
        """One coding; False when it has no code, which ends the validation."""
        trail, path = self.trail, self.coded.path(place)
        code = coding.get("code")
        if not code:
            self._without_code(coding, path)
            return False
        trail.begin()
        verdict = self.checker.check(trail, path, coding)
        if verdict is True:
            self.matched.add(place)
        system = trail.inferred or coding.get("system")
        if self.first is None or verdict is True:
            self.first = {**coding, "system": coding.get("system")}
            self.first_version = coding.get("version")
        if not self.first_version and trail.version:
            self.first_version = trail.version
        if verdict is False and not self.whole_system and self.coded.mode == "codeableConcept":
            text = messages.not_in_value_set(self.name, self._named(coding, system))
            where = f"CodeableConcept.coding[{place}].code"
            id = "None_of_the_provided_codes_are_in_the_value_set_one"
            trail.add(Problem("information", "code-invalid", text, "this-code-not-in-vs", id, where))
        if self.ok is not True and verdict is not False:
            self.ok = verdict
        if verdict is True:
            self._member(coding, path)
        elif not self.asked.membership_only and system:
            self._not_member(place, coding, system, path)
        return True

    def _without_code(self, coding: Json, path: str) -> None:
        self.no_code = True
        if coding.get("system"):
            text = f"Coding has no code for system {coding['system']} and cannot be validated"
        elif self.asked.infer_system:
            text = "Coding has no code and cannot be validated"
        else:
            text = "Coding has no system and no code, and cannot be validated"
        self._say(text)
        self.trail.add(Problem("warning", "invalid", text, "invalid-data", path=path))

    @staticmethod
    def _named(coding: Json, system: str | None) -> str:
        version = f"|{coding['version']}" if coding.get("version") else ""
        display = f" ('{coding['display']}')" if coding.get("display") else ""
        return f"'{system or ''}{version}#{coding['code']}{display}'"

    def _say(self, text: str) -> None:
        if text and text not in self.said:
            self.said.append(text)

    def _member(self, coding: Json, path: str) -> None:
        trail = self.trail
        if coding.get("display") and trail.names:
            problem = self.checker.display_problem(trail, coding, path)
            if problem is not None:
                trail.add(problem)
                self._say_display(problem)
        if self.chosen is None:
            self.chosen, self.chosen_path = coding, path
            self.chosen_version = trail.version
            self.display = self._preferred()

    def _say_display(self, problem: Problem) -> None:
        if problem.id != "INACTIVE_DISPLAY_FOUND":
            self._say(problem.text)

    def _preferred(self) -> str | None:
        names = self.trail.names
        name = preferred(names, self.asked.languages) or preferred(names, None)
        return name.value if name is not None else None

    def _not_member(self, place: int, coding: Json, system: str, path: str) -> None:
        """The code is not in the value set; what its code system says of it is worth knowing all the same."""
        trail = self.trail
        if not absolute(system):
            text = messages.system_is_relative()
            self._say(text)
            id = "Terminology_TX_System_Relative"
            trail.add(Problem("error", "invalid", text, "invalid-data", id, path_to(path, "system")))
        version = coding.get("version") or self.checker.version_for(system)
        found = self.session.system(system, version)
        if found is None:
            self._unknown_system(system, version, path)
            return
        problem = self.session.version_problem(found, path_to(path, "version"))
        if problem is not None:
            trail.add(problem)
        self.checker.mention(trail, found.meta, "CodeSystem")
        concept = found.locate(coding["code"])
        if concept is None:
            key = f"{found.canonical}#{coding['code']}"
            if key not in trail.unknown_codes:
                trail.unknown_codes.add(key)
                trail.add(self.checker.unknown_code(found, coding["code"], path))
                if found.complete:
                    self._say(messages.unknown_code(coding["code"], found.url, found.version))
            return
        trail.names = found.designations(concept)
        trail.default_language = found.language
        if not self.asked.membership_only and not trail.inactive and found.inactive(concept):
            trail.note_inactive(path, coding["code"], found.state(concept))
        self.display = self.display or self._preferred()
        if coding.get("display") and trail.names:
            problem = self.checker.display_problem(trail, coding, path, lenient_default=True)
            if problem is not None and problem.kind == "invalid-display":
                trail.add(problem)
                self._say(problem.text)
        if found.version and self.coded.mode != "codeableConcept":
            self.other_version = found.version

    def _unknown_system(self, system: str, version: str | None, path: str) -> None:
        trail = self.trail
        where = path_to(path, "system")
        if self.session.library.value_set(system) is not None:
            text, id = messages.system_is_value_set(system), "Terminology_TX_System_ValueSet2"
            self._say(text)
            trail.add(Problem("error", "invalid", text, "invalid-data", id, where))
            return
        supplement = self.session.library.supplement(system, version)
        if supplement is not None:
            text, id = messages.system_is_supplement(canonical_of(supplement)), "CODESYSTEM_CS_NO_SUPPLEMENT"
            self._say(text)
            trail.add(Problem("error", "invalid", text, "invalid-data", id, where))
            return
        self._say(trail.add_unknown(self.session, system, version, where))

    def _forgive_unchecked(self) -> None:
        """A coding whose system is not known here takes nothing from another one that is in the value set."""
        if self.coded.mode != "codeableConcept" or not self.matched:
            return
        for place, coding in enumerate(self.coded.codings):
            if place in self.matched:
                continue
            where = f"CodeableConcept.coding[{place}].system"
            for number, problem in enumerate(self.trail.problems):
                if problem.id in _UNCHECKED and problem.path == where and problem.severity == "error":
                    name = coding["system"] + (f"|{coding['version']}" if coding.get("version") else "")
                    text = f"The code system {name} is not known here, so this coding was not checked"
                    id = "UNKNOWN_CODESYSTEM_CODING_NOT_CHECKED"
                    self.trail.problems[number] = Problem("warning", "not-found", text, "not-found", id, where)
                    self.said = [said for said in self.said if said != problem.text]
                    self.trail.messages = [said for said in self.trail.messages if said != problem.text]
                    self._say(text)

    def _summarise(self) -> None:
        trail, mode = self.trail, self.coded.mode
        has_errors = any(problem.severity == "error" for problem in trail.problems)
        quiet = self.no_code and (mode != "codeableConcept" or self.whole_system)
        if self.ok is not False or quiet or (self.whole_system and has_errors):
            return
        if mode == "codeableConcept":
            text, id = messages.no_valid_coding(self.name), "TX_GENERAL_CC_ERROR_MESSAGE"
            path = ""
        else:
            coding = self.coded.codings[0]
            system = trail.inferred or coding.get("system")
            text = messages.not_in_value_set(self.name, self._named(coding, system))
            id = "None_of_the_provided_codes_are_in_the_value_set_one"
            path = path_to(self.coded.root, "code")
        if trail.add(Problem("error", "code-invalid", text, "not-in-vs", id, path)):
            self._say(text)

    def _parameters(self) -> list[Json]:
        trail, mode = self.trail, self.coded.mode
        concept = mode == "codeableConcept"
        errors = any(problem.severity == "error" for problem in trail.problems)
        result = self.ok is True and not errors
        found: list[Json] = []
        shown = self.chosen or (None if concept else self.first)
        if shown is not None:
            found.append({"name": "code", "valueCode": shown["code"]})
        if concept:
            found.append({"name": "codeableConcept", "valueCodeableConcept": self.coded.concept})
        if self.display and shown is not None:
            found.append({"name": "display", "valueString": self.display})
        self._say_status(found, concept)
        if trail.problems:
            found.append({"name": "issues", "resource": outcome(trail.problems)})
        texts = {*self.said, *trail.messages, *(p.text for p in trail.problems if p.severity == "error")}
        if texts:
            found.append({"name": "message", "valueString": "; ".join(sorted(texts))})
        if trail.normal_form:
            found.append({"name": "normalized-code", "valueCode": trail.normal_form})
        found.append({"name": "result", "valueBoolean": result})
        system = (self.chosen or {}).get("system") or (trail.inferred if self.ok is True else None)
        if not system and self.first is not None and not concept:
            system = self.first.get("system")
        if system:
            found.append({"name": "system", "valueUri": system})
        version = self.chosen_version
        if version is None and not concept:
            version = self.first_version or self.other_version
            if self.chosen is None and self.other_version is not None:
                version = self.other_version
        if version:
            found.append({"name": "version", "valueString": version})
        for unknown in trail.unknown_systems:
            if self.ok is False:
                found.append({"name": "x-unknown-system", "valueCanonical": unknown})
            elif not result:
                found.append({"name": "x-caused-by-unknown-system", "valueCanonical": unknown})
        return found

    def _say_status(self, found: list[Json], concept: bool) -> None:
        """inactive and status, with their warning."""
        trail = self.trail
        if trail.inactive:
            if not concept or (self.chosen is not None and trail.inactive_path == self.chosen_path):
                found.append({"name": "inactive", "valueBoolean": True})
                if trail.status and trail.status != "inactive":
                    found.append({"name": "status", "valueCode": trail.status})
            text = messages.inactive(trail.inactive_code, trail.status)
            self._say(text)
            path = trail.inactive_path or "code"
            trail.add(Problem("warning", "business-rule", text, "code-comment", "INACTIVE_CONCEPT_FOUND", path))
        elif trail.status and trail.status.lower() == "deprecated" and self.first is not None:
            found.append({"name": "status", "valueCode": "deprecated"})
            text = messages.deprecated(self.first["code"])
            self._say(text)
            path = self.coded.root or "code"
            trail.add(Problem("warning", "business-rule", text, "code-comment", "DEPRECATED_CONCEPT_FOUND", path))


def latest_version(versions: list[str]) -> str | None:
    return max(versions, key=order, default=None)


__all__ = ["Coded", "listed", "parameters", "refused_answer", "validate_in_system", "validate_in_value_set"]
