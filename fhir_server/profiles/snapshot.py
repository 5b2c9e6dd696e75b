"""Snapshots: what a differential means on top of its base (R4B profiling.html, "Snapshot Generation").

The bases that the standard itself defines are made from the server's own tables, so nothing else has to be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhir_server.r4b.definitions import Element, definitions

Json = dict[str, Any]

_TYPE_URL = "http://hl7.org/fhir/StructureDefinition/"
#: Properties of an element that a differential adds to; every other one it states replaces the base's.
_ADDED = ("constraint", "condition", "mapping", "alias")


def base_structure(type: str) -> Json:
    """A StructureDefinition of a type of the standard, with as much of its snapshot as validation needs. KeyError."""
    elements = definitions().elements(type)
    listed: list[Json] = [{"id": type, "path": type, "min": 0, "max": "*"}]
    for element in elements.values():
        _list(element, element.path, listed, ())
    url = _TYPE_URL + type
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "type": type,
        "snapshot": {"element": listed},
    }


def _list(element: Element, path: str, into: list[Json], within: tuple[str, ...]) -> None:
    definition: Json = {
        "id": path,
        "path": path,
        "min": element.min,
        "max": "*" if element.max is None else str(element.max),
        "type": [_type(reference.code, reference.targets) for reference in element.types]
        or [{"code": "BackboneElement"}],
    }
    if element.binding is not None:
        definition["binding"] = {"strength": element.binding.strength, "valueSet": element.binding.value_set}
    into.append(definition)
    # A content reference to an element around this one would never end; its own rules are applied by the base check.
    if element.content is not None and element.content not in within and element.content == element.path:
        for inner in definitions().elements(element.content).values():
            _list(inner, f"{path}.{inner.path.rsplit('.', 1)[1]}", into, (*within, element.content))


def _type(code: str, targets: Sequence[str]) -> Json:
    found: Json = {"code": code}
    if targets:
        found["targetProfile"] = [_TYPE_URL + target for target in targets]
    return found


def generate_snapshot(structure: Mapping[str, Any], find: Callable[[str], Mapping[str, Any] | None]) -> Json:
    """The StructureDefinition with a snapshot. find: canonical URL to a StructureDefinition with a snapshot or None.

    ValueError when the base cannot be found or an element of the differential has no place in it.
    """
    base_url = structure.get("baseDefinition")
    base = find(str(base_url)) if base_url else None
    if base is None:
        raise ValueError(f"The base {base_url} of {structure.get('url')} is not known.")
    elements = [dict(element) for element in base["snapshot"]["element"]]
    type = str(structure.get("type") or base.get("type"))
    for stated in structure.get("differential", {}).get("element", ()):
        _merge(elements, dict(stated), type, find)
    return {**structure, "snapshot": {"element": elements}}


def _merge(elements: list[Json], stated: Json, type: str, find: Callable[[str], Mapping[str, Any] | None]) -> None:
    id = str(stated.get("id") or stated["path"])
    place = _index(elements, id)
    if place is None and ":" in id.rsplit(".", 1)[-1]:
        place = _new_slice(elements, id)
    if place is None:
        place = _unfold(elements, id, find)
    if place is None:
        raise ValueError(f"The element {id} has no place in {type}.")
    merged = {**elements[place], **stated, "id": id}
    for name in _ADDED:
        if name in stated and name in elements[place]:
            merged[name] = [*elements[place][name], *stated[name]]
    elements[place] = merged


def _index(elements: list[Json], id: str) -> int | None:
    wanted = {id, id.replace("[x]", "")}
    for place, element in enumerate(elements):
        if element["id"] in wanted or element["id"].replace("[x]", "") in wanted:
            return place
    return None


def _new_slice(elements: list[Json], id: str) -> int | None:
    """Copy the sliced element and all below it behind its last slice."""
    sliced, _, name = id.rpartition(":")
    if "/" in name:
        sliced = f"{sliced}:{name.rpartition('/')[0]}"
    start = _index(elements, sliced)
    if start is None:
        return None
    own = str(elements[start]["id"])
    end = start + 1
    while end < len(elements) and str(elements[end]["id"]).startswith((f"{own}.", f"{own}:")):
        end += 1
    below = [element for element in elements[start + 1 : end] if str(element["id"]).startswith(f"{own}.")]
    copied = [{**element, "id": id + str(element["id"])[len(own) :]} for element in (elements[start], *below)]
    copied[0].pop("slicing", None)
    # A slice may be absent even where the element itself may not.
    copied[0]["min"] = 0
    elements[end:end] = copied
    return end


def _unfold(elements: list[Json], id: str, find: Callable[[str], Mapping[str, Any] | None]) -> int | None:
    """Bring in the children of the nearest element above, from its type's (or type profile's) own definition."""
    parent, _, step = id.rpartition(".")
    if not parent:
        return None
    above = _index(elements, parent)
    if above is None:
        above = _unfold(elements, parent, find)
        if above is None:
            above = _new_slice(elements, parent) if ":" in parent.rsplit(".", 1)[-1] else None
    if above is None:
        return _choice_slice(elements, parent, step)
    own = str(elements[above]["id"])
    if not any(str(element["id"]).startswith(f"{own}.") for element in elements):
        types = elements[above].get("type", ())
        if len(types) == 1:
            profile = (types[0].get("profile") or [_TYPE_URL + types[0]["code"]])[0]
            source = find(profile) or find(_TYPE_URL + types[0]["code"])
            if source is not None:
                path = str(elements[above]["path"])
                inner = source["snapshot"]["element"]
                root = str(inner[0]["id"])
                elements[above + 1 : above + 1] = [
                    {
                        **element,
                        "id": own + str(element["id"])[len(root) :],
                        "path": path + str(element["path"])[len(str(inner[0]["path"])) :],
                    }
                    for element in inner[1:]
                ]
    found = _index(elements, id)
    if found is None and ":" in step:
        found = _new_slice(elements, id)
    return found if found is not None else _choice_slice(elements, parent, step)


def _choice_slice(elements: list[Json], parent: str, step: str) -> int | None:
    """``valueQuantity`` is the slice ``value[x]:valueQuantity``."""
    for place, element in enumerate(elements):
        id = str(element["id"])
        if id.startswith(f"{parent}.") and id.endswith("[x]") and "." not in id[len(parent) + 1 :]:
            name = id[len(parent) + 1 : -3]
            for type in element.get("type", ()):
                if step == name + type["code"][:1].upper() + type["code"][1:]:
                    elements.insert(place + 1, {**element, "id": f"{id}:{step}", "min": 0, "type": [type]})
                    return place + 1
    return None
