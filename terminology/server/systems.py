"""What the engine asks of a code system, whether it is a resource in memory or a part of an index file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.server.designations import DISPLAY, STANDARDS_STATUS, Designation, of_json

Json = dict[str, Any]
_PROPERTIES = "http://hl7.org/fhir/concept-properties#"


@dataclass(slots=True)
class Concept:
    """A code and what is said of it. key: the place of the system's own to find the rest by."""

    code: str
    display: str | None = None
    definition: str | None = None
    key: Any = None


@dataclass(frozen=True, slots=True)
class Property:
    """value[x] of a concept's property: kind is ``valueCode``, ``valueString``...; uri: of its definition."""

    code: str
    kind: str
    value: Any
    uri: str | None = None

    @property
    def text(self) -> str:
        """As filters compare it."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, dict):
            return str(self.value.get("code", ""))
        return str(self.value)


@dataclass(slots=True)
class Supplement:
    """A CodeSystem resource with content ``supplement``, by code."""

    resource: Json
    concepts: dict[str, Json] = field(default_factory=dict)

    @property
    def canonical(self) -> str:
        version = self.resource.get("version")
        return str(self.resource["url"]) + (f"|{version}" if version else "")

    def named(self, url: str) -> bool:
        return url in (self.resource.get("url"), self.canonical)


def supplement_of(resource: Json) -> Supplement:
    found: dict[str, Json] = {}
    waiting = list(resource.get("concept") or ())
    while waiting:
        concept = waiting.pop()
        found[concept["code"]] = concept
        waiting.extend(concept.get("concept") or ())
    return Supplement(resource, found)


def is_language_pack(resource: Json) -> bool:
    """True for a supplement that only adds designations, which is used whether or not it is named."""
    for extension in resource.get("extension") or ():
        if extension.get("url") == "http://hl7.org/fhir/StructureDefinition/codesystem-supplement-type":
            return bool(extension.get("valueCode") == "lang-pack")
    return False


class System(ABC):
    """A code system. meta: its resource without the concepts; supplements: those that apply to this question."""

    meta: Json
    supplements: tuple[Supplement, ...] = ()
    #: True when codes are built by a grammar, so that an expansion can never be all of them.
    open_ended = False

    @property
    def url(self) -> str:
        return str(self.meta["url"])

    @property
    def version(self) -> str | None:
        return self.meta.get("version")

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url

    @property
    def content(self) -> str:
        return str(self.meta.get("content", "complete"))

    @property
    def complete(self) -> bool:
        return self.content == "complete"

    @property
    def language(self) -> str | None:
        return self.meta.get("language")

    @property
    def case_sensitive(self) -> bool:
        return self.meta.get("caseSensitive", True) is not False

    def property_uri(self, code: str) -> str | None:
        return next((p.get("uri") for p in self.meta.get("property") or () if p.get("code") == code), None)

    def declares(self, code: str) -> bool:
        """True when the system defines such a property or filter."""
        return any(
            p.get("code") == code for p in (*(self.meta.get("property") or ()), *(self.meta.get("filter") or ()))
        )

    @abstractmethod
    def locate(self, code: str) -> Concept | None:
        """The concept of a code; in any case of letters when the system says that case does not matter."""

    @abstractmethod
    def concepts(self) -> Iterator[Concept]:
        """All of them, in the order of the definition: a parent before its children."""

    @abstractmethod
    def __len__(self) -> int: ...

    def __bool__(self) -> bool:
        return True

    @property
    @abstractmethod
    def hierarchical(self) -> bool: ...

    @abstractmethod
    def roots(self) -> list[Concept]: ...

    @abstractmethod
    def children(self, concept: Concept) -> list[Concept]: ...

    @abstractmethod
    def parents(self, concept: Concept) -> list[Concept]: ...

    @abstractmethod
    def ancestors(self, code: str) -> set[str]:
        """Codes above, without itself."""

    @abstractmethod
    def descendants(self, code: str) -> list[str]:
        """Codes below, without itself, in the order of the definition."""

    @abstractmethod
    def own_designations(self, concept: Concept) -> Sequence[Designation]:
        """Without the display, and without supplements."""

    @abstractmethod
    def own_properties(self, concept: Concept) -> Sequence[Property]: ...

    @abstractmethod
    def own_extensions(self, concept: Concept) -> Sequence[Json]: ...

    @abstractmethod
    def search(self, text: str) -> Iterator[Concept]:
        """Concepts that have every word of `text` in a designation, or whose code begins with it; the best first."""

    def having(self, property: str, op: str, value: str, test: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """(code, value as text) wherever the property's value passes `test`, which is what op and value mean."""
        for concept in self.concepts():
            for one in self.properties(concept):
                if one.code == property and test(one.text):
                    yield concept.code, one.text

    def members(self, name: str) -> Sequence[str] | None:
        """The codes of a named set of the system, e.g. a reference set; None when there is none of that name."""
        return None

    # What follows from the above

    def designations(self, concept: Concept) -> list[Designation]:
        found: list[Designation] = []
        if concept.display:
            found.append(Designation(concept.display, self.language, DISPLAY, display=True))
        found += self.own_designations(concept)
        for supplement in self.supplements:
            said = supplement.concepts.get(concept.code)
            if said is None:
                continue
            if said.get("display"):
                language = supplement.resource.get("language")
                found.append(Designation(said["display"], language, DISPLAY, display=True, source=supplement.canonical))
            found += [of_json(item, supplement.canonical) for item in said.get("designation") or ()]
        return found

    def properties(self, concept: Concept) -> list[Property]:
        found = list(self.own_properties(concept))
        for supplement in self.supplements:
            said = supplement.concepts.get(concept.code)
            if said is not None:
                found += properties_of(said, supplement.resource)
        return found

    def extensions(self, concept: Concept) -> list[Json]:
        found = list(self.own_extensions(concept))
        for supplement in self.supplements:
            said = supplement.concepts.get(concept.code)
            if said is not None:
                found += said.get("extension") or ()
        return found

    def state(self, concept: Concept) -> str | None:
        """The concept's status, e.g. retired, deprecated; None when nothing is said."""
        return status_of(self.own_properties(concept), self.own_extensions(concept))

    def inactive(self, concept: Concept) -> bool:
        return is_inactive(self.own_properties(concept), self.own_extensions(concept))

    def deprecated(self, concept: Concept) -> bool:
        for one in self.own_properties(concept):
            if one.code == "deprecated" and one.value is True:
                return True
            if one.code == "status" and one.value in ("deprecated", "retired"):
                return True
        return False

    def abstract(self, concept: Concept) -> bool:
        return is_abstract(self.own_properties(concept))


