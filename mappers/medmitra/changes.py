"""What the vendor's routes write to FHIR, through the hub. Each is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from fhir_server.files.keep import keep
from fhir_server.files.multipart import Upload
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.provenance import labelled
from fhir_server.jobs.runtime import put, version_of
from fhir_server.r4b.outcome import Conflict, PreconditionFailed
from fhir_server.security.caller import SYSTEM

from .imaging import studies_of
from .insights import About, Insights, outputs_of, resources_of
from .projection import output_references
from .reading import binary_of, case_task, documents_of, is_input_of, patient_of, read
from .translate import (
    Changes,
    NewCase,
    NewFile,
    case_resources,
    changed,
    file_document,
    file_input,
    is_insight,
    practitioner,
    practitioner_id,
    requested_again,
    touched,
    with_gender,
    with_name,
    with_status,
)

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_ROUNDS: Final = 20
Entries = list[Json]


async def create(
    hub: Hub, case: NewCase, files: Sequence[tuple[NewFile, Upload]], *, settings: Any, names: Names, now: datetime
) -> tuple[Json, list[Json]]:
    """Patient, Practitioner, files and Task of a new case. Gives the Task and the DocumentReferences."""
    studies = await studies_of(hub, files, settings)
    given = [replace(file, study=studies.get(file.file_id)) for file, _ in files]
    resources = case_resources(case, given, names=names, now=now)
    binaries = await keep(hub, [(file.binary_id, upload) for file, upload in files])
    entries = [put(resource) for resource in [*binaries, *resources]]
    if await read(hub, "Practitioner", practitioner_id(case.user_id)) is None:
        entries.insert(0, put(practitioner(case.user_id)))
    await hub.transact(SYSTEM, entries)
    return resources[-1], [each for each in resources if each["resourceType"] == "DocumentReference"]


async def update(hub: Hub, case_id: str, given: Changes, *, names: Names, now: datetime) -> Json | None:
    """The case changed; None when it is not there any more."""

    async def entries(task: Json) -> Entries:
        patient = await patient_of(hub, task)
        after = changed(task, given, names=names, now=now)
        written: Entries = []
        if given.patient_name is not None or given.patient_gender is not None:
            person = (
                dict(patient)
                if patient is not None
                else {"resourceType": "Patient", "id": str(uuid4()), "active": True}
            )
            if given.patient_name is not None:
                with_name(person, given.patient_name)
            if given.patient_gender is not None:
                with_gender(person, given.patient_gender, names)
            written.append(put(person, if_match=version_of(patient) if patient is not None else 0))
            if patient is None:
                after["for"] = {"reference": f"Patient/{person['id']}"}
        return [*written, put(after, if_match=version_of(task))]

    return await _written(hub, case_id, entries)


async def add_files(
    hub: Hub, case_id: str, files: Sequence[tuple[NewFile, Upload]], *, settings: Any, names: Names, now: datetime
) -> list[Json] | None:
    """Files that join a case; their DocumentReferences, None when the case is not there any more."""
    studies = await studies_of(hub, files, settings)
    given = [replace(file, study=studies.get(file.file_id)) for file, _ in files]
    binaries = await keep(hub, [(file.binary_id, upload) for file, upload in files])
    made: list[Json] = []

    async def entries(task: Json) -> Entries:
        made[:] = [file_document(file, case_id, task.get("for"), now=now) for file in given]
        after = dict(task) | {"input": [*(task.get("input") or ()), *(file_input(file, names) for file in given)]}
        return [*(put(each) for each in [*binaries, *made]), put(touched(after, now), if_match=version_of(task))]

    return made if await _written(hub, case_id, entries) is not None else None


async def remove_file(hub: Hub, case_id: str, document: Mapping[str, Any], *, now: datetime) -> bool:
    """The file, its bytes and the text made of it deleted, and gone from the Task's inputs."""
    file_id = str(document["id"])

    async def entries(task: Json) -> Entries:
        made = [
            each
            for each in await documents_of(hub, task)
            if any(
                related.get("code") == "transforms"
                and str((related.get("target") or {}).get("reference", "")).endswith(f"DocumentReference/{file_id}")
                for related in each.get("relatesTo") or ()
            )
        ]
        after = dict(task)
        inputs = [item for item in task.get("input") or () if not is_input_of(item, file_id)]
        after.pop("input", None)
        if inputs:
            after["input"] = inputs
        return [*_deletions([dict(document), *made]), put(touched(after, now), if_match=version_of(task))]

    return await _written(hub, case_id, entries) is not None


