"""Work that outlives its request: kept in the store, done in the background, its answer waiting to be fetched.

A record says what was asked, by whom, and how far it is; whichever process holds its lease does it. Work whose process
died is taken up by another one, or after a restart: what only reads is done again, what may have written says that it
was interrupted. The pattern is that of https://hl7.org/fhir/async-bundle.html.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import Context, ContextVar
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fhir_server.r4b.outcome import Issue, operation_outcome
from fhir_server.security.caller import Caller
from fhir_server.store.protocol import Record, StoreError

if TYPE_CHECKING:
    from fhir_server.hub import Hub

RECORD: Final = "async"
#: Pieces of work that one process does at a time.
AT_ONCE: Final = 2
#: Seconds: how long a process may be silent before its work is another's, how often it speaks, and looks for more.
LEASE: Final = 12
BEAT: Final = 1.0
SWEEP: Final = 3.0
#: Seconds for which an answer is kept.
KEPT: Final = 24 * 3600
#: Seconds that work in hand is given when the server stops.
GRACE: Final = 5.0
_INLINE: Final = 32 * 1024
log = logging.getLogger(__name__)

Json = dict[str, Any]


@dataclass(slots=True)
class Work:
    """What a runner is given. request: as it was handed to `accept`. kept: what an earlier run has put there.

    tell: say how far it is. keep: remember something that a later run, after a restart, will find in `kept`."""

    id: str
    request: Mapping[str, Any]
    body: bytes
    caller: Caller
    tell: Callable[[str], None]
    keep: Callable[[Json], Awaitable[None]]
    kept: Json = field(default_factory=dict)


@dataclass(slots=True)
class _Held:
    """A record that this process holds, as long as nobody else writes it."""

    hub: Hub
    id: str
    data: Json
    revision: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def save(self) -> None:
        """Raises StoreError when the record is no longer this process's, or is gone."""
        async with self.lock:
            record = await self.hub.store.put_record(RECORD, self.id, dict(self.data), expect=self.revision)
            self.revision = record.revision


Runner = Callable[[Work], AsyncIterator[bytes]]
"""Does the work; gives the answer's JSON in chunks."""


@dataclass(frozen=True, slots=True)
class Status:
    """done: the answer can be fetched by `answer`. progress: for people. expires: microseconds since 1970 UTC."""

    done: bool
    progress: str
    expires: int


_tell: ContextVar[Callable[[str], None] | None] = ContextVar("tell", default=None)


def tell_progress(text: str) -> None:
    """Say how far the work in hand is; nothing happens where nobody waits for it."""
    tell = _tell.get()
    if tell is not None:
        tell(text)


