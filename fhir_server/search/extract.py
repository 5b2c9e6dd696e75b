"""A resource -> its index entries, for every search parameter of its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.entries import Entries
from fhir_server.search.registry import Registry


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
    raise NotImplementedError


def extract_bytes(
    type: str,
    body: bytes,
    *,
    base_urls: Sequence[str] = (),
    registry: Registry | None = None,
    text: bool = False,
) -> Entries:
    """`extract` from the stored bytes."""
    raise NotImplementedError
