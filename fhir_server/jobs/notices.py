"""Notices of webhooks as Communications: what is to be told to whom, when to try (again), and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs import states
from fhir_server.jobs.names import Json, Names, own_extension
from fhir_server.r4b.outcome import Conflict, PreconditionFailed
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

CATEGORY: Final = "webhook"
EXTENSION: Final = "webhook-delivery"


@dataclass(frozen=True, slots=True)
class Notice:
    """event: dotted, e.g. "sporo.completed". body: JSON object to POST to `url`. key_id: the API key whose secret signs
    ('' is the server's own)."""

    event: str
    url: str
    body: Json
    key_id: str = ""


def notice_id(about: str, event: str) -> str:
    """The id of the Communication that tells of `event` about "Task/x": there is only one."""
    return str(uuid5(NAMESPACE_URL, f"webhook/{about}/{event}"))


async def announce(hub: Hub, notice: Notice, *, about: str, now: datetime, fixed: bool = True) -> bool:
    """Keep a notice about a resource ("DiagnosticReport/x"), to be delivered by a worker. False: it was there already.

    fixed: the body is kept and sent as it is now; otherwise the dialect of the Task is asked again at each attempt."""
    names = Names(hub.base_url)
    id = notice_id(about, notice.event)
    communication: Json = {
        "resourceType": "Communication",
        "id": id,
        "extension": [state_extension(names, notice.url, notice.event, notice.key_id, 0, now)],
        "identifier": [{"system": names.identifiers("webhook"), "value": message_id(id)}],
    }
    if about.startswith("Task/"):
        communication["basedOn"] = [{"reference": about}]
    communication |= {
        "status": "preparation",
        "category": [names.concept("communication-category", CATEGORY, "Webhook")],
        "medium": [{"text": "webhook"}],
        "about": [{"reference": about}],
        "topic": {"text": notice.event},
    }
    if fixed:
        communication["payload"] = [{"contentString": json.dumps(notice.body)}]
    try:
        await hub.save(SYSTEM, communication, if_match=0)
    except (PreconditionFailed, Conflict):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state that a Communication carries. due: when to try (again)."""

    url: str
    event: str
    key_id: str
    attempt: int
    due: datetime


def delivery_of(communication: Mapping[str, Any]) -> Delivery | None:
    """The state of a notice; None for a Communication that is none."""
    extension = own_extension(communication, EXTENSION)
    if extension is None:
        return None
    parts = {part.get("url"): part for part in extension.get("extension") or ()}
    try:
        return Delivery(
            url=str(parts["url"]["valueUrl"]),
            event=str(parts["event"]["valueCode"]),
            key_id=str(parts["key"]["valueString"]) if "key" in parts else "",
            attempt=int(parts["attempt"]["valueInteger"]),
            due=datetime.fromisoformat(parts["due"]["valueInstant"]),
        )
    except (KeyError, ValueError, TypeError):
        return None


def state_extension(names: Names, url: str, event: str, key_id: str, attempt: int, due: datetime) -> Json:
    """The extension that holds the state of a delivery."""
    parts: list[Json] = [{"url": "url", "valueUrl": url}, {"url": "event", "valueCode": event}]
    if key_id:
        parts.append({"url": "key", "valueString": key_id})
    parts.append({"url": "attempt", "valueInteger": attempt})
    parts.append({"url": "due", "valueInstant": states.instant(due)})
    return {"url": names.extension(EXTENSION), "extension": parts}


def message_id(id: str) -> str:
    """webhook-id of the notice that is Communication/`id`."""
    return f"msg_{id.replace('-', '')}"
