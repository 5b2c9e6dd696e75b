"""batch: each entry on its own, whatever becomes of the others. R4B 3.1.0.11."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fhir_server.interactions.bundle import patches
from fhir_server.interactions.bundle.actions import Action, action_of
from fhir_server.interactions.bundle.address import Address
from fhir_server.interactions.bundle.fetch import failed, fetch
from fhir_server.interactions.bundle.reading import located
from fhir_server.interactions.values import BundleEntry, EntryResult, Written
from fhir_server.r4b.outcome import BadRequest, FhirError
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

_NOWHERE: Final = Address("none")
#: Entries of one kind that run side by side, so that their commits share a flush to disk.
_AT_ONCE: Final = 16


async def batch(
    hub: Hub, caller: Caller, entries: Sequence[BundleEntry], strict: bool
) -> tuple[list[Action], list[EntryResult]]:
    """Entries are done in the request's order; neighbours that cannot touch each other are done together."""
    results: dict[int, EntryResult] = {}
    actions: list[Action] = []
    for index, entry in enumerate(entries):
        try:
            if entry.problems:
                raise BadRequest(issues=entry.problems)
            actions.append(action_of(index, entry, hub.base_urls))
        except FhirError as error:
            results[index] = failed(error)
            actions.append(Action(index, entry, _NOWHERE))
    for group in _groups([action for action in actions if action.index not in results]):
        done = await asyncio.gather(*(_one(hub, caller, action, strict) for action in group))
        results.update((action.index, result) for action, result in zip(group, done, strict=True))
    return actions, [results[index] for index in range(len(entries))]


def _groups(actions: Sequence[Action]) -> Iterator[list[Action]]:
    for _, run in groupby(actions, key=_kind):
        group: list[Action] = []
        touched: set[tuple[str, str]] = set()
        for action in run:
            key = _target(action)
            if len(group) == _AT_ONCE or (key is not None and key in touched):
                yield group
                group, touched = [], set()
            group.append(action)
            if key is not None:
                touched.add(key)
        yield group


def _kind(action: Action) -> object:
    if not action.writes:
        # Operations may write, and are no one's neighbours.
        return action.index if action.interaction == "operation" else "read"
    return action.interaction


def _target(action: Action) -> tuple[str, str] | None:
    """What a write is about, as far as the request says; None when it cannot meet another one."""
    if action.entry.if_none_exist:
        return action.type, "?" + action.entry.if_none_exist
    if action.interaction.startswith("conditional"):
        return action.type, "?"
    return (action.type, action.address.id) if action.address.id else None


async def _one(hub: Hub, caller: Caller, action: Action, strict: bool) -> EntryResult:
    try:
        return await _done(hub, caller, action, strict)
    except FhirError as error:
        return failed(located(error, action.index))


async def _done(hub: Hub, caller: Caller, action: Action, strict: bool) -> EntryResult:
    where, entry = action.address, action.entry
    if not action.writes:
        return await fetch(hub, caller, action, strict)
    if where.interaction == "delete":
        deleted = await hub.delete(caller, where.type, where.id, if_match=entry.if_match)
        return EntryResult(204, _last(deleted.versions), issues=deleted.issues)
    if where.interaction == "conditional-delete":
        deleted = await hub.delete_where(caller, where.type, where.parameters)
        return EntryResult(204, _last(deleted.versions), issues=deleted.issues)
    body = entry.resource or b""
    if where.interaction == "create":
        return _written(await hub.create(caller, where.type, body, if_none_exist=entry.if_none_exist or None))
    if where.interaction == "update":
        return _written(
            await hub.update(
                caller, where.type, where.id, body, if_match=entry.if_match, if_none_match=entry.if_none_match
            )
        )
    if where.interaction == "conditional-update":
        return _written(
            await hub.update_where(
                caller,
                where.type,
                where.parameters,
                body,
                if_match=entry.if_match,
                if_none_match=entry.if_none_match,
            )
        )
    patch, content_type = patches.content(hub, body)
    if where.interaction == "patch":
        return _written(await hub.patch(caller, where.type, where.id, patch, content_type, if_match=entry.if_match))
    return _written(
        await hub.patch_where(caller, where.type, where.parameters, patch, content_type, if_match=entry.if_match)
    )


def _written(written: Written) -> EntryResult:
    return EntryResult(201 if written.created else 200, written.version, issues=written.issues)


def _last(versions: Sequence[Version]) -> Version | None:
    return versions[-1] if versions else None
