"""What a Task goes through as a job: pure functions from one Task (a JSON object) to the next.

requested (or received, accepted, ready) -> in-progress, held by a lease -> completed or failed; ready again when an
attempt went wrong and another is allowed. The lease (who, until when, which attempt) is an own extension on the Task:
the Task in the store is the only record of a job.  R4B Task, inv-1 lastModified >= authoredOn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fhir_server.jobs.names import Json, Names, codes_in, is_own, own_extension, without_extension

WAITING: Final = frozenset({"requested", "received", "accepted", "ready"})
ENDED: Final = frozenset({"completed", "failed", "cancelled", "rejected", "entered-in-error"})
LEASE: Final = "job-lease"


@dataclass(frozen=True, slots=True)
class Lease:
    """worker: the holder's id ('' while waiting for another attempt); until: when it ends (or when to try again);
    attempt: 1 for the first; errors: how many attempts ended in an error (the others lost their worker)."""

    worker: str
    until: datetime
    attempt: int
    errors: int = 0


def instant(moment: datetime) -> str:
    """2026-01-01T00:00:00.000Z"""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def task_codes(task: Mapping[str, Any]) -> Iterable[str]:
    """The codes by which a runner is chosen: codings of the own task-code system, or without a system."""
    return codes_in(task.get("code"), "task-code")


def requester_of(task: Mapping[str, Any]) -> str:
    """Who asked for a Task, as one text: "system|value" of Task.requester.identifier, else its reference, else ''."""
    requester = task.get("requester") or {}
    identifier = requester.get("identifier") or {}
    if identifier.get("value"):
        return f"{identifier.get('system', '')}|{identifier['value']}"
    return str(requester.get("reference") or "")


def arrival_of(task: Mapping[str, Any]) -> str:
    """When a Task was asked for, as an instant's text in UTC that sorts by time: authoredOn, else when it was last
    written."""
    for said in (task.get("authoredOn"), (task.get("meta") or {}).get("lastUpdated")):
        if isinstance(said, str):
            with contextlib.suppress(ValueError):
                moment = datetime.fromisoformat(said)
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                return moment.astimezone(UTC).isoformat(timespec="microseconds")
    return ""


def lease_of(task: Mapping[str, Any]) -> Lease | None:
    """The lease on a Task; None when it has none, or one that cannot be read."""
    extension = own_extension(task, LEASE)
    if extension is None:
        return None
    parts = {part.get("url"): part for part in extension.get("extension") or ()}
    try:
        return Lease(
            worker=str(parts["worker"]["valueString"]) if "worker" in parts else "",
            until=datetime.fromisoformat(parts["until"]["valueInstant"]),
            attempt=int(parts["attempt"]["valueInteger"]),
            errors=int(parts["errors"]["valueInteger"]) if "errors" in parts else 0,
        )
    except (KeyError, ValueError, TypeError):
        return None


def due(task: Mapping[str, Any]) -> datetime | None:
    """When the Task wants a worker: the distant past for a new one, the lease's end for one that is held or waits to
    be tried again, None for one that has ended (or was never handed over: draft, on-hold)."""
    status = task.get("status")
    lease = lease_of(task)
    if status in WAITING or status == "in-progress":
        if lease is not None:
            return lease.until
        # in-progress without a lease is someone else's doing, not ours to run
        return datetime.min.replace(tzinfo=UTC) if status in WAITING else None
    return None


def _with_lease(task: Mapping[str, Any], names: Names, lease: Lease | None) -> Json:
    changed = dict(task)
    extensions = without_extension(task, LEASE)
    if lease is not None:
        parts: list[Json] = [{"url": "worker", "valueString": lease.worker}] if lease.worker else []
        parts.append({"url": "until", "valueInstant": instant(lease.until)})
        parts.append({"url": "attempt", "valueInteger": lease.attempt})
        if lease.errors:
            parts.append({"url": "errors", "valueInteger": lease.errors})
        extensions.append({"url": names.extension(LEASE), "extension": parts})
    if extensions:
        changed["extension"] = extensions
    else:
        changed.pop("extension", None)
    return changed


def _touched(task: Json, now: datetime) -> Json:
    """lastModified set, never before authoredOn (inv-1)."""
    moment = now
    authored = task.get("authoredOn")
    if isinstance(authored, str) and "T" in authored:
        with contextlib.suppress(ValueError, TypeError):
            moment = max(now, datetime.fromisoformat(authored))
    task["lastModified"] = instant(moment)
    return task


def _said(task: Mapping[str, Any], sentence: str) -> Json:
    """businessStatus with `sentence` for people; a dialect's own word for the status (a coding) stays beside it."""
    codings = [
        coding
        for coding in (task.get("businessStatus") or {}).get("coding") or ()
        if not is_own(coding.get("system"), "CodeSystem", "error-code")
    ]
    return ({"coding": codings} if codings else {}) | {"text": sentence}


