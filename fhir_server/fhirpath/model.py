"""How a FHIRPath walks FHIR JSON: choice elements by their short name, primitives with their `_name` siblings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fhir_server.fhirpath.values import Collection, Node
from fhir_server.r4b.definitions import definitions


def root_node(resource: dict[str, Any]) -> Node:
    """The node of a whole resource."""
    type = str(resource.get("resourceType", "Resource"))
    return Node(resource, type, type)


@lru_cache(maxsize=8192)
def _properties(type: str, name: str) -> tuple[tuple[str, str], ...]:
    """(JSON property, type of its node) that element `name` of `type` may stand under."""
    try:
        elements = definitions().elements(type)
    except KeyError:
        return ((name, "string"),)
    element = elements.get(name)
    if element is None:
        # The JSON name of a choice (valueQuantity) is not a FHIRPath name, but real expressions use it.
        for other in elements.values():
            if other.choice and name in other.json_names:
                return ((name, other.json_names[name].code),)
        return ((name, "string"),) if name == "resourceType" else ()
    if element.content is not None and not element.choice:
        return tuple((key, element.content) for key in element.json_names)
    return tuple((key, reference.code) for key, reference in element.json_names.items())


def member(node: Node, name: str, into: Collection) -> None:
    """Append the children of `node` called `name`."""
    value = node.value
    if isinstance(value, dict):
        for key, type in _properties(node.type, name):
            if key in value or f"_{key}" in value:
                _append(node, key, name, type, into)
    elif name in ("id", "extension") and node.extra:
        _from_extra(node, name, into)


def children(node: Node) -> Collection:
    """All immediate children, in the order of the JSON."""
    result: Collection = []
    if isinstance(node.value, dict):
        types = _names(node.type)
        seen: set[str] = set()
        for written in node.value:
            key = written.removeprefix("_")
            if key in seen or key == "resourceType":
                continue
            seen.add(key)
            name, type = types.get(key, (key, "string"))
            _append(node, key, name, type, result)
    elif node.extra:
        for name in ("id", "extension"):
            _from_extra(node, name, result)
    return result


@lru_cache(maxsize=1024)
def _names(type: str) -> dict[str, tuple[str, str]]:
    """JSON property -> (FHIRPath name, type of its node)."""
    try:
        elements = definitions().elements(type)
    except KeyError:
        return {}
    return {key: (name, node_type) for name in elements for key, node_type in _properties(type, name)}


def _from_extra(node: Node, name: str, into: Collection) -> None:
    assert node.extra is not None
    found = node.extra.get(name)
    if name == "id" and found is not None:
        into.append(Node(found, "string", f"{node.path}.id", parent=node, key="id"))
    elif isinstance(found, list):
        into.extend(
            Node(item, "Extension", f"{node.path}.extension[{place}]", None, node, "extension", place)
            for place, item in enumerate(found)
        )


def _append(node: Node, key: str, name: str, type: str, into: Collection) -> None:
    value, extra = node.value.get(key), node.value.get(f"_{key}")
    path = f"{node.path}.{name}"
    if isinstance(value, list) or isinstance(extra, list):
        values = value if isinstance(value, list) else []
        extras = extra if isinstance(extra, list) else []
        for place in range(max(len(values), len(extras))):
            item = values[place] if place < len(values) else None
            sibling = extras[place] if place < len(extras) else None
            if item is not None or sibling:
                into.append(Node(item, _actual(type, item), f"{path}[{place}]", sibling, node, key, place))
    elif value is not None or extra:
        into.append(Node(value, _actual(type, value), path, extra, node, key))


def _actual(type: str, value: Any) -> str:
    """A contained or Bundle resource has the type it says it has."""
    if type in ("Resource", "DomainResource") and isinstance(value, dict):
        return str(value.get("resourceType", type))
    return type
