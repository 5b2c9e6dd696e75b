"""Binary resources whose content is too large for a row: the content lives in the blob store. R4B 2.1 (Binary).

At rest such a Binary has, instead of ``data``, ``_data`` with one extension that names the blob; it never leaves the
hub in that form, and a client cannot send it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import Unavailable, Unprocessable
from fhir_server.store.protocol import Blob, Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_MARK: Final = b"urn:fhir-server:blob"
_URL: Final = _MARK.decode()


def refuse_mark(draft: Draft) -> None:
    """Raises Unprocessable for a Binary that names a blob by itself (it would read what is not its own)."""
    if draft.type == "Binary" and _MARK in draft.raw:
        raise Unprocessable(f"The extension {_URL} is this server's own; leave it out.", expression="Binary.data")


async def offload(hub: Hub, draft: Draft) -> Draft:
    """The draft as it is kept: content above the threshold goes to the blob store first."""
    if draft.type != "Binary" or len(draft.raw) * 3 // 4 <= hub.options.binary_threshold:
        return draft
    text = draft.data.get("data")
    if not isinstance(text, str) or len(text) * 3 // 4 <= hub.options.binary_threshold:
        return draft
    try:
        content = base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise Unprocessable("Binary.data is not base64.", expression="Binary.data") from None
    if base64.b64encode(content).decode() != text:
        # Unusual spacing would not come back as it was sent; then the text itself stays where it is.
        return draft
    blob = await hub.store.put_blob(_chunks(content))
    data: dict[str, Any] = {}
    for name, value in draft.data.items():
        if name == "data":
            data |= named_blob(blob)
        elif name != "_data":
            data[name] = value
    return codec.draft_of(data)


def named_blob(blob: Blob) -> dict[str, Any]:
    """What a Binary at rest has instead of ``data`` when its content is this blob."""
    return {"_data": {"extension": [{"url": _URL, "valueString": f"{blob.id}:{blob.size}"}]}}


async def _chunks(content: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def blob_of(version: Version) -> tuple[str, int] | None:
    """(blob id, size in bytes) of a Binary whose content is kept apart, else None."""
    if version.type != "Binary" or version.body is None or _MARK not in version.body:
        return None
    data = codec.decode(version.body)
    for extension in (data.get("_data") or {}).get("extension") or ():
        if extension.get("url") == _URL:
            id, _, size = extension["valueString"].partition(":")
            return id, int(size)
    return None


async def complete(hub: Hub, version: Version) -> Version:
    """The version with its content in place."""
    named = blob_of(version) if version.type == "Binary" else None
    if named is None:
        return version
    try:
        content = b"".join([chunk async for chunk in hub.store.open_blob(named[0])])
    except KeyError:
        raise Unavailable(f"The content of {version.type}/{version.id} is not there; check the blob store.") from None
    data: dict[str, Any] = {}
    for name, value in codec.decode(version.body or b"{}").items():
        if name == "_data":
            data["data"] = base64.b64encode(content).decode()
        else:
            data[name] = value
    return replace(version, body=codec.encode(data))


async def complete_all(hub: Hub, versions: Sequence[Version]) -> Sequence[Version]:
    if not any(version.type == "Binary" for version in versions):
        return versions
    return [await complete(hub, version) for version in versions]


async def content(hub: Hub, version: Version) -> tuple[str, AsyncIterator[bytes], int | None]:
    """A Binary's own bytes: (content type, chunks, size in bytes or None). For reads that ask for the raw form."""
    data = codec.decode(version.body or b"{}")
    named = blob_of(version)
    if named is not None:
        return data.get("contentType", "application/octet-stream"), hub.store.open_blob(named[0]), named[1]
    raw = base64.b64decode(data.get("data") or "")
    return data.get("contentType", "application/octet-stream"), _chunks(raw), len(raw)


def types_of(versions: Iterable[Version]) -> frozenset[str]:
    return frozenset(version.type for version in versions)
