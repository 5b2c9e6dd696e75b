"""Bundles that operations answer with, from resources as JSON values."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_server.interactions.searchset import bundle
from fhir_server.r4b.codec import encode, instant

Json = Mapping[str, Any]


def now_us() -> int:
    return int(time.time() * 1000) * 1000


def full_url(base: str, resource: Json) -> str:
    return f"{base}/{resource['resourceType']}/{resource['id']}"


def searchset(
    base: str, matches: Sequence[Json], included: Iterable[Json] = (), *, search: Sequence[Json] = ()
) -> bytes:
    """A searchset Bundle. search: Bundle.entry.search of each match, where it says more than ``match``."""
    parts = [
        encode(
            {
                "fullUrl": full_url(base, resource),
                "resource": resource,
                "search": search[place] if search else {"mode": "match"},
            }
        )
        for place, resource in enumerate(matches)
    ]
    parts += [
        encode({"fullUrl": full_url(base, resource), "resource": resource, "search": {"mode": "include"}})
        for resource in included
    ]
    return bundle(b"searchset", parts, now=now_us(), total=len(matches))


def collection(base: str, resources: Iterable[Json], *, kind: str = "collection") -> dict[str, Any]:
    """A collection or document Bundle with an identifier and a timestamp of its own."""
    return {
        "resourceType": "Bundle",
        "type": kind,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"},
        "timestamp": instant(now_us()),
        "entry": [{"fullUrl": full_url(base, resource), "resource": resource} for resource in resources],
    }