def claimed(task: Mapping[str, Any], names: Names, *, worker: str, now: datetime, lease: timedelta) -> Json:
    """The Task in-progress, held by `worker` until now + lease, one attempt further."""
    before = lease_of(task)
    attempt = (before.attempt if before else 0) + 1
    changed = _with_lease(task, names, Lease(worker, now + lease, attempt, before.errors if before else 0))
    changed["status"] = "in-progress"
    changed["businessStatus"] = _said(task, "Started" if attempt == 1 else f"Started (attempt {attempt})")
    changed["executionPeriod"] = {"start": (task.get("executionPeriod") or {}).get("start") or instant(now)}
    return _touched(changed, now)


def renewed(task: Mapping[str, Any], names: Names, *, now: datetime, lease: timedelta, progress: str = "") -> Json:
    """The lease prolonged by its holder; `progress` (a sentence for people) goes into businessStatus."""
    held = lease_of(task)
    if held is None:
        raise ValueError("the Task is not held")
    changed = _with_lease(task, names, Lease(held.worker, now + lease, held.attempt, held.errors))
    if progress:
        changed["businessStatus"] = _said(task, progress)
    return _touched(changed, now)


def released(task: Mapping[str, Any], names: Names, *, now: datetime, again: datetime, error: bool) -> Json:
    """Given back, due again at `again`; error: the attempt went wrong (and was not merely interrupted)."""
    held = lease_of(task) or Lease("", now, 1)
    changed = _with_lease(task, names, Lease("", again, held.attempt, held.errors + error))
    changed["status"] = "ready"
    changed["businessStatus"] = _said(task, f"Waiting to be tried again after attempt {held.attempt}")
    return _touched(changed, now)


def completed(
    task: Mapping[str, Any],
    names: Names,
    *,
    now: datetime,
    outputs: Sequence[Json],
    business_status: Json | None = None,
) -> Json:
    """Done: outputs appended, the lease gone. business_status: a dialect's own word for it."""
    changed = _ended(task, names, now)
    changed["status"] = "completed"
    if business_status is not None:
        changed["businessStatus"] = business_status
    if outputs:
        changed["output"] = [*(task.get("output") or ()), *outputs]
    changed.pop("statusReason", None)
    return _touched(changed, now)


def failed(task: Mapping[str, Any], names: Names, *, now: datetime, code: str, reason: str) -> Json:
    """Given up. `reason` is a sentence for the client: it never holds anything of the patient or of the machine."""
    changed = _ended(task, names, now)
    changed["status"] = "failed"
    coding = {"system": names.code_system("error-code"), "code": code}
    changed["businessStatus"] = {"coding": [coding]}
    changed["statusReason"] = {"coding": [dict(coding)], "text": reason}
    return _touched(changed, now)


def _ended(task: Mapping[str, Any], names: Names, now: datetime) -> Json:
    changed = _with_lease(task, names, None)
    changed.pop("businessStatus", None)
    start = (task.get("executionPeriod") or {}).get("start")
    changed["executionPeriod"] = {"start": start, "end": instant(now)} if start else {"end": instant(now)}
    return changed