def properties_of(concept: Json, resource: Json) -> list[Property]:
    """The properties of a concept of a CodeSystem resource."""
    if "property" not in concept:
        return []
    uris = {p["code"]: p.get("uri") for p in resource.get("property") or () if "code" in p}
    found = []
    for item in concept["property"]:
        kind = next((key for key in item if key.startswith("value")), None)
        if kind is not None:
            found.append(Property(item["code"], kind, item[kind], uris.get(item["code"])))
    return found


def _standards_status(extensions: Sequence[Json]) -> str | None:
    for extension in extensions:
        if extension.get("url") == STANDARDS_STATUS:
            return extension.get("valueCode") or extension.get("valueString")
    return None


def is_abstract(properties: Sequence[Property]) -> bool:
    return any(
        one.value is True
        and (one.code in ("abstract", "not-selectable", "notSelectable") or one.uri == _PROPERTIES + "notSelectable")
        for one in properties
    )


def is_inactive(properties: Sequence[Property], extensions: Sequence[Json] = ()) -> bool:
    for one in properties:
        if one.code == "inactive" and one.value in (True, "true"):
            return True
        if one.code == "status" and one.value in ("inactive", "retired"):
            return True
    return (_standards_status(extensions) or "").lower() == "withdrawn"


def status_of(properties: Sequence[Property], extensions: Sequence[Json] = ()) -> str | None:
    for one in properties:
        if one.code == "status" or one.uri == _PROPERTIES + "status":
            return one.text
    for one in properties:
        if one.code in ("deprecated", "inactive", "retired") and one.value in (True, "true"):
            return one.code
    return _standards_status(extensions)
