"""What the vendor's routes read of FHIR, through the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fhir_server.jobs.names import Json
from fhir_server.jobs.states import task_codes
from fhir_server.r4b.outcome import FhirError, Gone, NotFound
from fhir_server.security.caller import SYSTEM

from .projection import View, is_derived_from, output_references, references_of, status_of
from .resources import RESULT_TYPES, subject_of
from .translate import CODE, decoded, document_reference, local, note_text

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def task_of(hub: Hub, task_id: str) -> Json | None:
    """The extraction Task with this id; None when there is none (or it is another kind of Task)."""
    task = await _read(hub, "Task", task_id)
    return task if task is not None and CODE in task_codes(task) else None


async def view_of(hub: Hub, task: Json) -> View:
    """All that the routes show of a Task, as it is now."""
    reference = document_reference(task)
    if status_of(task) != "SUCCESS":
        return View(task, await _read(hub, *reference.split("/")) if reference else None, [])
    listed = output_references(task)
    document, *found = await asyncio.gather(
        _read(hub, *reference.split("/")) if reference else _nothing(),
        *(_read(hub, *each.split("/")) for each in listed),
    )
    resources = [resource for resource in found if resource is not None]
    if reference is not None:
        resources += await _joined(hub, task, document, reference, references_of(resources))
    return View(task, document, resources, await note_in_binary(hub, document))


async def note_in_binary(hub: Hub, document: Mapping[str, Any] | None) -> str | None:
    """The note of a document whose text is not inside it but in a Binary of this server."""
    if document is None or note_text(document) is not None:
        return None
    for content in document.get("content") or ():
        attachment = content.get("attachment") or {}
        reference = local(attachment.get("url"), "Binary")
        if reference:
            binary = await _read(hub, *reference.split("/"))
            if binary is not None:
                return decoded(binary.get("data"), binary.get("contentType"))
    return None


async def _joined(hub: Hub, task: Json, document: Json | None, reference: str, known: set[str]) -> list[Json]:
    """Resources of the same patient that say they are derived from the note though the Task does not name them: what
    a FHIR client added. Nothing is derived from a note before the note is there."""
    subject = subject_of(task, document)
    if subject is None:
        return []
    since = str(((document or {}).get("meta") or {}).get("lastUpdated") or "")
    criteria = [("subject", subject)] + ([("_lastUpdated", f"ge{_first_written(task, since)}")] if since else [])
    sets = await asyncio.gather(*(hub.find(SYSTEM, type, criteria) for type in RESULT_TYPES))
    return [
        resource
        for found in sets
        for resource in found
        if f"{resource['resourceType']}/{resource['id']}" not in known and is_derived_from(resource, reference)
    ]


def _first_written(task: Mapping[str, Any], since: str) -> str:
    """The earlier of when the Task was asked for and when its note was last written (it may have been edited since)."""
    authored = task.get("authoredOn")
    return min(since, authored) if isinstance(authored, str) and authored.endswith("Z") else since


async def _read(hub: Hub, type: str, id: str) -> Json | None:
    try:
        return await hub.read_resource(SYSTEM, type, id)
    except (NotFound, Gone):
        return None
    except FhirError as error:
        if error.status == 400:  # an id that cannot be one
            return None
        raise


async def _nothing() -> None:
    return None
