"""What the vendor's routes and the analysis read of FHIR, through the hub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from fhir_server.jobs.names import Json
from fhir_server.jobs.states import task_codes
from fhir_server.r4b.outcome import FhirError, Gone, NotFound
from fhir_server.security.caller import SYSTEM

from .projection import CaseView, is_user, local, output_references
from .words import CODE, USER

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_AT_ONCE: Final = 100
_ALL: Final = 1_000_000


async def read(hub: Hub, type: str, id: str) -> Json | None:
    """The resource as it is now; None when there is none, or the id cannot be one."""
    if not _ID.fullmatch(id):
        return None
    try:
        return await hub.read_resource(SYSTEM, type, id)
    except (NotFound, Gone):
        return None
    except FhirError as error:
        if error.status == 400:
            return None
        raise


async def read_reference(hub: Hub, reference: str | None) -> Json | None:
    if reference is None:
        return None
    type, _, id = reference.rpartition("/")
    return await read(hub, type, id)


async def case_task(hub: Hub, case_id: str) -> Json | None:
    """The Task of this case; None when there is none (or it is another kind of Task)."""
    task = await read(hub, "Task", case_id)
    return task if task is not None and CODE in task_codes(task) else None


async def owner_of(hub: Hub, task: Mapping[str, Any]) -> str | None:
    """The user whose case it is: Task.requester's identifier, or that of the Practitioner to whom it refers."""
    requester = task.get("requester") or {}
    identifier = requester.get("identifier") or {}
    value = identifier.get("value")
    if isinstance(value, str) and is_user(identifier, value):
        return value
    id = local(requester.get("reference"), "Practitioner")
    person = await read(hub, "Practitioner", id) if id else None
    return user_of(person)


def user_of(person: Mapping[str, Any] | None) -> str | None:
    """The user whom a Practitioner stands for."""
    identifiers = (person or {}).get("identifier") or ()
    for system in (USER, None):
        for each in identifiers:
            if each.get("system") == system and each.get("value"):
                return str(each["value"])
    return None


async def patient_of(hub: Hub, task: Mapping[str, Any]) -> Json | None:
    id = local((task.get("for") or {}).get("reference"), "Patient")
    return await read(hub, "Patient", id) if id else None


async def documents_of(hub: Hub, task: Mapping[str, Any]) -> list[Json]:
    """The DocumentReferences of a case: those that name the Task in context.related, and those that its inputs name;
    also those that were made of one of them."""
    found = await hub.find(SYSTEM, "DocumentReference", [("related", f"Task/{task['id']}")])
    known = {str(each["id"]) for each in found}
    named = [id for id in input_documents(task) if id not in known]
    others = await asyncio.gather(*(read(hub, "DocumentReference", id) for id in named))
    return [*found, *(each for each in others if each is not None)]


def input_documents(task: Mapping[str, Any]) -> list[str]:
    """Ids of the DocumentReferences that the Task's inputs name, whatever they call them."""
    ids = (
        local((item.get("valueReference") or {}).get("reference"), "DocumentReference")
        for item in task.get("input") or ()
    )
    return list(dict.fromkeys(id for id in ids if id))


async def case_naming(hub: Hub, document: Mapping[str, Any]) -> str | None:
    """The id of a case of the same patient whose inputs name a document that does not name the case itself."""
    subject = local((document.get("subject") or {}).get("reference"), "Patient")
    if subject is None:
        return None
    found = await hub.find(SYSTEM, "Task", [("code", CODE), ("patient", f"Patient/{subject}")])
    return next((str(task["id"]) for task in found if str(document["id"]) in input_documents(task)), None)


async def view_of(hub: Hub, task: Json, owner: str | None) -> CaseView:
    """All that the routes show of a case."""
    named = output_references(task)
    (patient, documents), insights = await asyncio.gather(
        asyncio.gather(patient_of(hub, task), documents_of(hub, task)),
        asyncio.gather(*(read_reference(hub, each) for each in named.values())),
    )
    found = {name: each for name, each in zip(named, insights, strict=True) if each is not None}
    return CaseView(task, patient, owner, documents, found)


async def cases_of(hub: Hub, user: str | None) -> list[CaseView]:
    """The cases of one user (None: of all), newest first, without files and insights."""
    criteria = [("code", CODE), ("_sort", "-authored-on")]
    if user is None:
        tasks = await hub.find(SYSTEM, "Task", criteria, limit=_ALL)
        owners = await _owners(hub, tasks)
        return await _with_patients(hub, [(task, owners.get(str(task["id"]))) for task in tasks])
    token = escaped(user)
    people = await hub.find(SYSTEM, "Practitioner", [("identifier", f"{USER}|{token},|{token}")])
    searches = [[("requester:identifier", f"{USER}|{token},|{token}")]]
    references = [f"Practitioner/{person['id']}" for person in people if user_of(person) == user]
    if references:
        searches.append([("requester", ",".join(references))])
    sets = await asyncio.gather(*(hub.find(SYSTEM, "Task", [*criteria, *each], limit=_ALL) for each in searches))
    tasks = list({str(task["id"]): task for found in sets for task in found}.values())
    mine = [task for task in tasks if _may_be(task, user)]
    views = await _with_patients(hub, [(task, user) for task in mine])
    return sorted(views, key=lambda view: str(view.task.get("authoredOn") or ""), reverse=True)


def _may_be(task: Mapping[str, Any], user: str) -> bool:
    """False for a Task whose own identifier names another user, whatever it refers to."""
    identifier = (task.get("requester") or {}).get("identifier") or {}
    value = identifier.get("value")
    return not (isinstance(value, str) and is_user(identifier, value)) or value == user


async def _owners(hub: Hub, tasks: Iterable[Json]) -> dict[str, str | None]:
    listed = list(tasks)
    owners = await asyncio.gather(*(owner_of(hub, task) for task in listed))
    return {str(task["id"]): owner for task, owner in zip(listed, owners, strict=True)}


async def _with_patients(hub: Hub, cases: list[tuple[Json, str | None]]) -> list[CaseView]:
    wanted = [local((task.get("for") or {}).get("reference"), "Patient") for task, _ in cases]
    ids = list(dict.fromkeys(id for id in wanted if id and _ID.fullmatch(id)))
    groups = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    sets = await asyncio.gather(
        *(hub.find(SYSTEM, "Patient", [("_id", ",".join(group))], limit=_AT_ONCE) for group in groups)
    )
    patients = {str(patient["id"]): patient for found in sets for patient in found}
    return [CaseView(task, patients.get(id or ""), owner) for (task, owner), id in zip(cases, wanted, strict=True)]


def escaped(value: str) -> str:
    """A value inside a token search parameter (R4B 3.1.1.4.3: ``,``, ``|``, ``$`` and the backslash are escaped)."""
    return re.sub(r"([\\,|$])", r"\\\1", value)


def binary_of(document: Mapping[str, Any]) -> list[str]:
    """Ids of the Binaries that hold a document's content."""
    ids = (local((content.get("attachment") or {}).get("url"), "Binary") for content in document.get("content") or ())
    return [id for id in ids if id]


def is_input_of(item: Mapping[str, Any], file_id: str) -> bool:
    return local((item.get("valueReference") or {}).get("reference"), "DocumentReference") == file_id