class Deferred:
    """The work of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._runner: Runner | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._stopping = False

    def serve(self, runner: Runner) -> None:
        """From now on this process does such work, also what was left by others."""
        self._runner = runner
        with contextlib.suppress(RuntimeError):
            self._sweep_always()

    async def stop(self) -> None:
        """Give what is in hand a moment, then leave it to the next process."""
        self._stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)
        for task in [*tasks, *([self._sweeper] if self._sweeper is not None else [])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # For the client

    async def accept(self, caller: Caller, request: Json, body: bytes, *, repeatable: bool) -> str:
        """Keep the work durably and begin it; its id. repeatable: it may be done twice without harm."""
        id = secrets.token_urlsafe(18).replace("_", "-")
        now = self._hub.now()
        data: Json = {
            "caller": asdict(caller),
            "request": request,
            "repeatable": repeatable,
            "state": "waiting",
            "progress": "waiting",
            "accepted": now,
            "until": 0,
            "expires": now + KEPT * 1_000_000,
        }
        if len(body) <= _INLINE:
            data["body"] = base64.b64encode(body).decode()
        else:
            data["body_blob"] = await self._blob(id, _once(body))
        await self._hub.store.put_record(RECORD, id, data, expect=0)
        self._sweep_always()
        self._begin(id)
        return id

    async def status(self, caller: Caller, id: str) -> Status | None:
        """None when there is no such work, or it is another's."""
        record = await self._record(caller, id)
        if record is None:
            return None
        data = record.data
        return Status(data["state"] == "done", str(data["progress"]), int(data["expires"]))

    async def answer(self, caller: Caller, id: str) -> AsyncIterator[bytes] | bytes | None:
        """The JSON of what came of it; None while it is not done."""
        record = await self._record(caller, id)
        if record is None or record.data["state"] != "done":
            return None
        if "answer" in record.data:
            return base64.b64decode(record.data["answer"])
        return self._hub.store.open_blob(record.data["answer_blob"], start=_head(id))

    async def cancel(self, caller: Caller, id: str) -> bool:
        """End the work, or forget its answer. False when there is no such work."""
        record = await self._record(caller, id)
        if record is None:
            return False
        await self._forget(record)
        task = self._tasks.pop(id, None)
        if task is not None:
            task.cancel()
        return True

    async def _record(self, caller: Caller, id: str) -> Record | None:
        record = await self._hub.store.get_record(RECORD, id) if len(id) <= 64 else None
        if record is None or (record.data["caller"]["key_id"] != caller.key_id and not caller.admin):
            return None
        return record if record.data["expires"] > self._hub.now() else None

    async def _forget(self, record: Record) -> None:
        await self._hub.store.delete_record(RECORD, record.id)
        for name in ("body_blob", "answer_blob"):
            if name in record.data:
                await self._hub.store.delete_blob(record.data[name])

    # Doing it

    def _sweep_always(self) -> None:
        if self._runner is not None and self._sweeper is None and not self._stopping:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.create_task(self._sweep(), name="deferred", context=Context())

    async def _sweep(self) -> None:
        while True:
            try:
                now = self._hub.now()
                for record in await self._hub.store.list_records(RECORD):
                    if record.data["expires"] < now:
                        await self._forget(record)
                    elif record.data["state"] != "done" and record.data["until"] < now:
                        self._begin(record.id)
            except Exception as error:
                log.warning("deferred work was not looked through: %s", type(error).__name__)
            await asyncio.sleep(SWEEP)

    def _begin(self, id: str) -> None:
        if self._runner is None or self._stopping or id in self._tasks or len(self._tasks) >= AT_ONCE:
            return
        task = asyncio.get_running_loop().create_task(self._do(id), name=f"deferred {id}", context=Context())
        self._tasks[id] = task
        task.add_done_callback(lambda done: self._ended(id, done))

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(id) is task:
            del self._tasks[id]
        if not task.cancelled() and task.exception() is not None:
            log.error("deferred work failed: %s", type(task.exception()).__name__)

    async def _do(self, id: str) -> None:
        store = self._hub.store
        record = await store.get_record(RECORD, id)
        if record is None or record.data["state"] == "done" or record.data["until"] > self._hub.now():
            return
        data = dict(record.data)
        interrupted = data["state"] == "running" and not data["repeatable"] and not data.get("kept")
        data |= {"state": "running", "until": self._lease(), "progress": data["progress"].replace("waiting", "running")}
        held = _Held(self._hub, id, data, record.revision)
        with contextlib.suppress(StoreError):  # another process has it, or it was cancelled
            await held.save()
            await self._hold(held, interrupted)

    async def _hold(self, held: _Held, interrupted: bool) -> None:
        if interrupted:
            await self._done(held, _once(_interruption()))
            return
        work = await self._work(held)
        mine = asyncio.current_task()
        assert mine is not None
        assert self._runner is not None
        pulse = asyncio.get_running_loop().create_task(self._beat(held, mine))
        _tell.set(work.tell)
        try:
            await self._done(held, self._runner(work))
        except asyncio.CancelledError:
            held.data["until"] = 0
            with contextlib.suppress(StoreError):  # left to the next process, unless it was cancelled
                await asyncio.shield(held.save())
            raise
        finally:
            pulse.cancel()

    async def _work(self, held: _Held) -> Work:
        id, data = held.id, held.data
        if "body" in data:
            body = base64.b64decode(data["body"])
        else:
            chunks = [chunk async for chunk in self._hub.store.open_blob(data["body_blob"], start=_head(id))]
            body = b"".join(chunks)

        def tell(text: str) -> None:
            data["progress"] = text[:100]

        async def keep(more: Json) -> None:
            data["kept"] = {**data.get("kept", {}), **more}
            await held.save()

        return Work(id, data["request"], body, Caller(**data["caller"]), tell, keep, dict(data.get("kept", {})))

    async def _beat(self, held: _Held, task: asyncio.Task[Any]) -> None:
        """Hold the lease, publish progress, and end the work when someone has cancelled it elsewhere."""
        while True:
            await asyncio.sleep(BEAT)
            held.data["until"] = self._lease()
            try:
                await held.save()
            except StoreError:
                task.cancel()
                return

    async def _done(self, held: _Held, chunks: AsyncIterator[bytes]) -> None:
        first = b""
        async for chunk in chunks:
            first += chunk
            if len(first) > _INLINE:
                break
        answer = {"answer": base64.b64encode(first).decode()}
        if len(first) > _INLINE:
            answer = {"answer_blob": await self._blob(held.id, _again(first, chunks))}
        held.data.update({**answer, "state": "done", "progress": "done", "until": 0})
        try:
            await held.save()
        except StoreError:
            if "answer_blob" in answer:
                await self._hub.store.delete_blob(answer["answer_blob"])
            raise

    def _lease(self) -> int:
        return self._hub.now() + LEASE * 1_000_000

    async def _blob(self, id: str, chunks: AsyncIterator[bytes]) -> str:
        # Blobs with the same content are one: the id in front makes this one's own, so that it can be deleted.
        async def marked() -> AsyncIterator[bytes]:
            yield id.encode()
            async for chunk in chunks:
                yield chunk

        return (await self._hub.store.put_blob(marked())).id


def _head(id: str) -> int:
    return len(id)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _interruption() -> bytes:
    text = "The server stopped while this ran. What it had done by then stands; look before you send it again."
    issue = Issue("error", "incomplete", text)
    return response_bundle(500, outcome=operation_outcome((issue,)))


def response_bundle(
    status: int,
    resource: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    outcome: Mapping[str, Any] | None = None,
) -> bytes:
    """The batch-response Bundle that holds one answer. headers: entry.response's location, etag, lastModified."""
    response: Json = {"status": str(status), **(headers or {}), **({"outcome": outcome} if outcome else {})}
    return b"".join(response_parts(resource, response))


def response_parts(resource: bytes | None, response: Json) -> tuple[bytes, bytes, bytes]:
    """What stands before the resource, the resource, and what stands after it."""
    told = msgspec.json.encode(response)
    head = b'{"resourceType":"Bundle","type":"batch-response","entry":[{'
    if resource is None:
        return head, b"", b'"response":%s}]}' % told
    return head + b'"resource":', resource, b',"response":%s}]}' % told
