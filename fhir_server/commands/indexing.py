"""What the index should hold, for `check` and `reindex`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fhir_server.search.entries import Entries

if TYPE_CHECKING:
    from fhir_server.hub import Hub


def extractor(hub: Hub) -> Callable[[str, bytes], Entries]:
    """(type, stored bytes) -> index entries, exactly as this hub makes them when it writes."""
    from fhir_server.search.extract import extract_bytes

    def extract(type: str, body: bytes) -> Entries:
        return extract_bytes(type, body, base_urls=hub.base_urls, registry=hub.registry, text=hub.options.full_text)

    return extract
