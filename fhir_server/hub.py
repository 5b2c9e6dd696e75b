"""The hub: the rules of FHIR without HTTP. One method per interaction; the work is in fhir_server.interactions.

Every method asks `caller.require` first and raises subclasses of FhirError (fhir_server.r4b.outcome).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

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
from fhir_server.operations.registry import OperationRequest, OperationResult
from fhir_server.r4b.codec import Draft
from fhir_server.security.caller import Caller
from fhir_server.store.protocol import Guard, Put, Store, Version
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
        registry: Any = None,
        terminology: Any = None,
        options: HubOptions | None = None,
    ) -> None:
        self.store = store
        self.base_url = base_url.rstrip("/")
        self.registry = registry
        self.terminology = terminology
        self.options = options or HubOptions()

    # Single resources

    async def read(self, caller: Caller, type: str, id: str) -> Version:
        """The current version; its body is complete (Binary content included). NotFound, Gone (with ETag). 3.1.0.4"""
        raise NotImplementedError

    async def vread(self, caller: Caller, type: str, id: str, version: str) -> Version:
        """One version, NotFound when there is none, Gone when it is the deletion. R4B 3.1.0.5"""
        raise NotImplementedError

    def view(self, version: Version, parameters: Parameters, *, strict: bool = False) -> bytes:
        """The body of a read under ``_summary`` or ``_elements``. BadRequest for other values or parameters."""
        raise NotImplementedError

    async def create(
        self, caller: Caller, type: str, body: bytes | Draft, *, if_none_exist: str | None = None
    ) -> Written:
        """Keep a new resource under an id of the server's choice; if_none_exist: a query string. R4B 3.1.0.8"""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    async def patch(
        self, caller: Caller, type: str, id: str, body: bytes, content_type: str, *, if_match: str | None = None
    ) -> Written:
        """content_type: ``application/json-patch+json`` (others: UnsupportedMediaType). R4B 3.1.0.9"""
        raise NotImplementedError

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
        raise NotImplementedError

    async def delete(self, caller: Caller, type: str, id: str, *, if_match: str | None = None) -> Deleted:
        """Idempotent: nothing there gives Deleted(()). R4B 3.1.0.7"""
        raise NotImplementedError

    async def delete_where(self, caller: Caller, type: str, parameters: Parameters) -> Deleted:
        """Conditional delete: one match, or up to ``_count`` (at most options.delete_cap). R4B 3.1.0.7.1"""
        raise NotImplementedError

    # Sets

    async def search(
        self, caller: Caller, types: Sequence[str], parameters: Parameters, *, strict: bool = False
    ) -> SearchSet:
        """types () for all. parameters: of URL and form, in order, without _format and _pretty; a page link's
        ``_page`` too. strict: an unknown parameter is BadRequest instead of a warning. R4B 3.1.0.10, 3.1.1"""
        raise NotImplementedError

    async def search_compartment(
        self, caller: Caller, compartment: str, id: str, of: str, parameters: Parameters, *, strict: bool = False
    ) -> SearchSet:
        """of: resource type or ``*``. R4B 2.36, 3.1.1.1"""
        raise NotImplementedError

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
        raise NotImplementedError

    async def operation(self, caller: Caller, name: str, request: OperationRequest) -> OperationResult:
        """Run ``$name`` (without the ``$``). NotFound when there is no such operation there. R4B 3.2"""
        raise NotImplementedError

    def everything(
        self, caller: Caller, type: str, id: str, parameters: Parameters = (), *, strict: bool = False
    ) -> AsyncIterator[bytes]:
        """``$everything`` of a Patient or Encounter: chunks of a searchset Bundle's JSON."""
        raise NotImplementedError

    # Batch and transaction

    async def bundle(
        self, caller: Caller, body: bytes | Draft, *, prefer: Prefer = "minimal", strict: bool = False
    ) -> bytes:
        """A batch or transaction Bundle -> its response Bundle's JSON. BadRequest for other types. R4B 3.1.0.11"""
        raise NotImplementedError

    async def transact_bundle(self, caller: Caller, body: bytes) -> list[EntryResult]:
        """A transaction Bundle, results as values. For import."""
        raise NotImplementedError

    async def transact_entries(self, caller: Caller, entries: Sequence[BundleEntry]) -> list[EntryResult]:
        """A transaction without a Bundle around it; all or nothing; one store commit."""
        raise NotImplementedError

    # For dialects and jobs: plain JSON values in and out

    async def read_resource(self, caller: Caller, type: str, id: str) -> dict[str, Any]:
        """As read; fractional numbers are Decimal."""
        raise NotImplementedError

    async def find(self, caller: Caller, type: str, params: Parameters, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Matches of a strict search, over as many pages as it takes, at most `limit`; ``_include`` is not followed."""
        raise NotImplementedError

    async def transact(self, caller: Caller, entries: Sequence[dict[str, Any]]) -> list[Version | None]:
        """Bundle.entry objects (fullUrl, request, resource) as one transaction; a Version for each that was written,
        found or read, None for a delete of nothing or a search."""
        raise NotImplementedError

    async def save(self, caller: Caller, resource: dict[str, Any], *, if_match: int | None = None) -> Version:
        """Create (no id) or update (or create with this id). if_match: version that must be current, 0 for none;
        PreconditionFailed otherwise."""
        raise NotImplementedError

    async def commit(
        self, writes: Sequence[Put | StoreDelete], guards: Sequence[Guard] = ()
    ) -> Sequence[Version | None]:
        """The one door to the store's commit; tells the listeners."""
        raise NotImplementedError

    def on_commit(self, listener: Listener) -> None:
        """`listener` is called in this process after every commit with the versions it made; it must not block."""
        raise NotImplementedError
