"""The formats FHIR is exchanged in here: JSON, which is what is stored, and XML.

A format reads a body into JSON bytes and writes JSON bytes into itself. JSON is what everything inside speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.r4b.codec import pretty


@dataclass(frozen=True, slots=True)
class Format:
    """media_types: what is offered, best first; also: further types that mean the same; legacy: of older standards.

    read: body -> JSON bytes (raises BadRequest). write: JSON bytes of one resource, and whether to indent -> body.
    plain: reading, and writing without indentation, change nothing.
    """

    name: str
    media_types: tuple[str, ...]
    also: tuple[str, ...]
    legacy: tuple[str, ...]
    read: Callable[[bytes], bytes]
    write: Callable[[bytes, bool], bytes]
    plain: bool = False


def _read_json(body: bytes) -> bytes:
    return body


def _write_json(body: bytes, indent: bool) -> bytes:
    return pretty(body) if indent else body


# XML is loaded when it is first spoken: most servers never do.
def _read_xml(body: bytes) -> bytes:
    from fhir_server.r4b.xml import from_xml

    return from_xml(body)


def _write_xml(body: bytes, indent: bool) -> bytes:
    from fhir_server.r4b.xml import to_xml

    return to_xml(body, pretty=indent)


JSON: Final = Format(
    "json",
    ("application/fhir+json", "application/json"),
    ("text/json",),
    ("application/json+fhir",),
    _read_json,
    _write_json,
    plain=True,
)
XML: Final = Format(
    "xml", ("application/fhir+xml", "application/xml"), ("text/xml",), ("application/xml+fhir",), _read_xml, _write_xml
)
#: Every format spoken, the preferred first.
FORMATS: Final = (JSON, XML)


def format_of(media_type: str) -> Format | None:
    """The format of a media type (lower-case, without parameters)."""
    for each in FORMATS:
        if media_type in each.media_types or media_type in each.also or media_type in each.legacy:
            return each
    return None


def format_named(name: str) -> Format | None:
    """The format that a `_format` value names: a short name or a media type."""
    for each in FORMATS:
        if name.lower() == each.name:
            return each
    return format_of(name)
