"""Where the index entries of one resource are gathered, and the names they go under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.search.entries import (
    DateEntry,
    NumberEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
)


class Names:
    """The index names that a value goes under: the parameters' own, and those derived for modifiers."""

    __slots__ = ("identifiers", "of_types", "params", "texts")

    def __init__(self, params: Sequence[str]) -> None:
        self.params = tuple(dict.fromkeys(params))
        whole = [param for param in self.params if "$" not in param]
        self.texts = tuple(f"{param}:text" for param in whole)
        self.identifiers = tuple(f"{param}:identifier" for param in whole)
        self.of_types = tuple(f"{param}:of-type" for param in whole)


class Sink:
    """Entries as they are found in one resource."""

    __slots__ = ("base_urls", "dates", "numbers", "quantities", "references", "resource", "strings", "tokens", "uris")

    def __init__(self, resource: dict[str, Any], base_urls: Sequence[str]) -> None:
        self.resource = resource
        self.base_urls = base_urls
        self.tokens: list[TokenEntry] = []
        self.strings: list[StringEntry] = []
        self.dates: list[DateEntry] = []
        self.numbers: list[NumberEntry] = []
        self.quantities: list[QuantityEntry] = []
        self.references: list[ReferenceEntry] = []
        self.uris: list[UriEntry] = []

    def size(self) -> int:
        return (
            len(self.tokens)
            + len(self.strings)
            + len(self.dates)
            + len(self.numbers)
            + len(self.quantities)
            + len(self.references)
            + len(self.uris)
        )

    def take(self, other: Sink) -> None:
        self.tokens += other.tokens
        self.strings += other.strings
        self.dates += other.dates
        self.numbers += other.numbers
        self.quantities += other.quantities
        self.references += other.references
        self.uris += other.uris


Emit = Callable[[Names, Any, Sink, int], None]
