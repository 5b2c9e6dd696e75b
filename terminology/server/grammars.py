"""Code systems whose codes are made by rules and not listed: UCUM units, BCP 47 languages, BCP 13 media types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from terminology.server.designations import Designation
from terminology.server.languages import tag
from terminology.server.library import Offered
from terminology.server.systems import Concept, Property, Supplement, System
from terminology.ucum import UCUM, is_valid

Json = dict[str, Any]
BCP47: Final = "urn:ietf:bcp:47"
BCP13: Final = "urn:ietf:bcp:13"
_MEDIA: Final = re.compile(
    r"(application|audio|font|haptics|image|message|model|multipart|text|video|x-[a-z0-9\-]+)"
    r"/[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}(\s*;\s*[A-Za-z0-9!#$&\-^_.+]+=(\"[^\"]*\"|[^\s;\"]+))*\Z"
)


def _is_language(code: str) -> bool:
    try:
        tag(code)
    except ValueError:
        return False
    return True


def _is_media_type(code: str) -> bool:
    return _MEDIA.match(code) is not None


class Grammar(System):
    """See System. No code is listed; `locate` knows them all."""

    open_ended = True

    def __init__(self, meta: Json, valid: Callable[[str], bool], supplements: Sequence[Supplement] = ()) -> None:
        self.meta = meta
        self.supplements = tuple(supplements)
        self._valid = valid

    @property
    def hierarchical(self) -> bool:
        return False

    def locate(self, code: str) -> Concept | None:
        return Concept(code, code) if code and self._valid(code) else None

    def concepts(self) -> Iterator[Concept]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def roots(self) -> list[Concept]:
        return []

    def children(self, concept: Concept) -> list[Concept]:
        return []

    def parents(self, concept: Concept) -> list[Concept]:
        return []

    def ancestors(self, code: str) -> set[str]:
        return set()

    def descendants(self, code: str) -> list[str]:
        return []

    def own_designations(self, concept: Concept) -> Sequence[Designation]:
        return ()

    def own_properties(self, concept: Concept) -> Sequence[Property]:
        return ()

    def own_extensions(self, concept: Concept) -> Sequence[Json]:
        return ()

    def search(self, text: str) -> Iterator[Concept]:
        found = self.locate(text)
        return iter(() if found is None else (found,))


def _meta(url: str, name: str, title: str, version: str | None = None) -> Json:
    found: Json = {"resourceType": "CodeSystem", "url": url, "name": name, "title": title, "status": "active"}
    if version:
        found["version"] = version
    return found | {"experimental": False, "caseSensitive": url == UCUM, "compositional": True, "content": "complete"}


_GRAMMARS: Final = {
    UCUM: (_meta(UCUM, "UCUM", "Unified Code for Units of Measure (UCUM)", "2.2"), is_valid),
    BCP47: (_meta(BCP47, "Languages", "Tags for identifying languages (BCP 47)"), _is_language),
    BCP13: (_meta(BCP13, "MediaTypes", "Media types (BCP 13)"), _is_media_type),
}


class GrammarShelf:
    """The grammars, as the library asks for them."""

    def systems(self, url: str) -> Sequence[Offered]:
        found = _GRAMMARS.get(url)
        if found is None:
            return ()
        meta, valid = found
        return (Offered(url, meta.get("version"), "complete", partial(Grammar, meta, valid)),)

    def supplements(self, url: str) -> Sequence[Json]:
        return ()

    def value_sets(self, url: str) -> Sequence[Json]:
        return ()

    def maps(self, url: str) -> Sequence[Json]:
        return ()

    def maps_between(self, source: str | None, target: str | None) -> Sequence[Json]:
        return ()


def versions() -> list[tuple[str, str | None]]:
    """(url, version) of every grammar."""
    return [(url, meta.get("version")) for url, (meta, _) in _GRAMMARS.items()]
