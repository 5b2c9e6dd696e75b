"""FHIRPath Patch: a Parameters resource of operations, applied to a resource (R4B fhirpatch.html). Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from fhir_server.fhirpath import FhirPathError, nodes
from fhir_server.fhirpath.values import Node, is_primitive
from fhir_server.r4b.definitions import Element, definitions
from fhir_server.r4b.outcome import BadRequest, Unprocessable

Json = dict[str, Any]


def apply_fhirpath_patch(resource: Mapping[str, Any], parameters: Mapping[str, Any]) -> Json:
    """A patched copy of `resource`.

    Raises BadRequest when the Parameters are not a patch, Unprocessable when an operation does not fit the resource.
    """
    patched = copy.deepcopy(dict(resource))
    operations = parameters.get("parameter")
    if parameters.get("resourceType") != "Parameters" or not isinstance(operations, list):
        raise BadRequest("A FHIRPath Patch is a Parameters resource with a parameter 'operation' for each change.")
    for place, operation in enumerate(operations):
        where = f"Parameters.parameter[{place}]"
        if not isinstance(operation, dict) or operation.get("name") != "operation":
            raise BadRequest(
                "Each parameter of a FHIRPath Patch must be called 'operation'.", expression=f"{where}.name"
            )
        _apply(patched, _Operation(operation.get("part"), where))
    return patched


class _Operation:
    """The parts of one operation, by name."""

    def __init__(self, parts: Any, where: str) -> None:
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise BadRequest("An operation has parts: type, path, and what its type needs.", expression=where)
        self.where = where
        self.parts: dict[str, Json] = {str(part.get("name")): part for part in parts}
        self.type = self.text("type")
        unknown = self.parts.keys() - {"type", "path", "name", "value", "index", "source", "destination"}
        if unknown:
            raise BadRequest(f"An operation has no part '{min(unknown)}'.", expression=where)

    def text(self, name: str) -> str:
        value = next((self.parts[name][key] for key in self.parts.get(name, {}) if key.startswith("value")), None)
        if not isinstance(value, str) or not value:
            raise BadRequest(f"The operation needs a part '{name}' with a string.", expression=self.where)
        return value

    def number(self, name: str) -> int:
        value = self.parts.get(name, {}).get("valueInteger")
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadRequest(
                f"The operation needs a part '{name}' with valueInteger, 0 or more.", expression=self.where
            )
        return value

    def value(self) -> tuple[Any, str | None]:
        """(the JSON, its type when value[x] tells it)."""
        part = self.parts.get("value")
        if part is None:
            raise BadRequest("The operation needs a part 'value'.", expression=self.where)
        return _part_value(part, self.where)

    def wrong(self, text: str) -> Unprocessable:
        return Unprocessable(text, expression=self.where)


def _part_value(part: Json, where: str) -> tuple[Any, str | None]:
    if "resource" in part:
        return part["resource"], None
    for key, value in part.items():
        if key.startswith("value"):
            name = key.removeprefix("value")
            lower = name[:1].lower() + name[1:]
            return value, lower if lower in definitions().primitives else name
    inner = part.get("part")
    if not isinstance(inner, list):
        raise BadRequest("A part 'value' holds value[x], a resource, or parts.", expression=where)
    built: Json = {}
    for child in inner:
        name, (value, kind) = str(child.get("name")), _part_value(child, where)
        # A repeated name is an element that repeats; one that may repeat but comes once is put right by its definition.
        if name in built:
            built[name] = [*(built[name] if isinstance(built[name], list) else [built[name]]), value]
        else:
            built[name] = value
        if kind is not None:
            built.setdefault("\0types", {})[name] = kind
    return built, None


def _apply(resource: Json, operation: _Operation) -> None:
    action = {"add": _add, "insert": _insert, "delete": _delete, "replace": _replace, "move": _move}.get(operation.type)
    if action is None:
        raise BadRequest(f"'{operation.type}' is not a type of operation.", expression=operation.where)
    action(resource, operation)


def _find(resource: Json, operation: _Operation) -> list[Node]:
    path = operation.text("path")
    try:
        found = nodes(path, resource)
    except FhirPathError as error:
        raise BadRequest(f"The path '{path}' cannot be evaluated: {error}.", expression=operation.where) from None
    if not all(isinstance(item, Node) for item in found):
        raise operation.wrong(f"The path '{path}' does not lead to an element.")
    return found


def _one(resource: Json, operation: _Operation) -> Node:
    found = _find(resource, operation)
    if len(found) != 1:
        raise operation.wrong(f"The path '{operation.text('path')}' finds {len(found)} elements; it must find one.")
    return found[0]


def _add(resource: Json, operation: _Operation) -> None:
    target, name = _one(resource, operation), operation.text("name")
    if not isinstance(target.value, dict):
        raise operation.wrong(f"{target.path} is a primitive; an element cannot be added to it.")
    value, kind = operation.value()
    element = _element(target.type, name)
    if element is None:
        raise operation.wrong(f"{target.type} has no element '{name}'.")
    key = _key(element, kind, value, operation)
    value = _settle(value, _content(element, key))
    if element.max == 1:
        if any(other in target.value for other in element.json_names):
            raise operation.wrong(f"{target.path}.{name} is there already; use replace.")
        target.value[key] = value
    else:
        added = value if isinstance(value, list) else [value]
        target.value.setdefault(key, []).extend(added)
        _pad(target.value, key)


def _insert(resource: Json, operation: _Operation) -> None:
    values, parent, key = _list_of(resource, operation)
    index = operation.number("index")
    if index > len(values):
        raise operation.wrong(f"The index {index} is past the end of {operation.text('path')} ({len(values)}).")
    value, _ = operation.value()
    element = _element(parent.type, key)
    values.insert(index, _settle(value, _content(element, key) if element else None))
    extras = parent.value.get(f"_{key}")
    if isinstance(extras, list):
        extras.insert(index, None)


def _move(resource: Json, operation: _Operation) -> None:
    values, parent, key = _list_of(resource, operation)
    source, destination = operation.number("source"), operation.number("destination")
    if max(source, destination) >= len(values):
        raise operation.wrong(f"An index is past the end of {operation.text('path')} ({len(values)}).")
    values.insert(destination, values.pop(source))
    extras = parent.value.get(f"_{key}")
    if isinstance(extras, list):
        extras.extend([None] * (len(values) - len(extras)))
        extras.insert(destination, extras.pop(source))


def _delete(resource: Json, operation: _Operation) -> None:
    found = _find(resource, operation)
    if len(found) > 1:
        raise operation.wrong(f"The path '{operation.text('path')}' finds {len(found)} elements; delete takes one.")
    for node in found:
        if node.parent is None:
            raise operation.wrong("The resource itself cannot be deleted by a patch.")
        _remove(node)


def _remove(node: Node) -> None:
    assert node.parent is not None
    owner = node.parent.extra if node.parent.extra is not None and not isinstance(node.parent.value, dict) else None
    container = node.parent.value if owner is None else owner
    for key in (node.key, f"_{node.key}"):
        held = container.get(key)
        if node.index is None:
            container.pop(key, None)
        elif isinstance(held, list) and node.index < len(held):
            held.pop(node.index)
            if not any(item is not None for item in held):
                container.pop(key)


def _replace(resource: Json, operation: _Operation) -> None:
    node = _one(resource, operation)
    value, kind = operation.value()
    parent = node.parent
    if parent is None:
        raise operation.wrong("The resource itself cannot be replaced by a patch.")
    if not isinstance(parent.value, dict):
        raise operation.wrong(f"{node.path} cannot be replaced here; replace {parent.path}.")
    element = _element(parent.type, node.key)
    if element is not None and element.choice:
        key = _key(element, kind, value, operation)
        value = _settle(value, _content(element, key))
        entries = [
            (key if name == node.key else name, value if name == node.key else held)
            for name, held in parent.value.items()
            if name != f"_{node.key}"
        ]
        parent.value.clear()
        parent.value.update(entries)
        if key not in parent.value:
            parent.value[key] = value
        return
    value = _settle(value, _content(element, node.key) if element else None)
    extras = parent.value.get(f"_{node.key}")
    if node.index is None:
        parent.value[node.key] = value
        parent.value.pop(f"_{node.key}", None)
    else:
        parent.value[node.key][node.index] = value
        if isinstance(extras, list) and node.index < len(extras):
            extras[node.index] = None


def _list_of(resource: Json, operation: _Operation) -> tuple[list[Any], Node, str]:
    found = _find(resource, operation)
    if not found:
        raise operation.wrong(f"The path '{operation.text('path')}' finds nothing.")
    first = found[0]
    if (
        first.parent is None
        or first.index is None
        or any(node.parent is not first.parent or node.key != first.key for node in found)
    ):
        raise operation.wrong(f"The path '{operation.text('path')}' must find the items of one list.")
    values = first.parent.value.get(first.key)
    if not isinstance(values, list):
        raise operation.wrong(f"{first.parent.path}.{first.key} is not a list.")
    return values, first.parent, first.key


def _element(type: str, name: str) -> Element | None:
    try:
        elements = definitions().elements(type)
    except KeyError:
        return None
    if name in elements:
        return elements[name]
    return next((element for element in elements.values() if element.choice and name in element.json_names), None)


def _key(element: Element, kind: str | None, value: Any, operation: _Operation) -> str:
    """The JSON property for a value of `kind`."""
    names = element.json_names
    if not element.choice:
        return next(iter(names))
    for key, reference in names.items():
        if reference.code == kind:
            return key
    raise operation.wrong(f"{element.path} cannot be a {kind or 'value without a type'}.")


def _content(element: Element, key: str) -> str | None:
    return element.content or (element.json_names[key].code if key in element.json_names else None)


def _settle(value: Any, type: str | None) -> Any:
    """Give a value built from parts the shape its definition asks for: lists where an element repeats, choice names."""
    if not isinstance(value, dict):
        return value
    kinds = value.pop("\0types", {})
    if type is None or is_primitive(type):
        return value
    settled: Json = {}
    for name, held in value.items():
        element = _element(type, name)
        if element is None:
            settled[name] = held
            continue
        key = (
            name
            if name in element.json_names
            else next((key for key, reference in element.json_names.items() if reference.code == kinds.get(name)), name)
        )
        inner = _content(element, key)
        items = [_settle(item, inner) for item in held] if isinstance(held, list) else [_settle(held, inner)]
        settled[key] = items if element.max != 1 else items[0] if not isinstance(held, list) else items
    return settled


def _pad(container: Json, key: str) -> None:
    extras = container.get(f"_{key}")
    if isinstance(extras, list):
        extras.extend([None] * (len(container[key]) - len(extras)))
