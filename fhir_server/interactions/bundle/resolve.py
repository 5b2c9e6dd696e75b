"""Criteria of a transaction's entries as ids: ifNoneExist, conditional update, patch and delete. R4B 3.1.0.11.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from fhir_server.interactions import conditional, subjects
from fhir_server.interactions.bundle.actions import Action
from fhir_server.interactions.bundle.reading import located
from fhir_server.interactions.create import new_id
from fhir_server.interactions.read import gone, missing
from fhir_server.interactions.update import alive, lost, not_here, precondition, target_of
from fhir_server.interactions.values import EntryResult, Parameters
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest, FhirError, Issue, NotFound, PreconditionFailed
from fhir_server.store.protocol import GuardFailed

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


Key = tuple[str, str]


class _Head(msgspec.Struct):
    id: str | None = None


_head = msgspec.json.Decoder(_Head)


async def resolve(hub: Hub, caller: Caller, actions: Sequence[Action]) -> dict[int, Action]:
    """Give every writing action its id, what is there now, and what the commit must check.

    Returns actions that are the same as an earlier one's (an ifNoneExist given twice), by index. Raises
    PreconditionFailed, BadRequest ... located in the Bundle.
    """
    twins: dict[int, Action] = {}
    first: dict[tuple[str, str], Action] = {}
    # Deletes are done first: what they remove is not found by the others' criteria.
    removed: set[Key] = set()
    for action in sorted((action for action in actions if action.writes), key=lambda action: action.order > 0):
        if action.entry.if_none_exist:
            key = (action.type, action.entry.if_none_exist)
            if key in first:
                twins[action.index] = first[key]
                continue
            first[key] = action
        try:
            await _criteria(hub, caller, action, removed)
        except FhirError as error:
            raise located(error, action.index) from None
        if action.order == 0 and action.id:
            removed.add((action.type, action.id))
    await _existing(hub, caller, [action for action in actions if action.writes and action.index not in twins])
    return twins


async def _criteria(hub: Hub, caller: Caller, action: Action, removed: set[Key]) -> None:
    where, type = action.address, action.type
    if where.interaction in ("update", "patch", "delete"):
        action.id = where.id
    elif where.interaction == "create":
        await _create(hub, caller, action, removed)
    elif where.interaction == "conditional-update":
        found = await _found(hub, caller, action, where.parameters, removed)
        action.id, new = target_of(hub, _carrier(action), found)
        if new:
            caller.require(type, "c")
            action.expect = 0
    elif where.interaction == "conditional-patch":
        found = await _found(hub, caller, action, where.parameters, removed)
        _require_one(type, found)
        if not found.matches:
            raise NotFound(f"No {type} matches the criteria; there is nothing to patch.")
        action.id = found.matches[0].id
    elif where.interaction == "conditional-delete":
        found = await _found(hub, caller, action, where.parameters, set())
        _require_one(type, found)
        if found.matches:
            action.id = found.matches[0].id
        else:
            issue = Issue("information", "not-found", f"No {type} matches; nothing was deleted.")
            action.settled = EntryResult(204, issues=(issue,))


async def _create(hub: Hub, caller: Caller, action: Action, removed: set[Key]) -> None:
    action.expect = 0
    if not action.entry.if_none_exist:
        action.id = new_id()
        return
    parameters = conditional.parameters_of(action.entry.if_none_exist, "ifNoneExist")
    found = await _found(hub, caller, action, parameters, removed)
    _require_one(action.type, found)
    if found.matches:
        action.id = found.matches[0].id
        action.settled = EntryResult(200, found.matches[0])
        action.guards.clear()
    else:
        action.id = new_id()


async def _found(
    hub: Hub, caller: Caller, action: Action, parameters: Parameters, removed: set[Key]
) -> conditional.Found:
    """The matches but for those that this transaction deletes; the guard on all of them is put on the action."""
    limit = 2 + sum(type == action.type for type, _ in removed)
    found = await conditional.resolve(hub, caller, action.type, parameters, limit=limit)
    left = [match for match in found.matches if (match.type, match.id) not in removed]
    if len(found.matches) < limit:
        action.guards.append(found.guard())
    return conditional.Found(found.query, left)


def _require_one(type: str, found: conditional.Found) -> None:
    if len(found.matches) > 1:
        raise PreconditionFailed(
            f"The criteria match several {type} resources; make them match at most one.", code="multiple-matches"
        )


def _carrier(action: Action) -> Draft:
    """Type and id of an entry's resource, without reading the rest."""
    try:
        id = _head.decode(action.entry.resource or b"{}").id
    except msgspec.DecodeError:
        raise BadRequest("The resource is not a JSON object with a proper id.", code="structure") from None
    return Draft(action.type, id, {}, b"")


async def _existing(hub: Hub, caller: Caller, actions: Sequence[Action]) -> None:
    """Read what updates, patches and deletes act on, and hold their preconditions against it."""
    acting = [action for action in actions if action.interaction != "create" and action.settled is None]
    versions = await hub.store.read_many([(action.type, action.id) for action in acting]) if acting else ()
    for action, version in zip(acting, versions, strict=True):
        action.existing = version
        try:
            _check(hub, caller, action)
        except FhirError as error:
            raise located(error, action.index) from None


def _check(hub: Hub, caller: Caller, action: Action) -> None:
    type, id, version, entry = action.type, action.id, action.existing, action.entry
    there = alive(version)
    if there and version is not None and caller.subject is not None:
        subjects.require_inside(hub, caller, version)
    asked = precondition(type, id, version, entry.if_match, entry.if_none_match)
    if action.interaction.endswith("delete"):
        if not there:
            issue = Issue("information", "not-found", f"{type}/{id} is not there; nothing was done.")
            action.settled = EntryResult(204, issues=(issue,))
        action.expect = asked
        return
    if action.interaction.endswith("patch"):
        if version is None:
            raise missing(type, id)
        if version.body is None:
            raise gone(version)
        action.expect = version.version
        return
    if action.expect == 0:
        if there:
            # Chosen as new a moment ago: someone else was faster.
            if action.entry.if_match is None and _carrier(action).id is None:
                raise GuardFailed
            raise lost(type, id, version.version if version is not None else 0)
        return
    if not there and not hub.options.update_as_create and caller.key_id:
        raise not_here(type, id)
    action.expect = asked
    if asked is None and (caller.subject is not None or not hub.options.update_as_create):
        action.expect = version.version if there and version is not None else 0
