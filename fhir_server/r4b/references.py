"""References between resources: what their text means, where they stand, and rewriting them. R4B 2.3 (references)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.r4b.codec import Draft


@dataclass(frozen=True, slots=True)
class ParsedReference:
    """kind: local (``Patient/1``, or absolute at one of our base URLs), remote (another server's RESTful URL),
    contained (``#x``; id is x), urn (urn:uuid: or urn:oid:), conditional (``Patient?identifier=...``), other (any other
    URL). type and id are given for local and remote, version when there is ``/_history/v``; fragment without ``#``;
    url: the text without version and fragment."""

    kind: Literal["local", "remote", "contained", "urn", "conditional", "other"]
    url: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    fragment: str | None = None
    query: str | None = None


def parse_reference(text: str, base_urls: Sequence[str] = ()) -> ParsedReference:
    """Never raises; `base_urls` are this server's own, without or with a slash at the end."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Found:
    """A link inside a resource. kind: reference (Reference.reference), uri (uri, url, oid, uuid, canonical) or
    narrative (href and src in the XHTML; one Found per attribute). path: keys and indexes from the resource down."""

    kind: Literal["reference", "uri", "narrative"]
    path: tuple[str | int, ...]
    text: str


def find_references(data: dict[str, Any]) -> Iterator[Found]:
    """Every link of a resource, contained resources, extensions and Bundle entries included."""
    raise NotImplementedError


def rewrite_references(draft: Draft, resolve: Callable[[Found], str | None]) -> Draft:
    """The draft with every link replaced for which `resolve` gives a text; all other bytes stay. Returns the same draft
    when nothing changes."""
    raise NotImplementedError
