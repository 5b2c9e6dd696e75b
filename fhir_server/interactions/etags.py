"""Weak ETags of versions, and what If-Match and If-None-Match say. R4B 3.1.0.1.3, 3.1.0.5.1."""

from __future__ import annotations

import re
from typing import Final

from fhir_server.r4b.outcome import BadRequest

_TAG: Final = re.compile(r'(?:W/)?"([A-Za-z0-9.\-]{1,64})"\Z|([0-9]{1,18})\Z')


def etag(version: int) -> str:
    """``W/"3"``."""
    return f'W/"{version}"'


def version_of(text: str | None) -> int | None:
    """The version an If-Match value names: None when there is no value, -1 for a tag that no version here can have.

    ``*`` is given as None by `matches_any`; several tags in one header are refused. Raises BadRequest.
    """
    if text is None or not text.strip():
        return None
    found = _TAG.match(text.strip())
    if found is None:
        raise BadRequest(f'If-Match must be one version\'s ETag such as W/"3", not {text[:80]!r}.', code="value")
    tag = found[1] or found[2]
    return int(tag) if tag.isdecimal() and tag.isascii() else -1


def tags_of(text: str | None) -> frozenset[int] | None:
    """The versions an If-None-Match value names; None when there is no value. ``*`` must be handled before."""
    if text is None or not text.strip():
        return None
    versions = set()
    for part in text.split(","):
        found = _TAG.match(part.strip())
        if found is None:
            raise BadRequest(f'If-None-Match must be * or ETags such as W/"3", not {text[:80]!r}.', code="value")
        tag = found[1] or found[2]
        if tag.isdecimal() and tag.isascii():
            versions.add(int(tag))
    return frozenset(versions)
