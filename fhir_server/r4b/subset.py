"""Subsets of a resource for _summary and _elements. R4B 3.1.1.5.8 and 3.1.1.5.9.

They work on bytes: what stays, stays as it was written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from fhir_server.r4b.definitions import Element, definitions

SUBSETTED = b'{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}'

_Text = bytes | msgspec.Raw
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_ALWAYS = frozenset(("resourceType", "id", "meta"))


def summarize(raw: bytes, summary: Literal["true", "text", "data"]) -> bytes:
    """The summary of one resource's JSON, tagged SUBSETTED. Mandatory elements always stay, so the answer is valid.

    true: the elements marked as summary, at every level; text: id, meta, narrative and top-level mandatory elements;
    data: everything but the narrative."""
    members = _members.decode(raw)
    type_: str = msgspec.json.decode(members["resourceType"])
    if summary == "data":
        kept: dict[str, _Text] = {name: value for name, value in members.items() if name not in ("text", "_text")}
    elif summary == "text":
        keep = _ALWAYS | _mandatory(type_) | {"text"}
        kept = {name: value for name, value in members.items() if name.removeprefix("_") in keep}
    else:
        kept = _summary_of(members, type_)
        for name in ("id", "meta"):
            if name in members:
                kept[name] = members[name]
    return _tagged(kept)


def select_elements(raw: bytes, type: str, names: Collection[str]) -> bytes:
    """Only the top-level elements named, plus id, meta, mandatory and modifier ones; tagged SUBSETTED.

    names: element names, a choice with or without its type (``value`` or ``valueQuantity``), with or without the
    resource type in front."""
    wanted = {name.removeprefix(f"{type}.") for name in names}
    keep = set(_ALWAYS | _mandatory(type) | _modifiers(type))
    for element in definitions().elements(type).values():
        for name in element.json_names:
            if element.name in wanted or name in wanted or f"{element.name}[x]" in wanted:
                keep.add(name)
    return _tagged({n: v for n, v in _members.decode(raw).items() if n.removeprefix("_") in keep})


def _tagged(members: Mapping[str, _Text]) -> bytes:
    meta: dict[str, _Text] = dict(_members.decode(members["meta"])) if "meta" in members else {}
    tags: list[_Text] = list(_items.decode(meta["tag"])) if "tag" in meta else []
    if not any(b'"SUBSETTED"' in bytes(tag) for tag in tags):
        tags.append(SUBSETTED)
    meta["tag"] = b"[" + b",".join(tags) + b"]"
    parts = []
    for name, value in members.items():
        if name != "meta":
            parts.append(b"%s:%s" % (msgspec.json.encode(name), value))
        if name == ("meta" if "meta" in members else "resourceType"):
            parts.append(b'"meta":' + _object(meta))
    return b"{" + b",".join(parts) + b"}"


def _object(members: Mapping[str, _Text]) -> bytes:
    return b"{" + b",".join(b"%s:%s" % (msgspec.json.encode(name), value) for name, value in members.items()) + b"}"


def _summary_of(members: Mapping[str, msgspec.Raw], content: str) -> dict[str, _Text]:
    plan = _summary_plan(content)
    kept: dict[str, _Text] = {}
    for name, value in members.items():
        inner = plan.get(name)
        if inner == "":
            kept[name] = value
        elif inner is not None:
            text = _summary_value(value, inner)
            if text not in (b"{}", b"[]"):
                kept[name] = text
            elif name in _mandatory(content):
                kept[name] = value
    return kept


def _summary_value(value: msgspec.Raw, content: str) -> bytes:
    first = bytes(value)[:1]
    if first == b"[":
        parts = [_summary_value(item, content) for item in _items.decode(value)]
        return b"[" + b",".join(part for part in parts if part != b"{}") + b"]"
    if first != b"{":
        return bytes(value)
    return _object(_summary_of(_members.decode(value), content))


@lru_cache(maxsize=2048)
def _summary_plan(content: str) -> Mapping[str, str]:
    """Property -> what is inside it: a content key to go on with, '' to keep it whole. What is absent is left out."""
    plan: dict[str, str] = {"resourceType": ""}
    for element in definitions().elements(content).values():
        if not (element.summary or element.min or element.modifier):
            continue
        for name, type_ in element.json_names.items():
            whole = element.content is None and (definitions().is_primitive(type_.code) or type_.code == "Resource")
            plan[name] = "" if whole else element.content or type_.code
            if whole:
                plan["_" + name] = ""
    # An extension is nothing without its value, which no flag of its own marks.
    return dict.fromkeys(_names(content), "") if content == "Extension" else plan


def _names(content: str) -> list[str]:
    return [name for element in definitions().elements(content).values() for name in element.json_names]


def _json_names(elements: Collection[Element]) -> frozenset[str]:
    return frozenset(name for element in elements for name in element.json_names)


@lru_cache(maxsize=256)
def _mandatory(type_: str) -> frozenset[str]:
    return _json_names([e for e in definitions().elements(type_).values() if e.min])


@lru_cache(maxsize=256)
def _modifiers(type_: str) -> frozenset[str]:
    return _json_names([e for e in definitions().elements(type_).values() if e.modifier])
