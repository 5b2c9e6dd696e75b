"""What the vendor's routes read of FHIR, through the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fhir_server.jobs.names import Json
from fhir_server.jobs.runtime import version_of
from fhir_server.r4b.outcome import Conflict, FhirError, Gone, NotFound, PreconditionFailed
from fhir_server.security.caller import SYSTEM

from . import templates
from .projection import (
    View,
    condition_references,
    document_text,
    kind_of,
    output_reference,
    output_text,
    status_of,
)
from .translate import AUDIO, ICD10, id_system, local, minted

if TYPE_CHECKING:
    from fhir_server.hub import Hub

MAX_TEMPLATES: Final = 5_000


async def task_of(hub: Hub, id: str, *codes: str) -> Json | None:
    """The Task of one of these kinds with this vendor's id (24 hex digits); None when there is none."""
    for its in dict.fromkeys((id, id.lower())):
        task = await read(hub, "Task", its)
        if task is not None and kind_of(task) in codes:
            return task
    system = id_system(codes[0])
    found = await hub.find(SYSTEM, "Task", [("identifier", f"{system}|{id.lower()}")], limit=10)
    task = next((task for task in found if kind_of(task) in codes), None)
    return task if task is not None else await _unmarked(hub, id.lower(), system, codes)


async def _unmarked(hub: Hub, id: str, system: str, codes: tuple[str, ...]) -> Json | None:
    """The Task among those that a FHIR client wrote and no worker has seen. Each is given its vendor's id, so that
    there is none to look at the next time."""
    found = await hub.find(SYSTEM, "Task", [("code", ",".join(codes)), ("identifier:not", f"{system}|")], limit=1000)
    wanted = None
    for task in found:
        marked = await with_vendor_id(hub, task)
        if minted("Task", str(task["id"])) == id and kind_of(task) in codes:
            wanted = marked
    return wanted


async def with_vendor_id(hub: Hub, task: Json) -> Json:
    """The Task with its vendor's id among its identifiers, in the store too."""
    system = id_system(kind_of(task) or "")
    for _ in range(10):
        if any(identifier.get("system") == system for identifier in task.get("identifier") or ()):
            return task
        identifier = {"system": system, "value": minted("Task", str(task["id"]))}
        changed = task | {"identifier": [*(task.get("identifier") or ()), identifier]}
        try:
            await hub.save(SYSTEM, changed, if_match=version_of(task))
            return changed
        except (PreconditionFailed, Conflict):
            again = await read(hub, "Task", str(task["id"]))
            if again is None:
                return task
            task = again
    return task


async def view_of(hub: Hub, task: Json) -> View:
    """All that the routes show of a Task, as it is now."""
    if status_of(task) != "completed":
        return View(task)
    kind = kind_of(task)
    if kind == ICD10:
        return View(task, conditions=await _conditions(hub, task))
    wanted = ("transcript", "note") if kind == AUDIO else ("response",)
    texts = await asyncio.gather(*(_text(hub, task, name) for name in wanted))
    return View(task, dict(zip(wanted, texts, strict=True)))


async def _conditions(hub: Hub, task: Json) -> list[Json]:
    """What the Task's outputs name, then what a FHIR client has added with the Task as its evidence."""
    listed = condition_references(task)
    found, joined = await asyncio.gather(
        asyncio.gather(*(read(hub, *reference.split("/")) for reference in listed)),
        hub.find(SYSTEM, "Condition", [("evidence-detail", f"Task/{task['id']}"), ("_sort", "_lastUpdated")]),
    )
    known = set(listed)
    return [each for each in found if each is not None] + [
        each for each in joined if f"Condition/{each['id']}" not in known
    ]


async def _text(hub: Hub, task: Json, name: str) -> str | None:
    reference = output_reference(task, name)
    if reference is None:
        return output_text(task, name)
    document = await read(hub, *reference.split("/"))
    return await text_of_document(hub, document) if document is not None else None


async def text_of_document(hub: Hub, document: Mapping[str, Any]) -> str | None:
    """The text of a DocumentReference: inside it, or in a Binary of this server."""
    text = document_text(document)
    if text is not None or document.get("status") == "entered-in-error":
        return text
    for content in document.get("content") or ():
        reference = local((content.get("attachment") or {}).get("url"), "Binary")
        if reference:
            binary = await read(hub, *reference.split("/"))
            if binary is not None:
                return document_text(binary)
    return None


async def all_templates(hub: Hub) -> list[Json]:
    """Every template there is."""
    found = await hub.find(SYSTEM, "Questionnaire", [("status", "active")], limit=MAX_TEMPLATES)
    return [each for each in found if templates.is_template(each)]


async def template_of(hub: Hub, id: str) -> Json | None:
    """The template with this vendor's id; None when there is none."""
    found = await all_templates(hub)
    return next((each for each in found if templates.vendor_id(each) == id.lower()), None)


async def read(hub: Hub, type: str, id: str) -> Json | None:
    """The resource as it is now; None when there is none."""
    try:
        return await hub.read_resource(SYSTEM, type, id)
    except (NotFound, Gone):
        return None
    except FhirError as error:
        if error.status == 400:  # an id that cannot be one
            return None
        raise
