"""One code of an expansion: its display, designations and properties as they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from terminology.server.asked import Asked
from terminology.server.designations import Designation, of_json, preferred
from terminology.server.systems import Concept, System

Json = dict[str, Any]
_SD: Final = "http://hl7.org/fhir/StructureDefinition/"
_PROPERTY: Final = "http://hl7.org/fhir/concept-properties#"
_WORD: Final = re.compile(r"[^\W_]+")
#: Extension of a concept -> property of the expansion: (code, uri, value[x]).
_AS_PROPERTY: Final = {
    _SD + "codesystem-label": ("label", _PROPERTY + "label", "valueString"),
    _SD + "valueset-label": ("label", _PROPERTY + "label", "valueString"),
    _SD + "codesystem-conceptOrder": ("order", _PROPERTY + "order", "valueDecimal"),
    _SD + "valueset-conceptOrder": ("order", _PROPERTY + "order", "valueDecimal"),
    _SD + "itemWeight": ("weight", _PROPERTY + "itemWeight", "valueDecimal"),
    _SD + "structuredefinition-standards-status": ("status", _PROPERTY + "status", "valueCode"),
}
_FROM_SYSTEM: Final = frozenset(
    _SD + name for name in ("coding-sctdescid", "rendering-style", "rendering-xhtml", "codesystem-alternate")
)
_FROM_VALUE_SET: Final = frozenset(
    _SD + name
    for name in (
        "valueset-supplement",
        "valueset-deprecated",
        "valueset-concept-definition",
        "coding-sctdescid",
        "rendering-style",
        "rendering-xhtml",
    )
)


@dataclass(slots=True)
class Entry:
    """An item of expansion.contains and what is below it."""

    system: str
    version: str | None
    code: str
    json: Json
    children: list[Entry] = field(default_factory=list)
    gone: bool = False

    def show_version(self) -> None:
        if "version" not in self.json:
            self.json = {"system": self.system, "version": self.version, **self.json}

    def nested(self) -> Json:
        if not self.children:
            return self.json
        return {**self.json, "contains": [child.nested() for child in self.children]}


class Maker:
    """Makes entries. properties: code -> uri of every property that an entry has; supplements: those that were used."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._words = [word.lower() for word in _WORD.findall(asked.filter)]
        self._simple = not (asked.languages or asked.include_designations or asked.properties)
        self.properties: dict[str, str | None] = {}
        self.supplements: dict[str, None] = {}

    def matches(self, system: System, concept: Concept, item: Json) -> bool:
        """Whether an enumerated concept has the words of the text filter."""
        names = [name.value for name in system.designations(concept)]
        names += [one["value"] for one in item.get("designation") or ()]
        if item.get("display"):
            names.append(item["display"])
        if concept.code.lower().startswith(self._asked.filter.lower()):
            return True
        for name in names:
            have = [word.lower() for word in _WORD.findall(name)]
            if all(any(one.startswith(word) for one in have) for word in self._words):
                return True
        return False

    def entry(
        self, system: System, concept: Concept, inactive: bool, item: Json | None = None, language: str | None = None
    ) -> Entry:
        """item: the concept of the value set's definition, with a display and designations in its `language`."""
        json: Json = {"system": system.url}
        if system.abstract(concept):
            json["abstract"] = True
        if inactive:
            json["inactive"] = True
        json["code"] = concept.code
        for one in system.supplements:
            self.supplements.setdefault(one.canonical)
        self._name(json, system, concept, item, language)
        self._say(json, system, concept, item)
        return Entry(system.url, system.version, concept.code, json)

    def _name(self, json: Json, system: System, concept: Concept, item: Json | None, language: str | None) -> None:
        if self._simple and not system.supplements:
            display = (item or {}).get("display") or concept.display
            if display:
                json["display"] = display
            return
        names = system.designations(concept)
        if item is not None:
            if item.get("display"):
                names.insert(0, Designation(item["display"], language, None, display=True))
            names += [of_json(one) for one in item.get("designation") or ()]
        chosen = preferred(names, self._asked.languages)
        if chosen is not None and chosen.value:
            json["display"] = chosen.value
        if self._asked.include_designations:
            designations = [
                name.as_json()
                for name in names
                if name is not chosen and name.value and self._is_wanted(name) and not _repeats(name, json, language)
            ]
            if designations:
                json["designation"] = designations

    def _is_wanted(self, name: Designation) -> bool:
        if not self._asked.designations:
            return True
        for wanted in self._asked.designations:
            system, _, code = wanted.partition("|")
            if name.use is not None and (name.use.get("system"), name.use.get("code")) == (system, code):
                return True
            if system == "urn:ietf:bcp:47" and name.language == code:
                return True
        return False

    def _say(self, json: Json, system: System, concept: Concept, item: Json | None) -> None:
        state = system.state(concept)
        if state and state.lower() != "active":
            self._property(json, "status", _PROPERTY + "status", "valueCode", state)
        elif system.deprecated(concept):
            self._property(json, "status", _PROPERTY + "status", "valueCode", "deprecated")
        extensions = system.extensions(concept)
        stated = (item or {}).get("extension") or ()
        repeated: dict[str, Json] = {}
        for extension in extensions:
            url = extension.get("url", "")
            if url in _AS_PROPERTY:
                self._from_extension(json, extension)
            elif url in _FROM_SYSTEM:
                repeated[url] = extension
        for extension in stated:
            url = extension.get("url", "")
            if url in _AS_PROPERTY and not url.endswith("standards-status"):
                self._from_extension(json, extension)
            elif url in _FROM_VALUE_SET or url.endswith("standards-status"):
                repeated[url] = extension
        if repeated:
            json["extension"] = list(repeated.values())
        if self._asked.properties:
            self._properties(json, system, concept)

    def _from_extension(self, json: Json, extension: Json) -> None:
        code, uri, kind = _AS_PROPERTY[extension["url"]]
        value = next((extension[key] for key in extension if key.startswith("value")), None)
        if kind == "valueDecimal" and isinstance(value, str):
            value = Decimal(value)
        if value is not None:
            self._property(json, code, uri, kind, value)

    def _properties(self, json: Json, system: System, concept: Concept) -> None:
        wanted = self._asked.properties
        everything = "*" in wanted
        if "definition" in wanted and concept.definition:
            self._property(json, "definition", _PROPERTY + "definition", "valueString", concept.definition)
        for one in system.properties(concept):
            if everything or one.code in wanted:
                self._property(json, one.code, one.uri, one.kind, one.value, several=True)
        for name, step in (("parent", system.parents), ("child", system.children)):
            if name in wanted or everything:
                for other in step(concept):
                    self._property(json, name, _PROPERTY + name, "valueCode", other.code, several=True)

    def _property(
        self, json: Json, code: str, uri: str | None, kind: str, value: Any, *, several: bool = False
    ) -> None:
        if self.properties.get(code) is None:
            self.properties[code] = uri
        kept = json.setdefault("property", [])
        item = {"code": code, kind: value}
        if several:
            if item not in kept:
                kept.append(item)
            return
        for one in kept:
            if one["code"] == code:
                one[kind] = value
                return
        kept.append(item)


def _repeats(name: Designation, json: Json, language: str | None) -> bool:
    """True when a designation says no more than the display does."""
    same_language = name.language == language if language is None else (name.language or "").startswith(language)
    return bool(same_language and name.display and name.value == json.get("display"))
