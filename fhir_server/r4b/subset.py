"""Subsets of a resource for _summary and _elements. R4B 3.1.1.5.8 and 3.1.1.5.9."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal


def summarize(raw: bytes, summary: Literal["true", "text", "data"]) -> bytes:
    """The summary of one resource's JSON, tagged SUBSETTED. Bundle entries are not looked into."""
    raise NotImplementedError


def select_elements(raw: bytes, type: str, names: Collection[str]) -> bytes:
    """Only the top-level elements named, plus id, meta, mandatory and modifier ones; tagged SUBSETTED."""
    raise NotImplementedError
