"""delete and conditional delete. R4B 3.1.0.7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions import conditional, integrity, subjects
from fhir_server.interactions.update import alive, lost, precondition
from fhir_server.interactions.values import Deleted, Parameters
from fhir_server.r4b.outcome import BadRequest, Issue, PreconditionFailed
from fhir_server.store.protocol import Delete, Guard, GuardFailed, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


async def delete(hub: Hub, caller: Caller, type: str, id: str, if_match: str | None) -> Deleted:
    caller.require(type, "d")
    for _ in hub.attempts():
        current = await hub.store.read(type, id)
        expect = precondition(type, id, current, if_match, None)
        if current is None or not alive(current):
            what = "is deleted already" if current is not None else "never existed"
            return Deleted((), (Issue("information", "not-found", f"{type}/{id} {what}; nothing was done."),))
        if caller.subject is not None:
            subjects.require_inside(hub, caller, current)
            expect = current.version
        if type in hub.special:
            await hub.special[type].before_delete(hub, current)
        guards = await integrity.unreferenced(hub, [(type, id)])
        try:
            (version,) = await hub.commit((Delete(type, id, expect),), guards)
        except VersionMismatch as mismatch:
            if if_match is not None:
                raise lost(type, id, mismatch.current) from None
            continue
        except GuardFailed:
            continue
        return Deleted((version,) if version is not None else ())
    raise hub.busy()


async def delete_where(hub: Hub, caller: Caller, type: str, parameters: Parameters) -> Deleted:
    caller.require(type, "d")
    count, criteria = _count(hub, parameters)
    for _ in hub.attempts():
        found = await conditional.resolve(hub, caller, type, criteria, limit=(count or 1) + 1)
        if count is None and len(found.matches) > 1:
            raise PreconditionFailed(
                f"The criteria match several {type} resources; name one, or say with _count how many may be deleted.",
                code="multiple-matches",
            )
        if not found.matches:
            return Deleted((), (Issue("information", "not-found", f"No {type} matches; nothing was deleted."),))
        chosen = found.matches[:count] if count is not None else found.matches
        keys = [(match.type, match.id) for match in chosen]
        guards: tuple[Guard, ...] = await integrity.unreferenced(hub, keys)
        if count is None:
            guards = (*guards, found.guard())
        try:
            versions = await hub.commit([Delete(m.type, m.id, m.version) for m in chosen], guards)
        except (GuardFailed, VersionMismatch):
            continue
        issues: tuple[Issue, ...] = ()
        if count is not None and len(found.matches) > count:
            issues = (Issue("warning", "incomplete", f"{count} were deleted and more match; ask again for the rest."),)
        return Deleted(tuple(version for version in versions if version is not None), issues)
    raise hub.busy()


def _count(hub: Hub, parameters: Parameters) -> tuple[int | None, Parameters]:
    """(_count or None, the other parameters). Raises BadRequest for a count that is none or above the cap."""
    counts = [value for name, value in parameters if name == "_count"]
    if not counts:
        return None, parameters
    text = counts[0]
    cap = hub.options.delete_cap
    if len(counts) > 1 or not (text.isascii() and text.isdecimal() and len(text) < 8 and 1 <= int(text) <= cap):
        raise BadRequest(f"_count on a conditional delete is a number from 1 to {cap}.", expression="_count")
    return int(text), [(name, value) for name, value in parameters if name != "_count"]
