"""update, update-as-create and conditional update. R4B 3.1.0.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions import conditional, subjects
from fhir_server.interactions.create import new_id
from fhir_server.interactions.etags import tags_of, version_of
from fhir_server.interactions.prepare import Prepared, parsed, prepared
from fhir_server.interactions.values import Parameters, Written
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest, MethodNotAllowed, PreconditionFailed
from fhir_server.store.protocol import Guard, GuardFailed, Put, Version, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


def alive(version: Version | None) -> bool:
    return version is not None and version.body is not None


def not_here(type: str, id: str) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"{type}/{id} does not exist, and this server does not let clients choose ids; create it with POST {type}.",
        headers={"Allow": "GET, HEAD, OPTIONS"},
    )


def lost(type: str, id: str, current: int) -> PreconditionFailed:
    now = f"is at version {current}" if current > 0 else "does not exist"
    return PreconditionFailed(f"The precondition does not hold: {type}/{id} {now}; read it again.", code="conflict")


def precondition(
    type: str, id: str, current: Version | None, if_match: str | None, if_none_match: str | None
) -> int | None:
    """What If-Match and If-None-Match ask of the current version, as the store's `expect` (None: nothing).

    Raises PreconditionFailed when it does not hold already, BadRequest for headers that say nothing sensible."""
    there = alive(current)
    number = current.version if there and current is not None else 0
    expect = None
    if if_match is not None and if_match.strip() == "*":
        if not there:
            raise lost(type, id, 0)
        expect = number
    elif (wanted := version_of(if_match)) is not None:
        if wanted != number or not there:
            raise lost(type, id, number)
        expect = wanted
    if if_none_match is not None and if_none_match.strip():
        if if_none_match.strip() == "*":
            if there:
                raise lost(type, id, number)
            expect = 0
        elif there and number in (tags_of(if_none_match) or ()):
            raise lost(type, id, number)
        else:
            expect = number
    return expect


async def update(
    hub: Hub,
    caller: Caller,
    type: str,
    id: str,
    body: bytes | Draft,
    if_match: str | None,
    if_none_match: str | None,
) -> Written:
    caller.require(type, "u")
    ready = await prepared(hub, caller, type, body, id)
    return await write(hub, caller, ready, id, if_match, if_none_match)


async def write(
    hub: Hub,
    caller: Caller,
    ready: Prepared,
    id: str,
    if_match: str | None,
    if_none_match: str | None,
    guards: tuple[Guard, ...] = (),
) -> Written:
    """Commit an update under its preconditions. Raises GuardFailed to the caller that gave guards."""
    type = ready.draft.type
    for _ in hub.attempts():
        current = await hub.store.read(type, id)
        if caller.subject is not None and current is not None and current.body is not None:
            subjects.require_inside(hub, caller, current)
        expect = precondition(type, id, current, if_match, if_none_match)
        # the server itself (jobs, import, what it publishes) keeps the ids that its resources have
        if not alive(current) and not hub.options.update_as_create and caller.key_id:
            raise not_here(type, id)
        # Nobody asked for a version: whoever commits later wins, and both are in the history.
        careful = expect is not None or not hub.options.update_as_create or caller.subject is not None
        if careful and expect is None:
            expect = current.version if current is not None and current.body is not None else 0
        try:
            (version,) = await hub.commit((ready.put(id, "PUT", expect),), guards)
        except VersionMismatch as mismatch:
            if if_match is not None or if_none_match is not None:
                raise lost(type, id, mismatch.current) from None
            continue
        assert version is not None
        created = not alive(current) and version.version == (current.version if current is not None else 0) + 1
        return Written(version, created=created, issues=ready.issues)
    raise hub.busy()


async def update_where(
    hub: Hub,
    caller: Caller,
    type: str,
    parameters: Parameters,
    body: bytes | Draft,
    if_match: str | None,
    if_none_match: str | None,
) -> Written:
    caller.require(type, "u")
    draft, _ = parsed(hub, type, body)
    conditional.require_criteria(parameters)
    async with hub.lock(type, "?", *(f"{name}={value}" for name, value in parameters)):
        return await _update_where(hub, caller, draft, parameters, if_match, if_none_match)


async def _update_where(
    hub: Hub,
    caller: Caller,
    draft: Draft,
    parameters: Parameters,
    if_match: str | None,
    if_none_match: str | None,
) -> Written:
    type = draft.type
    for _ in hub.attempts():
        found = await conditional.resolve(hub, caller, type, parameters)
        target, expect_new = target_of(hub, draft, found)
        try:
            if not expect_new:
                ready = await prepared(hub, caller, type, with_id(draft, target), target)
                return await write(hub, caller, ready, target, if_match, if_none_match, (found.guard(),))
            caller.require(type, "c")
            ready = await prepared(hub, caller, type, with_id(draft, target), target)
            if if_match is not None:
                raise lost(type, target, 0)
            put: Put = ready.put(target, "PUT" if draft.id else "POST", 0)
            (version,) = await hub.commit((put,), (found.guard(),))
        except GuardFailed:
            continue
        except VersionMismatch:
            raise taken(type, target) from None
        assert version is not None
        return Written(version, created=True, issues=ready.issues)
    raise hub.busy()


def taken(type: str, id: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"Nothing matches the criteria, and {type}/{id} (the id in the body) exists already; leave the id out.",
        code="duplicate",
    )


def target_of(hub: Hub, draft: Draft, found: conditional.Found) -> tuple[str, bool]:
    """(id to write, whether it must be new) of a conditional update. R4B 3.1.0.6.2's table of matches."""
    type = draft.type
    if len(found.matches) > 1:
        raise PreconditionFailed(
            f"The criteria match several {type} resources; make them match at most one.", code="multiple-matches"
        )
    if found.matches:
        id = found.matches[0].id
        if draft.id is not None and draft.id != id:
            raise BadRequest(
                f"The criteria match {type}/{id}, but the body has the id {draft.id}; leave it out or make it {id}.",
                expression=f"{type}.id",
            )
        return id, False
    if not hub.options.update_as_create and draft.id is not None:
        raise not_here(type, draft.id)
    return draft.id or new_id(), True


def with_id(draft: Draft, id: str) -> Draft:
    """The draft under the id that it is about to get; its bytes get it when they are rendered."""
    return draft if draft.id == id else Draft(draft.type, id, {**draft.data, "id": id}, draft.raw)
