"""A StructureDefinition as a tree of element definitions with their slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(slots=True)
class ElementNode:
    """One element of a profile. id: as in the snapshot; name: last step of its path without ``[x]``.

    children: by name; slices: by slice name, in order, each with children of its own.
    """

    definition: Json
    id: str
    name: str
    choice: bool = False
    children: dict[str, ElementNode] = field(default_factory=dict)
    slices: dict[str, ElementNode] = field(default_factory=dict)

    @property
    def min(self) -> int:
        return int(self.definition.get("min", 0))

    @property
    def max(self) -> int | None:
        """None is ``*``."""
        text = self.definition.get("max", "*")
        return None if text == "*" else int(text)

    @property
    def types(self) -> Sequence[Json]:
        types: Sequence[Json] = self.definition.get("type", ())
        return types

    def all_slices(self) -> Iterator[ElementNode]:
        """The slices and those re-sliced inside them."""
        for one in self.slices.values():
            yield one
            yield from one.all_slices()


@dataclass(frozen=True, slots=True)
class Profile:
    """url without version; type: what it constrains; root: its tree; context: where an extension may stand."""

    url: str
    type: str
    root: ElementNode
    resource: Json


def build_profile(structure: Json) -> Profile:
    """The tree of a StructureDefinition with a snapshot. ValueError when it has none."""
    elements = structure.get("snapshot", {}).get("element")
    if not elements:
        raise ValueError(f"The StructureDefinition {structure.get('url')} has no snapshot.")
    first = elements[0]
    root = ElementNode(first, str(first.get("id", first["path"])), str(first["path"]))
    for definition in elements[1:]:
        _place(root, definition)
    return Profile(str(structure.get("url", "")), str(structure.get("type", first["path"])), root, structure)


def _place(root: ElementNode, definition: Json) -> None:
    id = str(definition.get("id") or definition["path"])
    node = root
    steps = id.split(".")[1:]
    for place, step in enumerate(steps):
        text, _, slice_name = step.partition(":")
        name = text.removesuffix("[x]")
        last = place == len(steps) - 1
        child = node.children.get(name)
        if child is None:
            child = ElementNode(definition if last and not slice_name else {}, id, name, text.endswith("[x]"))
            node.children[name] = child
        elif last and not slice_name:
            child.definition = definition
        if slice_name:
            for part in slice_name.split("/"):
                child = child.slices.setdefault(part, ElementNode({}, id, name, text.endswith("[x]")))
            if last:
                child.definition = definition
                child.id = id
        node = child
