"""The parameters of a terminology operation, from the request and from the value set that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from terminology.server import messages
from terminology.server.languages import Languages, parse
from terminology.server.problems import Problem, Refused

Json = dict[str, Any]
Values = Sequence[tuple[str, Any]]
Mode = Literal["default", "check", "override"]

_RULES: dict[str, tuple[Mode, bool]] = {
    "system-version": ("default", False),
    "check-system-version": ("check", False),
    "force-system-version": ("override", False),
    "default-valueset-version": ("default", True),
    "check-valueset-version": ("check", True),
    "force-valueset-version": ("override", True),
}
_FLAGS = {
    "activeOnly": "active_only",
    "excludeNested": "exclude_nested",
    "excludeNotForUI": "exclude_not_for_ui",
    "excludePostCoordinated": "exclude_post_coordinated",
    "includeDesignations": "include_designations",
    "includeDefinition": "include_definition",
    "lenient-display-validation": "lenient_display",
    "valueset-membership-only": "membership_only",
    "versionsMatch": "versions_match",
    "inferSystem": "infer_system",
    "abstract": "abstract",
}
_NUMBERS = frozenset(("count", "offset"))
PARAMETER = frozenset(
    "http://hl7.org/fhir/" + path
    for path in (
        "StructureDefinition/valueset-expansion-parameter",
        "tools/StructureDefinition/valueset-expansion-parameter",
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A version parameter: mode for the system (or value set) with this url."""

    url: str
    version: str
    mode: Mode
    name: str


@dataclass(slots=True)
class Asked:
    """See the fields of R5's ValueSet/$expand and $validate-code. validating: languages have no implied wildcard."""

    validating: bool = False
    display_languages: Languages | None = None
    http_languages: Languages | None = None
    count: int | None = None
    offset: int | None = None
    filter: str = ""
    active_only: bool = False
    exclude_nested: bool = False
    exclude_not_for_ui: bool = False
    exclude_post_coordinated: bool = False
    include_designations: bool = False
    include_definition: bool = False
    lenient_display: bool = False
    membership_only: bool = False
    versions_match: bool = False
    infer_system: bool = False
    abstract: bool = True
    properties: list[str] = field(default_factory=list)
    designations: list[str] = field(default_factory=list)
    supplements: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    """Names of the single-valued parameters that were given."""

    @property
    def languages(self) -> Languages | None:
        return self.display_languages or self.http_languages

    def header(self, text: str) -> None:
        """Accept-Language. What cannot be read is as if it were not there: it is no parameter of the operation."""
        if text:
            try:
                self.http_languages = parse(text, not self.validating)
            except ValueError:
                return

    def see_all(self, values: Iterable[tuple[str, Any]]) -> None:
        for name, value in values:
            self.see(name, value)

    def see(self, name: str, value: Any, *, override: bool = True) -> None:
        """One parameter. override False: from the value set, which does not replace what the request says."""
        if name in _RULES:
            self._rule(name, value)
        elif name in ("designation", "property", "useSupplement"):
            kept = {"designation": self.designations, "property": self.properties, "useSupplement": self.supplements}
            if isinstance(value, str) and value not in kept[name]:
                kept[name].append(value)
        elif not override and name in self.given:
            return
        elif name in _FLAGS:
            self.given.add(name)
            setattr(self, _FLAGS[name], _flag(name, value))
        elif name in _NUMBERS:
            self.given.add(name)
            setattr(self, name, _number(name, value))
        elif name == "displayLanguage":
            self.given.add(name)
            try:
                self.display_languages = parse(str(value), not self.validating)
            except ValueError:
                text = messages.bad_language(str(value))
                raise Refused(
                    Problem("error", "processing", text, "invalid-display", "INVALID_DISPLAY_NAME"), status=400
                ) from None
        elif name == "filter":
            self.given.add(name)
            self.filter = str(value).strip()
        elif name == "profile" and isinstance(value, dict):
            self.see_all(values_of(value))

    def see_value_set(self, value_set: Json) -> None:
        """The expansion parameters and the language that a value set states for itself."""
        for extension in (value_set.get("compose") or {}).get("extension") or ():
            if extension.get("url") in PARAMETER:
                parts = {part.get("url"): part for part in extension.get("extension") or ()}
                name, value = _value(parts.get("name", {})), _value(parts.get("value", {}))
                if isinstance(name, str) and value is not None:
                    self.see(name, value, override=False)
        if self.http_languages is None and value_set.get("language"):
            self.header(value_set["language"])

    def _rule(self, name: str, value: Any) -> None:
        url, _, version = str(value).partition("|")
        if not url or not version:
            text = f"The parameter {name} is a canonical with a version, system|version, not '{value}'."
            raise Refused(Problem("error", "invalid", text), status=400)
        rule = Rule(url, version, _RULES[name][0], name)
        if rule not in self.rules:
            self.rules.append(rule)

    def version_of(self, url: str, version: str | None, used: list[tuple[str, str]] | None = None) -> str | None:
        """The version to use of a system or value set for which a definition says `version`.

        used: takes the rules that decided, as (parameter, canonical). Raises Refused for rules that contradict."""
        result = version
        rules = [rule for rule in self.rules if rule.url == url]
        if not rules:
            return result
        for mode in ("override", "default", "check"):
            if mode != "override" and result:
                break
            chosen = [rule for rule in rules if rule.mode == mode]
            versions = {rule.version for rule in chosen}
            if len(versions) > 1 and mode != "check":
                text = f"There are several {chosen[0].name} parameters for {url}: {', '.join(sorted(versions))}."
                raise Refused(Problem("error", "exception", text, "version-error"), status=400)
            if chosen:
                result = chosen[0].version
                if used is not None and (chosen[0].name, f"{url}|{result}") not in used:
                    used.append((chosen[0].name, f"{url}|{result}"))
        return result

    def checks(self, url: str) -> list[str]:
        """Versions that the check parameters require of a system."""
        return [rule.version for rule in self.rules if rule.url == url and rule.mode == "check"]


def values_of(parameters: Json) -> list[tuple[str, Any]]:
    """(name, value, resource or parts) of a Parameters resource."""
    found = []
    for item in parameters.get("parameter") or ():
        name = item.get("name")
        if "resource" in item:
            found.append((name, item["resource"]))
        elif "part" in item:
            found.append((name, item["part"]))
        else:
            found.append((name, _value(item)))
    return found


def _value(item: Json) -> Any:
    return next((item[key] for key in item if key.startswith("value")), None)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Refused(Problem("error", "invalid", f"The parameter '{name}' must be true or false."), status=400)


def _number(name: str, value: Any) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused(Problem("error", "invalid", f"The parameter '{name}' must be 0 or more."), status=400)
    return value
