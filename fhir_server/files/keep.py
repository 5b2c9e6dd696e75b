"""Uploads as Binary resources, and their bytes back. A large one is never in memory: its Binary names its blob."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fhir_server.files.multipart import Upload
from fhir_server.interactions import binaries
from fhir_server.r4b import codec
from fhir_server.search.extract import extract
from fhir_server.store.protocol import Put

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]


async def keep(hub: Hub, uploads: Sequence[tuple[str, Upload]]) -> list[Json]:
    """Keep (Binary id, upload) pairs. Large ones are written here, in one commit; gives the Binary resources of the
    small ones, to be written in the same transaction as what refers to them."""
    small: list[Json] = []
    writes: list[Put] = []
    for id, upload in uploads:
        binary: Json = {"resourceType": "Binary", "id": id, "contentType": upload.sniffed.media_type}
        if upload.blob is None:
            binary["data"] = base64.b64encode(upload.data or b"").decode("ascii")
            small.append(binary)
            continue
        draft = codec.draft_of(binary | binaries.named_blob(upload.blob))
        entries = extract("Binary", draft.data, base_urls=hub.base_urls, registry=hub.registry)
        writes.append(Put("Binary", id, partial(draft.render, id), entries, "PUT", 0))
    if writes:
        await hub.commit(writes)
    return small


async def content_of(hub: Hub, id: str) -> bytes | None:
    """The content of Binary/`id`; None when there is no such Binary (or it was deleted)."""
    version = await hub.store.read("Binary", id)
    if version is None or version.body is None:
        return None
    _, chunks, _ = await binaries.content(hub, version)
    try:
        return b"".join([chunk async for chunk in chunks])
    except KeyError:
        return None
