"""The entries of a Bundle that only ask: reads, searches, histories, operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions.bundle.actions import Action
from fhir_server.interactions.etags import tags_of
from fhir_server.interactions.values import BundleEntry, EntryResult
from fhir_server.operations import registry
from fhir_server.operations.registry import OperationRequest
from fhir_server.r4b.outcome import BadRequest, FhirError, MethodNotAllowed, NotFound
from fhir_server.r4b.times import time_range
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


async def fetch(hub: Hub, caller: Caller, action: Action, strict: bool) -> EntryResult:
    """Raises FhirError as the interaction does on its own."""
    where = action.address
    if where.interaction in ("read", "vread"):
        if where.interaction == "read":
            version = await hub.read(caller, where.type, where.id)
        else:
            version = await hub.vread(caller, where.type, where.id, where.version)
        if unchanged(version, action.entry):
            return EntryResult(304, version)
        return EntryResult(200, version, hub.view(version, where.parameters, strict=strict))
    if where.interaction == "search":
        types = (where.type,) if where.type else ()
        return EntryResult(200, body=(await hub.search(caller, types, where.parameters, strict=strict)).body)
    if where.interaction == "compartment":
        found = await hub.search_compartment(caller, where.type, where.id, where.of, where.parameters, strict=strict)
        return EntryResult(200, body=found.body)
    if where.interaction == "history":
        told = await hub.history(caller, where.parameters, type=where.type or None, id=where.id or None, strict=strict)
        return EntryResult(200, body=told.body)
    if where.interaction == "metadata":
        if hub.capabilities is None:
            raise NotFound("There is no CapabilityStatement here.", code="not-supported")
        return EntryResult(200, body=hub.capabilities())
    return await _operation(hub, caller, action, strict)


async def _operation(hub: Hub, caller: Caller, action: Action, strict: bool) -> EntryResult:
    where = action.address
    declared = registry.find(where.operation, where.type, where.id)
    if declared is not None and declared.affects_state and action.entry.method != "POST":
        raise MethodNotAllowed(f"${where.operation} changes things; it needs POST.", headers={"Allow": "POST"})
    body = action.entry.resource or b""
    request = OperationRequest(where.type, where.id, where.parameters, body, strict)
    result = await hub.operation(caller, where.operation, request)
    content = result.body if isinstance(result.body, bytes) else b"".join([chunk async for chunk in result.body])
    return EntryResult(result.status, body=content or None, issues=result.issues)


def unchanged(version: Version, entry: BundleEntry) -> bool:
    """Whether a conditional read has nothing new to tell. R4B 3.1.0.5.1."""
    if entry.if_none_match:
        if entry.if_none_match.strip() == "*":
            return True
        return version.version in (tags_of(entry.if_none_match) or ())
    if entry.if_modified_since:
        span = time_range(entry.if_modified_since)
        if span is None:
            raise BadRequest("ifModifiedSince is an instant such as 2026-01-01T00:00:00Z.", code="value")
        return version.last_updated <= span[1]
    return False


def failed(error: FhirError) -> EntryResult:
    return EntryResult(error.status, issues=error.issues)
