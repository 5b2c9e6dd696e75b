"""Webhooks: a receiver is told, at least once and signed, that a job has ended.

A notice is a Communication: it is made as soon as the feed shows that a Task with a webhook has ended, it says when to
try (again) and what came of each attempt, and it is both the state and the log. A worker that dies loses none. What is
sent is made anew from the Task for each attempt. Signatures: Standard Webhooks (webhook-id, -timestamp, -signature).

    Notice                       what a dialect says of a Task that has ended (`notice` of the dialect)
    announce(hub, notice, ...)   make one; idempotent
    Deliveries(...).run()        make and deliver them, in a worker
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import msgspec
from standardwebhooks import Webhook

import fhir_server
from fhir_server.jobs import states
from fhir_server.jobs.egress import Policy, Refused, Undelivered, post
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.notices import (
    CATEGORY,
    EXTENSION,
    Delivery,
    Notice,
    announce,
    delivery_of,
    message_id,
    notice_id,
    state_extension,
)
from fhir_server.jobs.runtime import current, version_of
from fhir_server.jobs.secrets import Secrets, secrets_of
from fhir_server.r4b.outcome import Conflict, FhirError, PreconditionFailed
from fhir_server.search.query import And, Query, Token
from fhir_server.security.caller import SYSTEM
from fhir_server.store.protocol import StoreError

__all__ = ["Announcer", "Deliveries", "Notice", "announce", "deliveries", "delivery_of", "gauges"]

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.settings import Settings
    from fhir_server.store.protocol import Store

RETRY_SECONDS: Final = (2, 5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 36_000)
"""Pauses between attempts, each up to a fifth longer or shorter: twelve attempts in about a day."""
LEASE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
RECENT: Final = timedelta(hours=1)
"""On a store where no webhook was ever sent, Tasks that ended longer ago than this are history."""
AT_ONCE: Final = 16
CURSOR: Final = ("webhooks", "cursor")
_NOTES: Final = 50
_SEEN: Final = 10_000
log = logging.getLogger(__name__)


@runtime_checkable
class Announcer(Protocol):
    """A dialect whose Tasks have webhooks."""

    @property
    def runners(self) -> Mapping[str, Any]: ...

    async def notice(self, hub: Hub, task: Json) -> Notice | None: ...


Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]


class Deliveries:
    """Follows the store and delivers. One per worker; of those that share `lock` one works, and a claim on the
    Communication keeps those on other machines from doing the same."""

    def __init__(
        self,
        hub: Hub,
        announcers: Sequence[Announcer],
        secrets: Secrets,
        *,
        policy: Policy,
        lock: Path,
        retries: Sequence[float] = RETRY_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        send: Post | None = None,
    ) -> None:
        self._hub, self._announcers, self._secrets = hub, announcers, secrets
        self._names = Names(hub.base_url)
        self._policy, self._lock, self._retries, self._clock = policy, lock, tuple(retries), clock
        self._send = send or self._post
        self._due: dict[str, datetime] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._seq = 0
        self._saved = 0
        self._first = False

    async def run(self) -> None:
        """Until cancelled. A store that fails for a while is tried again."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(handle):  # noqa: ASYNC110 (another process holds it)
                await asyncio.sleep(0.5)
            started = False
            while True:
                try:
                    if not started:
                        await self.begin()
                        started = True
                    await self.step()
                except Exception as error:
                    log.warning("webhooks: the store could not be followed; trying again", exc_info=error)
                    started = False
                    await asyncio.sleep(1)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for running in self._running.values():
                running.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            os.close(handle)

    async def begin(self) -> None:
        """What is still to be delivered, and how far the feed was read."""
        record = await self._hub.store.get_record(*CURSOR)
        self._seq = self._saved = int(record.data["seq"]) if record else 0
        self._first = record is None
        self._due.clear()
        open_ones = await self._hub.find(
            SYSTEM,
            "Communication",
            [("category", CATEGORY), ("status", "preparation,in-progress")],
            limit=1_000_000,
        )
        for each in open_ones:
            self._note(each)

    async def step(self) -> None:
        """Take up what has changed, and start what is due."""
        store = self._hub.store
        last = await store.last_seq()
        if last != self._seq:
            relevant = False
            async for version in store.changes(self._seq, types=("Task", "Communication")):
                last = max(last, version.seq)
                if version.body is None:
                    self._due.pop(version.id, None)
                    continue
                if version.type == "Communication":
                    self._note(msgspec.json.decode(version.body))
                else:
                    relevant = await self._task(version.body, version.last_updated) or relevant
            self._seq = last
            # the cursor is itself a write: it moves when something was made of a Task, or far behind
            if relevant or self._first or self._seq - self._saved > 1000:
                await store.put_record(*CURSOR, {"seq": self._seq})
                self._saved, self._first = self._seq, False
        now = self._clock()
        for id, due in sorted(self._due.items(), key=lambda each: each[1]):
            if due > now or len(self._running) >= AT_ONCE:
                break
            if id not in self._running:
                del self._due[id]
                self._running[id] = asyncio.create_task(self._delivered(id))

    async def settle(self) -> None:
        """Wait for the deliveries that are under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _task(self, body: bytes, last_updated: int) -> bool:
        """Announce the Task if it has ended and has a webhook. True when there was one."""
        if b"webhook" not in body:
            return False
        task: Json = msgspec.json.decode(body)
        if task.get("status") not in states.ENDED or task["id"] in self._seen:
            return False
        if self._first and self._clock() - datetime.fromtimestamp(last_updated / 1e6, UTC) > RECENT:
            return False
        announcer = self._announcer(task)
        if announcer is None:
            return False
        notice = await announcer.notice(self._hub, task)
        if notice is None:
            return False
        about = f"Task/{task['id']}"
        if any([await current(self._hub, "Communication", each) for each in self._ids(about, notice.event)]):
            made = False
        else:
            made = await announce(self._hub, notice, about=about, now=self._clock(), fixed=False)
            self._due[notice_id(about, notice.event)] = self._clock()
        self._seen[task["id"]] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return made

    def _ids(self, about: str, event: str) -> list[str]:
        """Ids under which this Task's end may have been told already: it ends only once."""
        dialect = event.rpartition(".")[0]
        return [notice_id(about, f"{dialect}.{word}") for word in ("completed", "failed")]

    def _announcer(self, task: Json) -> Announcer | None:
        codes = set(states.task_codes(task))
        return next((each for each in self._announcers if codes & set(each.runners)), None)

    def _note(self, communication: Json) -> None:
        id = str(communication["id"])
        delivery = delivery_of(communication)
        if delivery is None or communication.get("status") not in ("preparation", "in-progress"):
            self._due.pop(id, None)
        else:
            self._due[id] = delivery.due

    async def _delivered(self, id: str) -> None:
        try:
            await self._attempt(id)
        except (StoreError, FhirError) as error:
            log.warning("webhooks: an attempt could not be noted; trying again", exc_info=error)
            self._due[id] = self._clock() + timedelta(seconds=LEASE_SECONDS)
        except Exception:
            log.exception("webhooks: an attempt went wrong")
            self._due[id] = self._clock() + timedelta(seconds=LEASE_SECONDS)
        finally:
            self._running.pop(id, None)

    async def _attempt(self, id: str) -> None:
        """Claim, send, note what came of it."""
        communication = await current(self._hub, "Communication", id)
        delivery = delivery_of(communication) if communication is not None else None
        if (
            communication is None
            or delivery is None
            or communication.get("status") not in ("preparation", "in-progress")
        ):
            return
        now = self._clock()
        if delivery.due > now:
            self._due[id] = delivery.due
            return
        attempt = delivery.attempt + 1
        claimed = self._with(communication, delivery, attempt, now + timedelta(seconds=LEASE_SECONDS))
        claimed["status"] = "in-progress"
        try:
            version = await self._hub.save(SYSTEM, claimed, if_match=version_of(communication))
        except (PreconditionFailed, Conflict):
            return
        ok, final, words = await self._result(communication, delivery)
        await self._hub.store.add_counter(f"webhooks/{'delivered' if ok else 'not-delivered'}", 1)
        done = self._noted(claimed, delivery, attempt, ok=ok, final=final, words=words)
        with contextlib.suppress(PreconditionFailed, Conflict):  # someone else has stopped it
            await self._hub.save(SYSTEM, done, if_match=version.version)
        if not ok:
            log.info("webhooks: attempt %d of Communication/%s: %s", attempt, id, words)

    async def _result(self, communication: Json, delivery: Delivery) -> tuple[bool, bool, str]:
        """(delivered, no further attempt, what came of it) of one attempt."""
        body = await self._body(communication)
        if body is None:
            return False, True, "there is nothing to tell any more"
        try:
            status = await self._send(delivery.url, body, await self._headers(communication, delivery, body))
        except Refused as error:
            return False, True, f"refused: {error}"
        except Undelivered as error:
            return False, False, str(error)
        if 200 <= status < 300:
            return True, True, f"the receiver answered {status}"
        redirect = " (redirects are not followed)" if 300 <= status < 400 else ""
        return False, status == 410, f"the receiver answered {status}{redirect}"

    async def _body(self, communication: Json) -> bytes | None:
        for payload in communication.get("payload") or ():
            if "contentString" in payload:
                return str(payload["contentString"]).encode()
        for reference in communication.get("basedOn") or ():
            type, _, id = str(reference.get("reference")).partition("/")
            task = await current(self._hub, "Task", id) if type == "Task" else None
            announcer = self._announcer(task) if task is not None else None
            if task is not None and announcer is not None:
                notice = await announcer.notice(self._hub, task)
                return json.dumps(notice.body, default=_plain).encode() if notice is not None else None
        return None

    async def _headers(self, communication: Json, delivery: Delivery, body: bytes) -> dict[str, str]:
        id, now = message_id(str(communication["id"])), self._clock()
        text = body.decode()
        secrets = await self._secrets.of(delivery.key_id, now)
        return {
            "Content-Type": "application/json",
            "User-Agent": f"fhir-server/{fhir_server.__version__}",
            "webhook-id": id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Webhook(secret).sign(id, now, text) for secret in secrets),
        }

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return await post(url, body, headers, policy=self._policy)

    def _with(self, communication: Json, delivery: Delivery, attempt: int, due: datetime) -> Json:
        state = state_extension(self._names, delivery.url, delivery.event, delivery.key_id, attempt, due)
        others = [
            each
            for each in communication.get("extension") or ()
            if not str(each.get("url")).endswith(f"/StructureDefinition/{EXTENSION}")
        ]
        return communication | {"extension": [*others, state]}

    def _noted(self, claimed: Json, delivery: Delivery, attempt: int, *, ok: bool, final: bool, words: str) -> Json:
        """The Communication after an attempt: done, given up, or to be tried again."""
        now = self._clock()
        again = attempt <= len(self._retries) and not final
        pause = self._retries[attempt - 1] * random.uniform(0.8, 1.2) if again else 0.0  # noqa: S311
        noted = self._with(claimed, delivery, attempt, now + timedelta(seconds=pause))
        said = {"time": states.instant(now), "text": f"Attempt {attempt}: {words}."}
        noted["note"] = [*(claimed.get("note") or ())[-_NOTES:], said]
        noted.pop("statusReason", None)
        if ok:
            noted["status"] = "completed"
            noted["sent"] = states.instant(now)
        elif again:
            noted["status"] = "in-progress"
        else:
            noted["status"] = "stopped" if not words.startswith("refused") else "not-done"
            noted["statusReason"] = {"text": words}
        return noted


