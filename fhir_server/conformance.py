"""The server's own StructureDefinitions and CodeSystems: how they look, and how they are published at start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.runtime import current, put, same, version_of
from fhir_server.r4b.outcome import Conflict, PreconditionFailed
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/Extension"


def extension(names: Names, id: str, title: str, definition: str, contexts: Sequence[str], type: str) -> Json:
    """The StructureDefinition of a simple extension whose value has `type`, allowed on each of `contexts`."""
    url = names.extension(id)
    choice = f"value{type[0].upper()}{type[1:]}"
    return _definition(names, id, title, definition, contexts) | {
        "differential": {
            "element": [
                {"id": "Extension", "path": "Extension", "short": title, "definition": definition, "max": "1"},
                {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
                {"id": "Extension.url", "path": "Extension.url", "fixedUri": url},
                {
                    "id": "Extension.value[x]",
                    "path": "Extension.value[x]",
                    "short": choice,
                    "min": 1,
                    "type": [{"code": type}],
                },
            ]
        }
    }


def complex_extension(
    names: Names,
    id: str,
    title: str,
    definition: str,
    contexts: Sequence[str],
    parts: Sequence[tuple[str, str, int, str]],
) -> Json:
    """The StructureDefinition of an extension made of `parts`: (url, type, min, meaning)."""
    elements: list[Json] = [
        {"id": "Extension", "path": "Extension", "short": title, "definition": definition, "max": "1"},
        {
            "id": "Extension.extension",
            "path": "Extension.extension",
            "slicing": {"discriminator": [{"type": "value", "path": "url"}], "rules": "closed"},
        },
    ]
    for url, type, least, meaning in parts:
        slice_id = f"Extension.extension:{url}"
        elements += [
            {
                "id": slice_id,
                "path": "Extension.extension",
                "sliceName": url,
                "short": meaning,
                "min": least,
                "max": "1",
            },
            {"id": f"{slice_id}.url", "path": "Extension.extension.url", "fixedUri": url},
            {"id": f"{slice_id}.value[x]", "path": "Extension.extension.value[x]", "min": 1, "type": [{"code": type}]},
        ]
    elements += [
        {"id": "Extension.url", "path": "Extension.url", "fixedUri": names.extension(id)},
        {"id": "Extension.value[x]", "path": "Extension.value[x]", "max": "0"},
    ]
    return _definition(names, id, title, definition, contexts) | {"differential": {"element": elements}}


def _definition(names: Names, id: str, title: str, definition: str, contexts: Sequence[str]) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": id,
        "url": names.extension(id),
        "name": "".join(word.capitalize() for word in id.split("-")),
        "title": title,
        "status": "active",
        "description": definition,
        "fhirVersion": "4.3.0",
        "kind": "complex-type",
        "abstract": False,
        "context": [{"type": "element", "expression": context} for context in contexts],
        "type": "Extension",
        "baseDefinition": _EXTENSION,
        "derivation": "constraint",
    }


def code_system(names: Names, id: str, title: str, description: str, concepts: Iterable[tuple[str, str, str]]) -> Json:
    """A complete CodeSystem of (code, display, definition)."""
    listed = [{"code": code, "display": display, "definition": definition} for code, display, definition in concepts]
    return {
        "resourceType": "CodeSystem",
        "id": id,
        "url": names.code_system(id),
        "name": "".join(word.capitalize() for word in id.split("-")),
        "title": title,
        "status": "active",
        "description": description,
        "caseSensitive": True,
        "content": "complete",
        "count": len(listed),
        "concept": listed,
    }


def of_jobs(names: Names) -> list[Json]:
    """What jobs themselves bring."""
    return [
        complex_extension(
            names,
            "job-lease",
            "Lease on a job",
            "Which worker does the Task and until when nobody else takes it, or when it is to be tried again.",
            ["Task"],
            [
                ("worker", "string", 0, "Who holds it; absent while the Task waits for another attempt."),
                ("until", "instant", 1, "End of the lease, or when to try again."),
                ("attempt", "integer", 1, "Number of attempts so far."),
                ("errors", "integer", 0, "How many of them ended in an error."),
            ],
        ),
        complex_extension(
            names,
            "webhook-delivery",
            "Delivery of a webhook",
            "Where a notice is to be delivered, how often that was tried, and when it is tried (again).",
            ["Communication"],
            [
                ("url", "url", 1, "Where it is sent by POST."),
                ("event", "code", 1, "What it tells of."),
                ("key", "string", 0, "Id of the API key whose secret signs it; absent for the server's own."),
                ("attempt", "integer", 1, "Number of attempts so far."),
                ("due", "instant", 1, "When it is to be tried (again), while it is not delivered."),
            ],
        ),
        code_system(
            names,
            "communication-category",
            "Categories of Communications",
            "What kind of message a Communication of this server is.",
            [("webhook", "Webhook", "A notice to another system, by HTTP POST.")],
        ),
        code_system(
            names,
            "error-code",
            "Error codes",
            "Why a Task failed (Task.statusReason).",
            [
                ("internal-error", "Internal error", "The job could not be done because of an error of the server."),
                ("too-many-attempts", "Too many attempts", "Its worker was lost too often."),
                ("time-limit", "Time limit", "An attempt at the job took too long and was stopped."),
            ],
        ),
    ]


def merged(resources: Iterable[Json]) -> list[Json]:
    """CodeSystems with the same id become one with the concepts of all; of any other resource the first counts."""
    found: dict[tuple[str, str], Json] = {}
    for resource in resources:
        key = (resource["resourceType"], resource["id"])
        there = found.get(key)
        if there is None:
            found[key] = dict(resource)
        elif resource["resourceType"] == "CodeSystem":
            known = {concept["code"] for concept in there["concept"]}
            there["concept"] = there["concept"] + [each for each in resource["concept"] if each["code"] not in known]
            there["count"] = len(there["concept"])
    return list(found.values())


def _edited(old: Json, shipped: Json) -> bool:
    """True for a Questionnaire of the same version as the one that is shipped: what a site has changed in it stays."""
    return shipped["resourceType"] == "Questionnaire" and old.get("version") == shipped.get("version")


async def publish(hub: Hub, resources: Iterable[Json]) -> int:
    """Write, in one transaction, what is not there yet or differs. Gives how many were written; of several processes
    that start at once one writes."""
    wanted = merged(resources)
    there = await asyncio.gather(*(current(hub, each["resourceType"], each["id"]) for each in wanted))
    entries = [
        put(resource, if_match=version_of(old) if old is not None else 0)
        for resource, old in zip(wanted, there, strict=True)
        if old is None or not (same(old, resource) or _edited(old, resource))
    ]
    try:
        if entries:
            await hub.transact(SYSTEM, entries)
    except (PreconditionFailed, Conflict):
        return 0
    return len(entries)
