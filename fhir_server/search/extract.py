"""A resource -> its index entries, for every search parameter of its type. R4B 3.1.1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from html import unescape
from typing import Any, TypeVar

import msgspec

from fhir_server.r4b.definitions import definitions
from fhir_server.search.contained import add_contained, contained_of
from fhir_server.search.entries import Entries
from fhir_server.search.registry import Registry, default_registry
from fhir_server.search.sink import Sink

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_MARKUP = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_Entry = TypeVar("_Entry", bound=tuple[Any, ...])


def extract(
    type: str,
    data: dict[str, Any],
    *,
    base_urls: Sequence[str] = (),
    registry: Registry | None = None,
    text: bool = False,
) -> Entries:
    """Index entries of a resource given as parsed JSON (numbers as Decimal or int). Pure; never raises on odd content.

    base_urls: this server's own bases (absolute references below them become local). text: fill narrative and content.
    """
    known = registry or default_registry()
    entries = _entries(type, data, base_urls, known)
    if "contained" in data:
        for place, inside in contained_of(data):
            inner = inside["resourceType"]
            if definitions().is_resource(inner):
                add_contained(entries, inner, inside["id"], place, _entries(inner, inside, base_urls, known))
    if text:
        entries.narrative = narrative(data)
        entries.content = content(data)
    return entries


def _entries(type: str, data: dict[str, Any], base_urls: Sequence[str], registry: Registry) -> Entries:
    sink = Sink(data, base_urls)
    registry.program(type).run(data, sink)
    return Entries(
        _once(sink.tokens),
        _once(sink.strings),
        _once(sink.dates),
        _once(sink.numbers),
        _once(sink.quantities),
        _once(sink.references),
        _once(sink.uris),
    )


def extract_bytes(
    type: str,
    body: bytes,
    *,
    base_urls: Sequence[str] = (),
    registry: Registry | None = None,
    text: bool = False,
) -> Entries:
    """`extract` from the stored bytes."""
    return extract(type, _decode(body), base_urls=base_urls, registry=registry, text=text)


def narrative(data: dict[str, Any]) -> str:
    """The words of the resource's narrative, without markup."""
    text = data.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return _plain(div) if isinstance(div, str) else ""


def _plain(div: str) -> str:
    return " ".join(unescape(_MARKUP.sub(" ", div)).split())


def content(data: dict[str, Any]) -> str:
    """Every text in the resource that a person may look for: not the narrative, which has a place of its own, and not
    what only machines read (systems, links, references, ids, times of versions, base64)."""
    found: list[str] = []
    _gather(data, found)
    return " ".join(found)


def _gather(value: dict[str, Any], found: list[str]) -> None:
    for key, child in value.items():
        kind = type(child)
        if kind is str:
            if key not in _FOR_MACHINES and (len(child) <= 200 or key != "data"):
                found.append(child)
        elif kind is dict:
            if key not in _FOR_MACHINES:
                _gather(child, found)
        elif kind is list:
            _gather_list(child, found)


def _gather_list(items: list[Any], found: list[str]) -> None:
    for item in items:
        kind = type(item)
        if kind is dict:
            _gather(item, found)
        elif kind is str:
            found.append(item)
        elif kind is list:
            _gather_list(item, found)


_FOR_MACHINES = frozenset({"resourceType", "id", "meta", "div", "system", "url", "reference", "fullUrl", "version"})


def _once(found: list[_Entry]) -> list[_Entry]:
    if len(found) < 2:
        return found
    try:
        return list(dict.fromkeys(found))
    except TypeError:
        # An object or array where a text should be; validation says so, here it is only left out.
        return list(dict.fromkeys(row for row in found if all(isinstance(item, str | int) for item in row)))