def deliveries(hub: Hub, settings: Settings) -> Deliveries:
    """What a worker runs: every installed dialect's notices, under the settings."""
    from fhir_server.dialects import load_dialects

    return Deliveries(
        hub,
        [dialect for dialect in load_dialects() if isinstance(dialect, Announcer)],
        secrets_of(settings, hub.store),
        policy=Policy(settings.webhook_allow_private, settings.webhook_allow_http),
        lock=settings.data_dir / "jobs" / "webhooks.lock",
    )


_STATUSES: Final = ("preparation", "in-progress", "completed", "stopped", "not-done")


async def gauges(store: Store) -> list[tuple[str, str, Mapping[tuple[tuple[str, str], ...], float]]]:
    """For /metrics: notices by status, and attempts by what came of them."""
    notices: dict[tuple[tuple[str, str], ...], float] = {}
    for status in _STATUSES:
        query = Query(("Communication",), And((Token("category", None, CATEGORY), Token("status", None, status))))
        notices[(("status", status),)] = await store.count(query)
    attempts: dict[tuple[tuple[str, str], ...], float] = {
        (("result", result),): await store.get_counter(f"webhooks/{result}")
        for result in ("delivered", "not-delivered")
    }
    return [
        ("fhir_server_webhooks", "Webhook notices by status.", notices),
        ("fhir_server_webhook_attempts_total", "Attempts to deliver a webhook.", attempts),
    ]


def _plain(value: object) -> object:
    """Decimals, which FHIR's JSON is read with."""
    return float(str(value))


def _locked(handle: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
