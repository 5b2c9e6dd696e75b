"""Which slice an element belongs to (R4B profiling.html, "Slicing")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.fhirpath import Context, FhirPathError, nodes
from fhir_server.fhirpath.types import ancestors
from fhir_server.fhirpath.values import Node
from fhir_server.profiles.matching import conforms, constant, equals
from fhir_server.profiles.profile import ElementNode, Profile


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What telling slices apart may need. conforms_to: (node, profile url) -> bool, None when it is not known."""

    context: Context
    profile: Callable[[str], Profile | None]
    conforms_to: Callable[[Node, str], bool | None]
    member_of: Callable[[Node, str], bool | None]


def matches(node: Node, slice: ElementNode, discriminators: Sequence[Mapping[str, str]], around: Surroundings) -> bool:
    """True when every discriminator of the slicing says so."""
    return all(_discriminates(node, slice, one["type"], one["path"], around) for one in discriminators)


def _discriminates(node: Node, slice: ElementNode, kind: str, path: str, around: Surroundings) -> bool:
    try:
        values = nodes(path, node, around.context)
    except FhirPathError:
        return False
    definitions = _definitions(slice, path, around)
    if kind == "exists":
        least = max((definition.min for definition in definitions), default=0)
        most = [definition.max for definition in definitions]
        return not values if 0 in most else bool(values) or least == 0
    if not values or not definitions:
        return False
    if kind == "type":
        return any(_is_of(value, definition.types) for value in values for definition in definitions)
    if kind == "profile":
        urls = [url for definition in definitions for type in definition.types for url in _profiles(type)]
        return any(around.conforms_to(value, url) is True for value in values for url in urls)
    return any(_has_value(value, definition, around) for value in values for definition in definitions)


def _profiles(type: Mapping[str, Any]) -> list[str]:
    return [*type.get("profile", ()), *type.get("targetProfile", ())]


def _is_of(value: Any, types: Sequence[Mapping[str, Any]]) -> bool:
    if not isinstance(value, Node):
        return False
    lineage = ancestors(value.type)
    for type in types:
        if type["code"] in lineage:
            return True
        # resolve() leads to a resource, whose type is the target of the reference
        if type["code"] == "Reference":
            return any(url.rsplit("/", 1)[-1] in lineage for url in type.get("targetProfile", ()))
    return False


def _has_value(value: Any, definition: ElementNode, around: Surroundings) -> bool:
    raw = value.value if isinstance(value, Node) else value
    decided = False
    for kind, test in (("fixed", equals), ("pattern", conforms)):
        given, wanted = constant(definition.definition, kind)
        if given:
            decided = True
            if not test(raw, wanted):
                return False
    for child in definition.children.values():
        # A pattern may be spelled out on the children instead.
        if any(constant(child.definition, kind)[0] for kind in ("fixed", "pattern")):
            decided = True
            inner = nodes(child.name, value) if isinstance(value, Node) else []
            if not any(_has_value(one, child, around) for one in inner):
                return False
    binding = definition.definition.get("binding", {})
    if not decided and binding.get("strength") == "required" and isinstance(value, Node):
        # A value set that is not known here cannot speak against the element.
        return around.member_of(value, str(binding.get("valueSet", ""))) is not False
    return decided


def _definitions(slice: ElementNode, path: str, around: Surroundings) -> list[ElementNode]:
    """The element definitions that a discriminator's path leads to within a slice."""
    found = [slice]
    for step in _steps(path):
        if step == "$this":
            continue
        following: list[ElementNode] = []
        for definition in found:
            if step == "resolve()":
                following.extend(_targets(definition, around))
            elif step.startswith("extension("):
                url = step[len("extension(") : -1].strip("'\"")
                following.extend(_extension(definition, url))
            elif step.startswith("ofType("):
                following.append(definition)
            else:
                following.extend(_child(definition, step, around))
        found = following
    return found


def _steps(path: str) -> list[str]:
    steps: list[str] = []
    depth, quoted, start = 0, False, 0
    for place, character in enumerate(path):
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if character == "." and depth == 0:
                steps.append(path[start:place])
                start = place + 1
    return [*steps, path[start:]]


def _child(definition: ElementNode, name: str, around: Surroundings) -> list[ElementNode]:
    child = definition.children.get(name)
    if child is not None:
        return [child, *child.all_slices()]
    found: list[ElementNode] = []
    for type in definition.types:
        for url in type.get("profile", ()):
            profile = around.profile(url)
            if profile is not None and name in profile.root.children:
                found.append(profile.root.children[name])
            elif profile is None and name == "url" and type["code"] == "Extension":
                # The url of an extension is the URL of its definition, even when that is not at hand.
                found.append(ElementNode({"fixedUri": url}, f"{definition.id}.url", "url"))
    return found


def _extension(definition: ElementNode, url: str) -> list[ElementNode]:
    extensions = definition.children.get("extension")
    if extensions is None:
        return []
    return [one for one in extensions.all_slices() if any(url in type.get("profile", ()) for type in one.types)]


def _targets(definition: ElementNode, around: Surroundings) -> list[ElementNode]:
    found = []
    for type in definition.types:
        for url in type.get("targetProfile", ()):
            profile = around.profile(url)
            if profile is not None:
                found.append(profile.root)
    return found
