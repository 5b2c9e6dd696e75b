"""The formats FHIR is exchanged in here: JSON always, XML when the codec for it is there.

A format reads a body into JSON bytes and writes JSON bytes into itself. JSON is what everything inside speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final


@dataclass(frozen=True, slots=True)
class Format:
    """media_types: what is offered, best first; also: further types that mean the same; names: short `_format` names.

    read: body -> JSON bytes (raises BadRequest); write: JSON bytes of one resource -> body. plain: both do nothing.
    """

    name: str
    media_types: tuple[str, ...]
    also: tuple[str, ...]
    legacy: tuple[str, ...]
    read: Callable[[bytes], bytes]
    write: Callable[[bytes], bytes]
    plain: bool = False


def _same(body: bytes) -> bytes:
    return body


JSON: Final = Format(
    "json",
    ("application/fhir+json", "application/json"),
    ("text/json",),
    ("application/json+fhir",),
    _same,
    _same,
    plain=True,
)


@lru_cache(maxsize=1)
def formats() -> tuple[Format, ...]:
    """Every format spoken, the preferred first."""
    if find_spec("fhir_server.r4b.xml") is None:
        return (JSON,)
    codec = import_module("fhir_server.r4b.xml")
    xml = Format(
        "xml",
        ("application/fhir+xml", "application/xml"),
        ("text/xml",),
        ("application/xml+fhir",),
        codec.to_json,
        codec.to_xml,
    )
    return (JSON, xml)


def format_of(media_type: str) -> Format | None:
    """The format of a media type (lower-case, without parameters)."""
    for each in formats():
        if media_type in each.media_types or media_type in each.also or media_type in each.legacy:
            return each
    return None


def format_named(name: str) -> Format | None:
    """The format that a `_format` value names: a short name or a media type."""
    for each in formats():
        if name.lower() == each.name:
            return each
    return format_of(name)
