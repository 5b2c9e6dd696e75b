"""What a webhook of Sporo's is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.jobs.names import Json
from fhir_server.jobs.usage import key_of
from fhir_server.jobs.webhooks import Notice

from .projection import body_json, kind_of, status_of, vendor_id
from .reading import view_of
from .translate import AUDIO, ICD10, metadata_of, webhook_url_of

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def notice(hub: Hub, task: Json) -> Notice | None:
    """The notice of a Task that has ended: what its own GET route answers; for an upload its id besides, and every
    extra field that the client sent."""
    url, status = webhook_url_of(task), status_of(task)
    if url is None or status not in ("completed", "failed"):
        return None
    view = await view_of(hub, task)
    body: Json = body_json(view)
    if kind_of(task) not in (ICD10, AUDIO):
        told: Json = {"upload_id": vendor_id(task)} | body
        body = {name: value for name, value in metadata_of(task).items() if name not in told} | told
    return Notice(event=f"sporo.{status}", url=url, body=body, key_id=key_of(task) or "")
