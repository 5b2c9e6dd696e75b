"""The hub: the rules of FHIR without HTTP. One method per interaction; the work is in fhir_server.interactions.

Every method asks `caller.require` first and raises subclasses of FhirError (fhir_server.r4b.outcome).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakValueDictionary

from fhir_server.interactions import (
    binaries,
    create,
    custom_parameters,
    deferred,
    delete,
    history,
    patch,
    provenance,
    read,
    search,
    subjects,
    update,
)
from fhir_server.interactions import bundle as bundles
from fhir_server.interactions.tokens import Sealer
from fhir_server.interactions.values import (
    BundleEntry,
    Deleted,
    EntryResult,
    HubOptions,
    Parameters,
    Prefer,
    SearchSet,
    Written,
)
from fhir_server.operations import everything
from fhir_server.operations import registry as operation_registry
from fhir_server.operations.registry import OperationRequest, OperationResult
from fhir_server.profiles.shelf import Shelf
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import Conflict, NotImplementedHere, Unprocessable
from fhir_server.search.query import Query
from fhir_server.search.registry import Registry
from fhir_server.security.caller import Caller
from fhir_server.store.protocol import Commit, Cursor, Guard, NotIndexed, Page, Put, SearchTooCostly, Store, Version
from fhir_server.store.protocol import Delete as StoreDelete

__all__ = [
    "BundleEntry",
    "Deleted",
    "EntryResult",
    "Hub",
    "HubOptions",
    "SearchSet",
    "Written",
]

Listener = Callable[[Sequence[Version]], None]


class Hub:
    """FHIR R4B over one store. base_url: absolute, without a slash at the end (``http://localhost:8080/fhir``)."""

    def __init__(
        self,
        store: Store,
        *,
        base_url: str,
        registry: Registry | None = None,
        terminology: Any = None,
        options: HubOptions | None = None,
    ) -> None:
        operation_registry.load()
        self.store = store
        self.base_url = base_url.rstrip("/")
        self.registry: Registry = registry if registry is not None else Registry()
        self.terminology = terminology
        self.options = options or HubOptions()
        self.base_urls = (self.base_url, *(url.rstrip("/") for url in self.options.base_urls))
        self.sealer = Sealer(self.options.secret or secrets.token_bytes(32), self.options.token_seconds)
        self.parameters = custom_parameters.CustomParameters()
        self.special: Mapping[str, custom_parameters.CustomParameters] = {"SearchParameter": self.parameters}
        self.deferred = deferred.Deferred(self)
        self.capabilities: Callable[[], bytes] | None = None
        self.shelf = Shelf(store)
        self._listeners: list[Listener] = []
        self._listeners.append(lambda versions: self.parameters.committed(self, versions))
        self._listeners.append(self._shelve)
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    # Single resources

    async def read(self, caller: Caller, type: str, id: str) -> Version:
        """The current version; its body is complete (Binary content included). NotFound, Gone (with ETag). 3.1.0.4"""
        caller.require(type, "r")
        version = await self.store.read(type, id)
        if version is None:
            raise read.missing(type, id)
        if version.body is None:
            raise read.gone(version)
        if caller.subject is not None:
            subjects.require_inside(self, caller, version)
        return version if type != "Binary" else await binaries.complete(self, version)

    async def vread(self, caller: Caller, type: str, id: str, version: str) -> Version:
        """One version, NotFound when there is none, Gone when it is the deletion. R4B 3.1.0.5"""
        return await read.vread(self, caller, type, id, version)

    def view(self, version: Version, parameters: Parameters, *, strict: bool = False) -> bytes:
        """The body of a read under ``_summary`` or ``_elements``. BadRequest for other values or parameters."""
        return read.view(version, parameters, strict)

    async def create(
        self, caller: Caller, type: str, body: bytes | Draft, *, if_none_exist: str | None = None
    ) -> Written:
        """Keep a new resource under an id of the server's choice; if_none_exist: a query string. R4B 3.1.0.8"""
        return await create.create(self, caller, type, body, if_none_exist)

    async def update(
        self,
        caller: Caller,
        type: str,
        id: str,
        body: bytes | Draft,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Written:
        """A new current version. if_match: ``W/"3"`` (or 3); if_none_match: ``*`` or an ETag. R4B 3.1.0.6"""
        return await update.update(self, caller, type, id, body, if_match, if_none_match)

    async def update_where(
        self,
        caller: Caller,
        type: str,
        parameters: Parameters,
        body: bytes | Draft,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Written:
        """Conditional update. PreconditionFailed when several match. R4B 3.1.0.6.2"""
        return await update.update_where(self, caller, type, parameters, body, if_match, if_none_match)

    async def patch(
        self, caller: Caller, type: str, id: str, body: bytes, content_type: str, *, if_match: str | None = None
    ) -> Written:
        """content_type: of a JSON Patch, an XML Patch, or a Parameters resource in JSON or XML. R4B 3.1.0.9"""
        return await patch.patch(self, caller, type, id, body, content_type, if_match)

    async def patch_where(
        self,
        caller: Caller,
        type: str,
        parameters: Parameters,
        body: bytes,
        content_type: str,
        *,
        if_match: str | None = None,
    ) -> Written:
        """Conditional patch: NotFound when none matches, PreconditionFailed when several do."""
        return await patch.patch_where(self, caller, type, parameters, body, content_type, if_match)

    async def delete(self, caller: Caller, type: str, id: str, *, if_match: str | None = None) -> Deleted:
        """Idempotent: nothing there gives Deleted(()). R4B 3.1.0.7"""
        return await delete.delete(self, caller, type, id, if_match)

    async def delete_where(self, caller: Caller, type: str, parameters: Parameters) -> Deleted:
        """Conditional delete: one match, or up to ``_count`` (at most options.delete_cap). R4B 3.1.0.7.1"""
        return await delete.delete_where(self, caller, type, parameters)

    # Sets

    async def search(
        self, caller: Caller, types: Sequence[str], parameters: Parameters, *, strict: bool = False
    ) -> SearchSet:
        """types () for all. parameters: of URL and form, in order, without _format and _pretty; a page link's
        ``_page`` too. strict: an unknown parameter is BadRequest instead of a warning. R4B 3.1.0.10, 3.1.1"""
        asked = search.Asked(types[0] if len(types) == 1 else "", tuple(types))
        return await search.search(self, caller, asked, parameters, strict)

    async def search_compartment(
        self, caller: Caller, compartment: str, id: str, of: str, parameters: Parameters, *, strict: bool = False
    ) -> SearchSet:
        """of: resource type or ``*``. R4B 2.36, 3.1.1.1"""
        asked = search.Asked(f"{compartment}/{id}/{of}", () if of == "*" else (of,), (compartment, id))
        return await search.search(self, caller, asked, parameters, strict)

    async def history(
        self,
        caller: Caller,
        parameters: Parameters = (),
        *,
        type: str | None = None,
        id: str | None = None,
        strict: bool = False,
    ) -> SearchSet:
        """History Bundle of a resource, a type or everything: _count _since _at _page. R4B 3.1.0.13"""
        return await history.history(self, caller, type, id, parameters, strict)

    async def operation(self, caller: Caller, name: str, request: OperationRequest) -> OperationResult:
        """Run ``$name`` (without the ``$``). NotFound when there is no such operation there. R4B 3.2"""
        found = operation_registry.operation_of(name, request.type, request.id)
        return await found.handler(self, caller, request)

    def everything(
        self, caller: Caller, type: str, id: str, parameters: Parameters = (), *, strict: bool = False
    ) -> AsyncIterator[bytes]:
        """``$everything`` of a Patient or Encounter: chunks of a searchset Bundle's JSON."""
        return everything.stream(self, caller, type, id, parameters, strict=strict)

    # Batch and transaction

    async def bundle(
        self, caller: Caller, body: bytes | Draft, *, prefer: Prefer = "minimal", strict: bool = False
    ) -> bytes:
        """A batch or transaction Bundle -> its response Bundle's JSON. BadRequest for other types. R4B 3.1.0.11"""
        return await bundles.answer(self, caller, body, prefer, strict)

    async def transact_bundle(self, caller: Caller, body: bytes) -> list[EntryResult]:
        """A batch or transaction Bundle, results as values. In a batch, look at each result's status. For import."""
        return await bundles.transact_bundle(self, caller, body)

    async def transact_entries(self, caller: Caller, entries: Sequence[BundleEntry]) -> list[EntryResult]:
        """A transaction without a Bundle around it; all or nothing; one store commit."""
        return await bundles.transact(self, caller, entries)

    # For dialects and jobs: plain JSON values in and out

    async def read_resource(self, caller: Caller, type: str, id: str) -> dict[str, Any]:
        """As read; fractional numbers are Decimal."""
        version = await self.read(caller, type, id)
        resource: dict[str, Any] = codec.decode(version.body or b"")
        return resource

    async def find(self, caller: Caller, type: str, params: Parameters, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Matches of a strict search, over as many pages as it takes, at most `limit`; ``_include`` is not followed."""
        return [codec.decode(version.body or b"") for version in await search.find(self, caller, type, params, limit)]

    async def transact(self, caller: Caller, entries: Sequence[dict[str, Any]]) -> list[Version | None]:
        """Bundle.entry objects (fullUrl, request, resource) as one transaction; a Version for each that was written,
        found or read, None for a delete of nothing or a search."""
        results = await self.transact_entries(caller, [bundles.entry_of(entry) for entry in entries])
        return [result.version for result in results]

    async def save(self, caller: Caller, resource: dict[str, Any], *, if_match: int | None = None) -> Version:
        """Create (no id) or update (or create with this id). if_match: version that must be current, 0 for none;
        PreconditionFailed otherwise."""
        type, id = resource["resourceType"], resource.get("id")
        draft = codec.draft_of(resource)
        if id is None:
            return (await self.create(caller, type, draft)).version
        if if_match == 0:
            return (await self.update(caller, type, id, draft, if_none_match="*")).version
        wanted = None if if_match is None else str(if_match)
        return (await self.update(caller, type, id, draft, if_match=wanted)).version

    async def commit(
        self, writes: Sequence[Put | StoreDelete], guards: Sequence[Guard] = ()
    ) -> Sequence[Version | None]:
        """The one door to the store's commit; tells the listeners."""
        if provenance.attached.get() is not None:
            return await self._commit_with_provenance(writes, guards)
        versions = await self.store.commit(Commit(writes, guards))
        self._tell(versions)
        return versions

    async def _commit_with_provenance(
        self, writes: Sequence[Put | StoreDelete], guards: Sequence[Guard]
    ) -> Sequence[Version | None]:
        versions = await self.store.commit(Commit(await provenance.with_provenance(self, writes), guards))
        # What the listeners set off is not what the client wrote.
        token = provenance.attached.set(None)
        try:
            self._tell(versions)
        finally:
            provenance.attached.reset(token)
        return versions[: len(writes)]

    def _shelve(self, versions: Sequence[Version]) -> None:
        for version in versions:
            self.shelf.changed(version.type)

    def _tell(self, versions: Sequence[Version | None]) -> None:
        for listener in self._listeners:
            listener([version for version in versions if version is not None])

    def on_commit(self, listener: Listener) -> None:
        """`listener` is called in this process after every commit with the versions it made; it must not block."""
        self._listeners.append(listener)

    # Life

    async def start(self) -> None:
        """Read what the store holds that changes how the hub works (custom search parameters)."""
        await self.parameters.start(self)

    async def stop(self) -> None:
        """End what runs in the background; the store is closed by who opened it."""
        await self.deferred.stop()
        await self.parameters.stop()

    # For the interactions

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def lock(self, *key: str) -> asyncio.Lock:
        """One writer at a time on what `key` names, within this process: fewer lost races, not a guarantee."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def attempts(self) -> Iterator[int]:
        """Rounds of an optimistic write."""
        return iter(range(self.options.retries))

    def busy(self) -> Conflict:
        return Conflict("Too many others write to the same resource just now; try again.", headers={"Retry-After": "1"})

    async def run(
        self,
        query: Query,
        *,
        limit: int,
        after: Cursor | None = None,
        snapshot: int | None = None,
        total: Literal["none", "bounded", "exact"] = "none",
        backwards: bool = False,
    ) -> Page:
        """The store's search. Unprocessable (too-costly) past its budget, NotImplementedHere without the index."""
        try:
            return await self.store.search(
                query, limit=limit, after=after, snapshot=snapshot, total=total, backwards=backwards
            )
        except SearchTooCostly as error:
            raise _too_costly(error) from None
        except NotIndexed as error:
            raise NotImplementedHere(str(error)) from None

    async def count(self, query: Query) -> int:
        try:
            return await self.store.count(query)
        except SearchTooCostly as error:
            raise _too_costly(error) from None
        except NotIndexed as error:
            raise NotImplementedHere(str(error)) from None

    async def stream(self, query: Query, *, page: int = 500) -> AsyncIterator[Version]:
        """Every match, as of the first page."""
        after, snapshot = None, None
        while True:
            found = await self.run(query, limit=page, after=after, snapshot=snapshot)
            for version in found.matches:
                yield version
            if found.next is None:
                return
            after, snapshot = found.next, found.snapshot

    async def complete(self, version: Version) -> Version:
        """A version that came from the store directly, as it must leave the server (content of a Binary in place)."""
        return await binaries.complete(self, version)


def _too_costly(error: SearchTooCostly) -> Unprocessable:
    text = f"This search costs more than is allowed: {error}. Ask for something narrower."
    return Unprocessable(text, code="too-costly")
