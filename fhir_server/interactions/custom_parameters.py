"""SearchParameter resources that a client writes: checked, indexed in the background, used when complete. R4B 3.1.1.6.

The resource is the truth; a store record per url says whether what was there before it is indexed already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.definitions import SearchParameter, definitions
from fhir_server.r4b.outcome import FhirError, Issue, Unprocessable
from fhir_server.search.custom import search_parameter_of
from fhir_server.search.entries import Entries
from fhir_server.search.extract import extract_bytes
from fhir_server.search.query import Query
from fhir_server.store.protocol import StoreError, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhir_server.hub import Hub

RECORD: Final = "search-parameter"
#: Seconds within which a process notices the SearchParameters that another one has written.
WATCH: Final = 1.0
#: Seconds after which an index that is not complete is begun anew by another process.
LEASE: Final = 3600
#: Seconds between two looks at how far indexing is, for those who wait for it.
_LOOK: Final = 0.2
log = logging.getLogger(__name__)


class CustomParameters:
    """What SearchParameter resources ask for, kept in step with the registry of one hub."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        #: (resources indexed, of how many) while this process indexes.
        self.progress: tuple[int, int] = (0, 0)
        self._worker: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def before_write(self, hub: Hub, draft: Draft) -> tuple[Issue, ...]:
        """Raises Unprocessable for an active parameter that cannot be used; issues say what will happen with it."""
        if draft.data.get("status") != "active":
            return ()
        url = draft.data.get("url", "")
        if definitions().search_parameter(url) is not None:
            text = f"{url} is the standard's own; this definition is kept and has no effect on searches."
            return (Issue("warning", "business-rule", text, "SearchParameter.url"),)
        try:
            parameter = search_parameter_of(draft.data, hub.registry)
        except Unprocessable as problem:
            # An implementation guide states the standard's parameters anew, under urls of its own: keep those.
            if all(issue.code == "duplicate" for issue in problem.issues):
                return tuple(
                    Issue("warning", "business-rule", f"{issue.diagnostics} Searches keep that one.", issue.expression)
                    for issue in problem.issues
                )
            raise
        text = f"{parameter.code} is indexed in the background; searches use it when it is complete."
        return (Issue("information", "informational", text),)

    async def before_delete(self, hub: Hub, current: Version) -> None:
        """Any may be deleted."""

    def committed(self, hub: Hub, versions: Sequence[Version]) -> None:
        """After a commit: take note of what concerns search parameters."""
        if any(version.type == "SearchParameter" for version in versions):
            self.wake(hub)

    def wake(self, hub: Hub) -> None:
        self._wake.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._run(hub), name="search-parameters")

    async def settled(self, hub: Hub, tell: Callable[[str], None]) -> None:
        """Until nothing waits to be indexed any more. tell: how far it is."""
        await self.refresh(hub)
        self.wake(hub)
        while pending := [url for url, (_, status) in hub.registry.custom().items() if status == "pending"]:
            done, all = self.progress
            tell(f"indexing {len(pending)} search parameter(s): {done} of {all} resources")
            await asyncio.sleep(_LOOK)

    async def start(self, hub: Hub) -> None:
        """Know what is in the store, finish what was left, and notice what other processes write."""
        await self.refresh(hub)
        self.wake(hub)
        self._watcher = asyncio.get_running_loop().create_task(self._watch(hub), name="search-parameters-watch")

    async def stop(self) -> None:
        for task in (self._watcher, self._worker):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch(self, hub: Hub) -> None:
        seen = await hub.store.last_seq()
        while True:
            await asyncio.sleep(WATCH)
            last = await hub.store.last_seq()
            waiting = any(status == "pending" for _, status in hub.registry.custom().values())
            if last > seen:
                async for _ in hub.store.changes(seen, types=("SearchParameter",)):
                    waiting = True
                    break
                seen = last
            if waiting:
                self.wake(hub)

    async def _run(self, hub: Hub) -> None:
        while self._wake.is_set():
            self._wake.clear()
            try:
                await self.refresh(hub)
                await self.index(hub)
            except Exception as error:
                log.error("search parameters were not brought up to date: %s", type(error).__name__)
                raise

    async def refresh(self, hub: Hub) -> None:
        """Bring the registry into step with the store: at start, and after others may have written."""
        wanted: dict[str, SearchParameter] = {}
        async for version in hub.stream(Query(("SearchParameter",))):
            parameter = usable(hub, version)
            if parameter is not None:
                wanted[parameter.url] = parameter
        records = {record.id: record.data for record in await hub.store.list_records(RECORD)}
        for url in set(hub.registry.custom()) - set(wanted):
            hub.registry.remove(url)
        for url in set(records) - set(wanted):
            await hub.store.delete_record(RECORD, url)
        for url, parameter in wanted.items():
            held = hub.registry.custom().get(url)
            ready = records.get(url, {}).get("definition") == fingerprint(parameter)
            if held is None or held[0] != parameter or (ready and held[1] == "pending"):
                hub.registry.add(parameter, status="active" if ready else "pending")

    async def _claim(self, hub: Hub, pending: dict[str, SearchParameter]) -> bool:
        """Whether this process is to index; one that died has its turn taken after a while."""
        until = hub.now() + LEASE * 1_000_000
        for url, parameter in pending.items():
            record = await hub.store.get_record(RECORD, url)
            data = record.data if record is not None else {}
            if data.get("status") == "indexing" and data.get("until", 0) > hub.now():
                return False
            if data.get("status") == "active" and data.get("definition") == fingerprint(parameter):
                return False
            claim = {"definition": "", "status": "indexing", "until": until}
            try:
                await hub.store.put_record(RECORD, url, claim, expect=record.revision if record is not None else 0)
            except StoreError:
                return False
        return True

    async def index(self, hub: Hub) -> None:
        """Index what is pending, then let searches use it."""
        pending = {url: p for url, (p, status) in hub.registry.custom().items() if status == "pending"}
        if not pending:
            return
        # Other processes index what they write under a new parameter once they have noticed it; those writes that they
        # made before are then all there to be indexed here.
        await asyncio.sleep(1.5 * WATCH)
        types = sorted({type for parameter in pending.values() for type in hub.registry.types_of(parameter)})

        def entries(type: str, body: bytes) -> Entries:
            return extract_bytes(type, body, base_urls=hub.base_urls, registry=hub.registry, text=hub.options.full_text)

        def told(done: int, all: int) -> None:
            self.progress = (done, all)

        if not await self._claim(hub, pending):
            return
        try:
            await hub.store.reindex(entries, types=types, progress=told)
        except BaseException:
            for url in pending:
                await asyncio.shield(hub.store.put_record(RECORD, url, {"definition": "", "status": "pending"}))
            raise
        finally:
            self.progress = (0, 0)
        for url, parameter in pending.items():
            held = hub.registry.custom().get(url)
            if held is not None and held[0] == parameter:
                await hub.store.put_record(RECORD, url, {"definition": fingerprint(parameter), "status": "active"})
                hub.registry.activate(url)


def usable(hub: Hub, version: Version) -> SearchParameter | None:
    """The parameter that a stored SearchParameter asks for, None when it asks for nothing here."""
    data: dict[str, Any] = codec.decode(version.body or b"{}")
    if data.get("status") != "active" or definitions().search_parameter(data.get("url", "")) is not None:
        return None
    try:
        return search_parameter_of(data, hub.registry)
    except FhirError:
        return None


def fingerprint(parameter: SearchParameter) -> str:
    """Equal for two parameters that index the same."""
    components = [[c.definition, c.expression] for c in parameter.components]
    shape = [parameter.code, parameter.type, parameter.expression, parameter.bases, parameter.targets, components]
    return codec.encode(shape).decode()
