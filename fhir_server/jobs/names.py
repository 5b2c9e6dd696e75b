"""The server's own names: its extensions, code systems and identifier systems, all under its base URL.

They are written under the address the server has now and recognised by their last part, so that a server that moves to
another address still reads what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Names:
    """Canonical URLs under `base`, the FHIR base URL without a slash at the end."""

    base: str

    def extension(self, name: str) -> str:
        return f"{self.base}/StructureDefinition/{name}"

    def code_system(self, name: str) -> str:
        return f"{self.base}/CodeSystem/{name}"

    def identifiers(self, name: str) -> str:
        return f"{self.base}/NamingSystem/{name}"

    def concept(self, system: str, code: str, display: str = "") -> Json:
        """A CodeableConcept with one coding of an own code system."""
        coding = {"system": self.code_system(system), "code": code}
        if display:
            coding["display"] = display
        return {"coding": [coding]}


def is_own(url: object, kind: str, name: str) -> bool:
    """True when `url` is this server's (or its former address's) canonical for `kind` (CodeSystem, ...) and `name`."""
    return isinstance(url, str) and url.endswith(f"/{kind}/{name}")


def codes_in(concept: Mapping[str, Any] | None, system: str) -> Iterator[str]:
    """Codes of a CodeableConcept that are of the own code system `system`, or of no system at all."""
    for coding in (concept or {}).get("coding") or ():
        code = coding.get("code")
        if code and ("system" not in coding or is_own(coding["system"], "CodeSystem", system)):
            yield code


def own_extension(element: Mapping[str, Any], name: str) -> Json | None:
    """The first own extension called `name` on an element."""
    for extension in element.get("extension") or ():
        if is_own(extension.get("url"), "StructureDefinition", name):
            found: Json = extension
            return found
    return None


def without_extension(element: Mapping[str, Any], name: str) -> list[Json]:
    """The element's extensions but the own one called `name`."""
    return [
        extension
        for extension in element.get("extension") or ()
        if not is_own(extension.get("url"), "StructureDefinition", name)
    ]


def value_of(item: Mapping[str, Any]) -> Any:
    """The value[x] of an Extension, Task.input or Task.output, whatever its type; None when it has none."""
    for name, value in item.items():
        if name.startswith("value"):
            return value
    return None


def parameters(items: Sequence[Mapping[str, Any]] | None, name: str) -> Iterator[Any]:
    """Values of the Task.input (or Task.output) items whose type is the own task-parameter `name`, as a coding or
    (from a client that knows no codes) as text; "letter_date" counts as "letter-date"."""
    for item in items or ():
        type = item.get("type") or {}
        said = [*codes_in(type, "task-parameter"), type.get("text") or ""]
        if any(code.replace("_", "-") == name for code in said):
            value = value_of(item)
            if value is not None:
                yield value


def parameter(items: Sequence[Mapping[str, Any]] | None, name: str) -> Any:
    """The first such value, or None."""
    return next(parameters(items, name), None)
