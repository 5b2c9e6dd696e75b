"""A patch inside a Bundle: a Binary that holds a JSON or XML Patch, or Parameters as they are. R4B 3.1.0.9.2."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from fhir_server.r4b import codec
from fhir_server.r4b.outcome import BadRequest

if TYPE_CHECKING:
    from fhir_server.hub import Hub


def content(hub: Hub, resource: bytes) -> tuple[bytes, str]:
    """(patch, its content type) of the resource of a PATCH entry. Raises BadRequest."""
    draft = codec.parse(resource, limits=hub.options.limits)
    if draft.type == "Parameters":
        return draft.raw, "application/fhir+json"
    if draft.type != "Binary":
        raise BadRequest(
            "A PATCH in a Bundle carries its patch as a Binary or as Parameters.", expression="Bundle.entry.resource"
        )
    try:
        data = base64.b64decode(draft.data.get("data") or "", validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise BadRequest("Binary.data is not base64.", code="value", expression="Binary.data") from None
    return data, str(draft.data.get("contentType") or "")
