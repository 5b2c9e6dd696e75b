"""A job that was done at once: all of it in the transaction that makes its Task."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fhir_server.jobs import Outcome, states
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.provenance import engine_device, labelled, provenance
from fhir_server.jobs.runtime import current, put, same

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def completed_entries(hub: Hub, task: Json, outcome: Outcome, *, names: Names, now: datetime) -> list[Json]:
    """The entries that write the Task as completed, with what was made, who made it and from what."""
    device = engine_device(outcome.engine, outcome.version, names)
    there = await current(hub, "Device", str(device["id"]))
    made = [labelled(resource) for resource in outcome.resources]
    targets = [f"{resource['resourceType']}/{resource['id']}" for resource in made]
    done = states.completed(task, names, now=now, outputs=outcome.outputs)
    done["lastModified"] = task["lastModified"]
    record = provenance(task, outcome, targets, device=f"Device/{device['id']}", now=now)
    written = [*made, record, done] if there is not None and same(there, device) else [device, *made, record, done]
    return [put(resource) for resource in written]
