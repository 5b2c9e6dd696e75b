"""The profiles that this server holds, kept at hand between validations until one of their resources changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fhir_server.profiles.library import Library

if TYPE_CHECKING:
    from fhir_server.store.protocol import Store

#: What a library is made of.
_TYPES: Final = ("StructureDefinition", "ValueSet", "CodeSystem")
#: Seconds between two looks at what others have written.
_LOOK: Final = 1.0
#: Structures and value sets beyond which a library is begun anew.
_MOST: Final = 2_000


class Shelf:
    """One library for all validations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._library = Library()
        self._seen = -1
        self._looked = 0.0

    def changed(self, type: str) -> None:
        """This process has written a resource of this type."""
        if type in _TYPES:
            self._seen = -1

    async def library(self) -> Library:
        """A library that holds nothing outdated (for longer than a moment, when another process wrote it)."""
        now = time.monotonic()
        if self._seen >= 0 and now - self._looked < _LOOK and self._library.size() < _MOST:
            return self._library
        last = await self._store.last_seq()
        fresh = self._seen < 0 or self._library.size() >= _MOST
        if not fresh and last > self._seen:
            async for _ in self._store.changes(self._seen, types=_TYPES):
                fresh = True
                break
        if fresh:
            self._library = Library()
        self._seen, self._looked = last, now
        return self._library
