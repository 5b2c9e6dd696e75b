"""CodeSystem/$lookup, $subsumes and $find-matches (R4B 4.8.16)."""

from __future__ import annotations

from typing import Any, Final

from terminology.server import messages
from terminology.server.designations import Designation, preferred
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session
from terminology.server.systems import Concept, Property, System
from terminology.server.versions import listed

Json = dict[str, Any]
_GENERAL: Final = ("name", "version", "display", "system", "code")


def system_of(session: Session, url: str, version: str | None) -> System:
    """The code system to ask. Raises Refused (404) when it is not known here."""
    found = session.system(url, version)
    if found is None:
        decided = session.asked.version_of(url, version)
        known = listed(session.library.versions(url))
        text = messages.unknown_system(url, decided, known)
        id = "UNKNOWN_CODESYSTEM" if not decided else "UNKNOWN_CODESYSTEM_VERSION"
        raise Refused(Problem("error", "not-found", text, "not-found", id), status=404, unknown=url)
    return found


def concept_of(system: System, code: str) -> Concept:
    """Raises Refused (404) when the code is not there."""
    concept = system.locate(code)
    if concept is None:
        text = f"Unable to find code '{code}' in {system.url}{f' version {system.version}' if system.version else ''}"
        raise Refused(Problem("error", "not-found", text, "invalid-code"), status=404)
    return concept


def lookup(session: Session, system: System, code: str) -> Json:
    """The Parameters of the answer. Raises Refused."""
    session.check_supplements()
    concept = concept_of(system, code)
    names = system.designations(concept)
    shown = preferred(names, session.asked.languages) or preferred(names, None)
    wanted = session.asked.properties
    found: list[Json] = [
        {"name": "name", "valueString": system.meta.get("name") or system.meta.get("title") or system.url},
        {"name": "code", "valueCode": concept.code},
        {"name": "system", "valueUri": system.url},
    ]
    if system.version:
        found.append({"name": "version", "valueString": system.version})
    found.append({"name": "display", "valueString": shown.value if shown is not None else concept.code})
    if concept.definition and _is_wanted(wanted, "definition"):
        found.append({"name": "definition", "valueString": concept.definition})
    if _is_wanted(wanted, "abstract"):
        found.append({"name": "abstract", "valueBoolean": system.abstract(concept)})
    if _is_wanted(wanted, "designation"):
        found += [_designation(name) for name in names]
    if _is_wanted(wanted, "inactive"):
        found.append(_property("inactive", "valueBoolean", system.inactive(concept)))
    for one in _own(system, concept):
        if _is_wanted(wanted, one.code) or "property" in wanted:
            found.append(_property(one.code, one.kind, one.value))
    for name, step in (("parent", system.parents), ("child", system.children)):
        if _is_wanted(wanted, name):
            found += [_property(name, "valueCode", other.code, other.display) for other in step(concept)]
    found += [{"name": "used-supplement", "valueCanonical": one.canonical} for one in system.supplements]
    return {"resourceType": "Parameters", "parameter": found}


def _own(system: System, concept: Concept) -> list[Property]:
    return [p for p in system.properties(concept) if p.code not in ("parent", "child", "inactive", "subsumedBy")]


def _is_wanted(wanted: list[str], name: str) -> bool:
    return not wanted or "*" in wanted or name in wanted


def _designation(name: Designation) -> Json:
    parts: list[Json] = []
    if name.language:
        parts.append({"name": "language", "valueCode": name.language})
    if name.use is not None:
        parts.append({"name": "use", "valueCoding": name.use})
    parts.append({"name": "value", "valueString": name.value})
    if name.source:
        parts.append({"name": "source", "valueCanonical": name.source})
    return {"name": "designation", "part": parts}


def _property(code: str, kind: str, value: Any, description: str | None = None) -> Json:
    parts: list[Json] = [{"name": "code", "valueCode": code}, {"name": "value", kind: value}]
    if description:
        parts.insert(1, {"name": "description", "valueString": description})
    return {"name": "property", "part": parts}


def subsumes(system: System, a: str, b: str) -> str:
    """equivalent, subsumes, subsumed-by or not-subsumed. Raises Refused for codes that are not there."""
    one, other = concept_of(system, a), concept_of(system, b)
    if one.code == other.code:
        return "equivalent"
    if not system.hierarchical and not system.complete:
        text = f"The hierarchy of {system.canonical} is not here, so it cannot be said which code subsumes the other."
        raise Refused(Problem("error", "not-supported", text))
    if one.code in system.ancestors(other.code):
        return "subsumes"
    if other.code in system.ancestors(one.code):
        return "subsumed-by"
    return "not-subsumed"


def find_matches(system: System, properties: list[tuple[str, str]], *, exact: bool, limit: int = 100) -> list[Concept]:
    """Concepts that have every one of the properties (code, value); exact False: or values below those in the
    hierarchy of the system."""
    from terminology.server.filters import all_of, filter_of

    filters = []
    for code, value in properties:
        if not exact and code in ("parent", "concept", "code") and system.locate(value) is not None:
            filters.append(filter_of(system, "concept", "is-a", value, system.url))
        elif not exact and system.hierarchical and system.locate(value) is not None:
            below = ",".join([value, *system.descendants(value)])
            filters.append(filter_of(system, code, "in", below, system.url))
        else:
            filters.append(filter_of(system, code, "=", value, system.url))
    found = []
    for concept in all_of(system, filters):
        found.append(concept)
        if len(found) >= limit:
            break
    return found