async def delete(hub: Hub, case_id: str) -> bool:
    """Task, files and insights deleted; the Patient stays. False when there is no such case any more."""

    async def entries(task: Json) -> Entries:
        documents = await documents_of(hub, task)
        insights = [_deletion(reference) for reference in output_references(task).values()]
        return [*_deletions(documents), *insights, _deletion(f"Task/{case_id}", if_match=version_of(task))]

    return await _written(hub, case_id, entries) is not None


async def analyse_again(hub: Hub, case_id: str, *, names: Names, now: datetime) -> Json | None:
    """The case requested again, its insights deleted. Nothing changes when it still waits for its first analysis."""

    async def entries(task: Json) -> Entries:
        if task.get("status") == "requested" and not task.get("extension"):
            return []
        old = [_deletion(reference) for reference in output_references(task).values()]
        return [*old, put(requested_again(task, names=names, now=now), if_match=version_of(task))]

    return await _written(hub, case_id, entries)


async def keep_results(hub: Hub, case_id: str, found: Insights, *, names: Names, now: datetime) -> Json | None:
    """Insights that were found elsewhere, as the case's own; the case is then completed."""

    async def entries(task: Json) -> Entries:
        patient = await patient_of(hub, task)
        subject = f"Patient/{patient['id']}" if patient is not None else None
        requester = task.get("requester") or {}
        author = requester if requester else {"display": "MedMitra client"}
        made = resources_of(found, About(case_id, subject, author), names=names, now=now)
        gone = set(output_references(task).values()) - {
            f"{each['resourceType']}/{each['id']}" for each in made.values()
        }
        after = with_status(requested_again(task, names=names, now=now), "completed", names=names, now=now)
        kept = [item for item in after.get("output") or () if not is_insight(item)]
        outputs = [*kept, *outputs_of(made, names)]
        if outputs:
            after["output"] = outputs
        return [
            *(_deletion(reference) for reference in sorted(gone)),
            *(put(labelled(resource)) for resource in made.values()),
            put(after, if_match=version_of(task)),
        ]

    return await _written(hub, case_id, entries)


async def _written(hub: Hub, case_id: str, entries: Callable[[Json], Any]) -> Json | None:
    """Commit what `entries` makes of the Task as it is now, and again when somebody else was faster. The Task as it is
    afterwards ({} when it was deleted), None when there was none to begin with."""
    for _ in range(_ROUNDS):
        task = await case_task(hub, case_id)
        if task is None:
            return None
        wanted = await entries(task)
        if not wanted:
            return task
        try:
            await hub.transact(SYSTEM, wanted)
        except (PreconditionFailed, Conflict):
            await asyncio.sleep(0.01)
            continue
        return await case_task(hub, case_id) or {}
    raise Conflict("The case is being changed by others just now; try again.")


def _deletions(documents: Sequence[Json]) -> Entries:
    entries = []
    for document in documents:
        entries.append(_deletion(f"DocumentReference/{document['id']}"))
        entries += [_deletion(f"Binary/{id}") for id in binary_of(document)]
    return entries


def _deletion(url: str, *, if_match: int | None = None) -> Json:
    request = {"method": "DELETE", "url": url}
    if if_match is not None:
        request["ifMatch"] = f'W/"{if_match}"'
    return {"request": request}
