"""batch and transaction. R4B 3.1.0.11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fhir_server.interactions.bundle import reading, respond
from fhir_server.interactions.bundle import transaction as transactions
from fhir_server.interactions.bundle.batch import batch
from fhir_server.interactions.bundle.reading import entry_of
from fhir_server.interactions.values import BundleEntry, EntryResult, Prefer
from fhir_server.r4b.codec import Draft

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

__all__ = ["answer", "entry_of", "transact", "transact_bundle"]


async def answer(hub: Hub, caller: Caller, body: bytes | Draft, prefer: Prefer, strict: bool) -> bytes:
    """The response Bundle's JSON for a batch or transaction Bundle."""
    kind, entries = reading.read(hub, body)
    if kind == "batch":
        actions, results = await batch(hub, caller, entries, strict)
    else:
        actions, results = await transactions.transact(hub, caller, entries, strict)
    return respond.response(kind, hub.base_url, actions, results, prefer)


async def transact_bundle(hub: Hub, caller: Caller, body: bytes) -> list[EntryResult]:
    """The results for a batch or transaction Bundle, as values."""
    kind, entries = reading.read(hub, body)
    if kind == "batch":
        return (await batch(hub, caller, entries, False))[1]
    return await transact(hub, caller, entries)


async def transact(hub: Hub, caller: Caller, entries: Sequence[BundleEntry]) -> list[EntryResult]:
    return (await transactions.transact(hub, caller, entries))[1]
