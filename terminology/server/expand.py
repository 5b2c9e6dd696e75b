"""ValueSet/$expand (R4B 4.9.16.1): the codes of a value set, with what the client wants to know of each."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from terminology.server import messages
from terminology.server.contains import Entry, Maker
from terminology.server.filters import Filter, all_of, filter_of
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session, canonical_of, standards_status
from terminology.server.systems import Concept, System
from terminology.server.versions import order

Json = dict[str, Any]

#: Codes in one expansion that is not paged; and codes of a value set that another one takes in.
LIMIT: Final = 1000
INNER_LIMIT: Final = 200_000
_LEFT_OUT: Final = ("purpose", "compose", "description", "contact", "copyright", "publisher", "extension", "text")
_UNCLOSED: Final = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
_UNCLOSED_REASON: Final = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed-reason"


class _PageFull(Exception):
    """Enough codes for the page that was asked for."""


@dataclass(slots=True)
class Members:
    """The codes of a value set that another one refers to, and what the expansion says beside them."""

    canonical: str
    contained: bool
    entries: dict[tuple[str, str], Entry]
    parameters: list[Json]
    properties: dict[str, str | None]
    value_set: Json


@dataclass(slots=True)
class Expansion:
    """One expansion at work. inner: for another value set, which takes the codes in."""

    session: Session
    value_set: Json
    inner: bool = False
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    parameters: list[Json] = field(default_factory=list)
    entries: dict[tuple[str, str, str], Entry] = field(default_factory=dict)
    roots: list[Entry] = field(default_factory=list)
    excluded: set[tuple[str, str, str]] = field(default_factory=set)
    excluded_systems: set[tuple[str, str]] = field(default_factory=set)
    tree: bool = True
    total_known: bool = True
    total: int | None = None
    by_version: bool = False
    unclosed: str | None = None
    """Why the expansion cannot be all of the value set."""
    limit: int = LIMIT
    maker: Maker = field(init=False)

    def __post_init__(self) -> None:
        self.maker = Maker(self.session.asked)
        if self.inner:
            self.limit = INNER_LIMIT

    def result(self) -> Json:
        """The ValueSet resource with its expansion. Raises Refused."""
        asked = self.session.asked
        stored = self.value_set.get("expansion")
        if stored is not None and not self.value_set.get("compose"):
            self.session.asked.see_value_set(self.value_set)
            return dict(self.value_set)
        self.run()
        expansion: Json = {}
        if self.unclosed is not None:
            expansion["extension"] = [{"url": _UNCLOSED, "valueBoolean": True}]
            if self.unclosed:
                expansion["extension"].append({"url": _UNCLOSED_REASON, "valueString": self.unclosed})
        expansion["identifier"] = f"urn:uuid:{uuid.uuid4()}"
        expansion["timestamp"] = self.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        contains, total = self._page()
        if total is not None:
            expansion["total"] = total
        if asked.offset is not None:
            expansion["offset"] = asked.offset
        for name, canonical in self.session.rules:
            if canonical != canonical_of(self.value_set):
                self.say(name, "valueUri", canonical)
        if self.parameters:
            expansion["parameter"] = self.parameters
        if self.maker.properties:
            expansion["property"] = [
                {"code": code, "uri": uri} if uri else {"code": code} for code, uri in self.maker.properties.items()
            ]
        if contains:
            expansion["contains"] = contains
        left_out = () if asked.include_definition else (*_LEFT_OUT, "contained")
        result = {k: v for k, v in self.value_set.items() if k not in left_out and k not in ("id", "meta", "expansion")}
        result["expansion"] = expansion
        return result

    def _page(self) -> tuple[list[Json], int | None]:
        asked = self.session.asked
        entries = list(self.entries.values())
        total = self.total if self.total is not None else len(entries) if self.total_known else None
        paged = asked.offset or (asked.count is not None and asked.count <= len(entries))
        if self.tree and not paged and self.total_known and not asked.exclude_nested and self.unclosed is None:
            return [entry.nested() for entry in self.roots if not entry.gone], total
        first = asked.offset or 0
        last = len(entries) if asked.count is None else first + asked.count
        return [entry.json for entry in entries[first:last]], total

    def run(self) -> None:
        """Fill `entries`. Raises Refused."""
        session, value_set = self.session, self.value_set
        session.enter(value_set)
        try:
            session.asked.see_value_set(value_set)
            session.require_supplements(value_set)
            self._say_asked()
            self.mention(value_set)
            compose = value_set.get("compose") or {}
            if compose.get("lockedDate"):
                text = f"The value set {canonical_of(value_set)} has a lockedDate, which cannot be honoured."
                raise Refused(Problem("error", "business-rule", text, "vs-invalid"))
            try:
                self._compose(compose)
            except _PageFull:
                self.total_known = False
            if not self.inner:
                session.check_supplements()
        finally:
            session.leave()
        for name in self.maker.supplements:
            self.say("used-supplement", "valueUri", name)

    def _say_asked(self) -> None:
        asked = self.session.asked
        if asked.filter:
            self.say("filter", "valueString", asked.filter)
        if asked.languages:
            from terminology.server.languages import echoed

            self.say("displayLanguage", "valueCode", echoed(asked.languages))
        for name in asked.designations:
            self.say("designation", "valueString", name)
        for name, value in (
            ("excludeNested", asked.exclude_nested),
            ("versionsMatch", asked.versions_match),
            ("activeOnly", asked.active_only),
            ("includeDesignations", asked.include_designations),
            ("includeDefinition", asked.include_definition),
            ("excludeNotForUI", asked.exclude_not_for_ui),
            ("excludePostCoordinated", asked.exclude_post_coordinated),
        ):
            if name in asked.given and (value or name != "versionsMatch"):
                self.say(name, "valueBoolean", value)
        if asked.offset is not None:
            self.say("offset", "valueInteger", asked.offset)
        if asked.count is not None:
            self.say("count", "valueInteger", asked.count)

    def say(self, name: str, kind: str, value: Any) -> None:
        """An expansion.parameter, once."""
        item = {"name": name, kind: value}
        if item not in self.parameters:
            self.parameters.append(item)

    def mention(self, resource: Json) -> None:
        """A warning parameter when what is used is less settled than the value set that uses it."""
        source, canonical = self.value_set, canonical_of(resource)
        if not canonical:
            return
        status, standards = resource.get("status"), standards_status(resource)
        own = standards_status(source)
        itself = resource is source
        if standards == "deprecated" and (itself or own != "deprecated"):
            self.say("warning-deprecated", "valueUri", canonical)
        elif standards == "withdrawn" and (itself or own != "withdrawn"):
            self.say("warning-withdrawn", "valueUri", canonical)
        elif status == "retired" and (itself or source.get("status") != "retired"):
            self.say("warning-retired", "valueUri", canonical)
        elif resource.get("experimental") and not source.get("experimental"):
            self.say("warning-experimental", "valueUri", canonical)
        elif "draft" in (status, standards) and "draft" not in (source.get("status"), own):
            self.say("warning-draft", "valueUri", canonical)

    # The definition

    def _compose(self, compose: Json) -> None:
        includes, excludes = compose.get("include") or [], compose.get("exclude") or []
        versions: dict[str, set[str | None]] = {}
        for part in (*includes, *excludes):
            self._check(part)
            if part.get("system"):
                versions.setdefault(part["system"], set()).add(part.get("version"))
        self.by_version = any(len(found) > 1 for found in versions.values())
        whole = self._excludes_other_version(includes, excludes)
        for place, part in enumerate(excludes):
            self._exclude(part, f"exclude[{place}]", whole)
        inactive = compose.get("inactive")
        ordered = list(enumerate(includes))
        by_system: dict[str, list[tuple[int, Json]]] = {}
        for place, part in ordered:
            by_system.setdefault(part.get("system", f"#{place}"), []).append((place, part))
        for group in by_system.values():
            if len(group) > 1 and all(part.get("version") for _, part in group):
                group.sort(key=lambda one: order(one[1].get("version")), reverse=True)
        remaining = {system: iter(group) for system, group in by_system.items()}
        for place, part in ordered:
            number, chosen = next(remaining[part.get("system", f"#{place}")])
            self._include(chosen, f"include[{number}]", inactive is False)

    def _check(self, part: Json) -> None:
        """Before the work: every value set that is referred to must be there."""
        for canonical in part.get("valueSet") or ():
            if self.session.value_set(canonical, self.value_set) is None:
                raise self._unknown_import(canonical)

    def _unknown_import(self, canonical: str) -> Refused:
        url, _, version = self.session.pinned(canonical).partition("|")
        text = messages.unknown_import(url, version or None)
        id = "VS_EXP_IMPORT_UNK_PINNED" if version else "VS_EXP_IMPORT_UNK"
        return Refused(Problem("error", "not-found", text, "not-found", id))

    def _excludes_other_version(self, includes: Sequence[Json], excludes: Sequence[Json]) -> bool:
        """True for including one version of a system and excluding another: codes are compared without versions."""
        asked = self.session.asked
        if "versionsMatch" in asked.given or not includes or not excludes:
            return False
        system = includes[0].get("system")
        if not all(part.get("system") == system and part.get("version") for part in (*includes, *excludes)):
            return False
        if {part["version"] for part in includes} & {part["version"] for part in excludes}:
            return False
        asked.versions_match = True
        self.say("versionsMatch", "valueBoolean", True)
        return True

    def _members(self, canonical: str) -> Members:
        value_set = self.session.value_set(canonical, self.value_set)
        if value_set is None:
            raise self._unknown_import(canonical)
        expansion = Expansion(self.session, value_set, inner=True, now=self.now)
        if value_set.get("compose") or "expansion" not in value_set:
            expansion.run()
        else:
            expansion.take_stored(value_set["expansion"])
        self.unclosed = self.unclosed if self.unclosed is not None else expansion.unclosed
        entries = {(entry.system, entry.code): entry for entry in expansion.entries.values()}
        found = Members(
            canonical_of(value_set),
            canonical.startswith("#"),
            entries,
            expansion.parameters,
            expansion.maker.properties,
            value_set,
        )
        self.mention(value_set)
        if not found.contained and found.canonical:
            self.say("used-valueset", "valueUri", found.canonical)
        return found

    def take_stored(self, stored: Json) -> None:
        """The codes of a ValueSet that has an expansion but no definition."""
        waiting = list(reversed(stored.get("contains") or ()))
        while waiting:
            item = waiting.pop()
            waiting.extend(reversed(item.get("contains") or ()))
            if item.get("code"):
                json = {key: value for key, value in item.items() if key != "contains"}
                self._add(Entry(item.get("system", ""), item.get("version"), item["code"], json))

    def _use(self, part: Json) -> System:
        system = self.session.system_to_expand(part["system"], part.get("version"))
        self.mention(system.meta)
        self.say("used-codesystem", "valueUri", system.canonical)
        if not system.complete:
            self.say("used-fragment", "valueUri", system.canonical)
            self.unclosed = f"This extension is based on a fragment of the code system {system.url}"
        return system

    def _filters(self, system: System, part: Json, where: str) -> list[Filter]:
        found = []
        for place, item in enumerate(part.get("filter") or ()):
            property, op, value = item.get("property", ""), item.get("op", ""), item.get("value")
            if value in (None, ""):
                path = f"ValueSet.compose.{where}.filter[{place}]"
                text = messages.filter_without_value(system.url, property, op)
                id = "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE"
                raise Refused(Problem("error", "invalid", text, "vs-invalid", id, path), status=400)
            found.append(filter_of(system, property, op, str(value), self.value_set.get("url", "")))
        return found

    # Includes

    def _include(self, part: Json, where: str, active_only: bool) -> None:
        if part.get("valueSet") or part.get("concept") or len(part.get("filter") or ()) > 1:
            self.tree = False
        if not part.get("system"):
            self._include_value_sets([self._members(one) for one in part.get("valueSet") or ()])
            return
        system = self._use(part)
        among = [self._members(one) for one in part.get("valueSet") or ()]
        if part.get("concept"):
            self._include_listed(system, part["concept"], among, active_only)
        elif part.get("filter"):
            self._include_filtered(system, self._filters(system, part, where), among, active_only)
        else:
            self._include_whole(system, among, active_only)

    def _include_value_sets(self, among: list[Members]) -> None:
        if not among:
            return
        first, *others = among
        self.tree = False
        for item in first.parameters:
            if item not in self.parameters:
                self.parameters.append(item)
        used: set[str] = set()
        for pair, entry in first.entries.items():
            if all(pair in other.entries for other in others):
                used |= {one["code"] for one in entry.json.get("property") or ()}
                self._add(Entry(entry.system, entry.version, entry.code, entry.json))
        for code, uri in first.properties.items():
            if code in used:
                self.maker.properties.setdefault(code, uri)

    def _include_listed(self, system: System, items: Sequence[Json], among: list[Members], active_only: bool) -> None:
        asked = self.session.asked
        language = self.value_set.get("language")
        for item in items:
            concept = system.locate(item["code"])
            if concept is None:
                continue
            inactive = system.inactive(concept)
            if inactive and (asked.active_only or active_only):
                continue
            if asked.filter and not self.maker.matches(system, concept, item):
                continue
            if self._wanted(system, concept, among):
                self._add(self.maker.entry(system, concept, inactive, item, language))

    def _include_filtered(self, system: System, filters: list[Filter], among: list[Members], active_only: bool) -> None:
        candidates: Iterable[Concept]
        text = self.session.asked.filter
        if text and len(system) > LIMIT:
            # A list by relevance is of more use than a tree with most of its branches cut.
            self.tree = False
            candidates = (one for one in system.search(text) if all(test.passes(one) for test in filters))
        elif text:
            chosen = {concept.code for concept in system.search(text)}
            candidates = (concept for concept in all_of(system, filters) if concept.code in chosen)
        else:
            candidates = all_of(system, filters)
        if not system.hierarchical:
            self.tree = False
        self._include_each(system, candidates, among, active_only)

    def _include_whole(self, system: System, among: list[Members], active_only: bool) -> None:
        asked = self.session.asked
        if system.open_ended:
            self.unclosed = f"The code system {system.url} has a grammar, and so more codes than can be listed"
        if asked.filter:
            self.tree = False
            self._include_each(system, system.search(asked.filter), among, active_only)
            return
        plain = not (among or active_only or asked.active_only or asked.exclude_not_for_ui)
        alone = len(self.value_set["compose"].get("include") or ()) == 1 and not self.value_set["compose"].get(
            "exclude"
        )
        if plain and alone and not self.inner:
            if len(system) > self.limit and asked.count is None:
                raise self._too_costly()
            self.total = len(system) if not system.open_ended else None
        self._include_each(system, system.concepts(), among, active_only)

    def _include_each(
        self, system: System, concepts: Iterable[Concept], among: list[Members], active_only: bool
    ) -> None:
        asked = self.session.asked
        hierarchical = self.tree and system.hierarchical
        for concept in concepts:
            inactive = system.inactive(concept)
            if inactive and (active_only or asked.active_only):
                continue
            if asked.exclude_not_for_ui and system.abstract(concept):
                continue
            if not self._wanted(system, concept, among):
                continue
            parent = self._parent(system, concept) if hierarchical else None
            self._add(self.maker.entry(system, concept, inactive), parent)

    def _parent(self, system: System, concept: Concept) -> Entry | None:
        """The nearest concept above that is in the expansion; there is no tree when a concept is below several."""
        waiting, seen = [concept], set()
        while waiting:
            parents = system.parents(waiting.pop(0))
            if len(parents) > 1:
                self.tree = False
            for parent in parents:
                found = self.entries.get(self._key(system.url, system.version, parent.code))
                if found is not None:
                    return found
                if parent.code not in seen:
                    seen.add(parent.code)
                    waiting.append(parent)
        return None

    def _wanted(self, system: System, concept: Concept, among: list[Members]) -> bool:
        pair = (system.url, concept.code)
        return all(pair in members.entries for members in among)

    def _key(self, system: str, version: str | None, code: str) -> tuple[str, str, str]:
        with_version = self.by_version and not self.session.asked.versions_match
        return (system, (version or "") if with_version else "", code)

    def _add(self, entry: Entry, parent: Entry | None = None) -> None:
        key = self._key(entry.system, entry.version, entry.code)
        if key in self.excluded or key[:2] in self.excluded_systems or (key[0], "") in self.excluded_systems:
            return
        if key in self.entries:
            self.tree = False
            return
        asked = self.session.asked
        if not self.inner and asked.count is not None:
            wanted = asked.count + (asked.offset or 0)
            if len(self.entries) >= wanted and (self.total is not None or len(self.entries) >= self.limit):
                raise _PageFull
            if asked.filter and wanted and len(self.entries) >= wanted:
                raise _PageFull
        elif len(self.entries) >= self.limit:
            raise self._too_costly()
        if self.by_version and entry.version:
            entry.show_version()
        self.entries[key] = entry
        if parent is None:
            self.roots.append(entry)
        else:
            parent.children.append(entry)

    def _too_costly(self) -> Refused:
        name = canonical_of(self.value_set) or "of the request"
        return Refused(Problem("error", "too-costly", messages.too_costly(name, self.limit), "", "VALUESET_TOO_COSTLY"))

    # Excludes

    def _exclude(self, part: Json, where: str, whole: bool) -> None:
        if part.get("valueSet") or part.get("concept") or len(part.get("filter") or ()) > 1:
            self.tree = False
        if not part.get("system"):
            found = [self._members(one) for one in part.get("valueSet") or ()]
            if found:
                first, *others = found
                for pair, entry in first.entries.items():
                    if all(pair in other.entries for other in others):
                        self.excluded.add(self._key(entry.system, entry.version, entry.code))
            return
        system = self._use(part)
        among = [self._members(one) for one in part.get("valueSet") or ()]
        if part.get("concept"):
            located = (system.locate(item["code"]) for item in part["concept"])
            concepts: Iterable[Concept] = (one for one in located if one is not None)
        elif part.get("filter"):
            concepts = all_of(system, self._filters(system, part, where))
        elif not among and not whole:
            version = part.get("version") if self.by_version else None
            self.excluded_systems.add((system.url, version or ""))
            return
        else:
            concepts = system.concepts()
        for concept in concepts:
            if self._wanted(system, concept, among):
                self.excluded.add(self._key(system.url, system.version, concept.code))


def expand(session: Session, value_set: Json) -> Json:
    """The value set with its expansion. Raises Refused, Missing."""
    return Expansion(session, value_set).result()
