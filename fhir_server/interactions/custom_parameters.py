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
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_server.hub import Hub

RECORD: Final = "search-parameter"
log = logging.getLogger(__name__)


class CustomParameters:
    """What SearchParameter resources ask for, kept in step with the registry of one hub."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

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

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

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
        for url in set(hub.registry.custom()) - set(wanted):
            hub.registry.remove(url)
            await hub.store.delete_record(RECORD, url)
        for url, parameter in wanted.items():
            held = hub.registry.custom().get(url)
            record = await hub.store.get_record(RECORD, url)
            ready = record is not None and record.data.get("definition") == fingerprint(parameter)
            if held is None or held[0] != parameter or (ready and held[1] == "pending"):
                hub.registry.add(parameter, status="active" if ready else "pending")

    async def index(self, hub: Hub) -> None:
        """Index what is pending, then let searches use it."""
        pending = {url: p for url, (p, status) in hub.registry.custom().items() if status == "pending"}
        if not pending:
            return
        types = sorted({type for parameter in pending.values() for type in hub.registry.types_of(parameter)})

        def entries(type: str, body: bytes) -> Entries:
            return extract_bytes(type, body, base_urls=hub.base_urls, registry=hub.registry, text=hub.options.full_text)

        await hub.store.reindex(entries, types=types, progress=lambda done, all: None)
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
