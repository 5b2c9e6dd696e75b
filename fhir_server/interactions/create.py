"""create, with If-None-Exist. R4B 3.1.0.8, 3.1.0.8.1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from uuid import UUID

from fhir_server.interactions import conditional
from fhir_server.interactions.prepare import prepared
from fhir_server.interactions.values import Written
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import Issue, PreconditionFailed
from fhir_server.store.protocol import GuardFailed, Put, Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


#: One system call gives the randomness of many ids.
_POOL: Final = 256


class _Ids:
    """Random UUIDs (version 4) as text. A forked process starts anew."""

    def __init__(self) -> None:
        self._left: list[str] = []
        os.register_at_fork(after_in_child=self._left.clear)

    def __call__(self) -> str:
        if not self._left:
            pool = os.urandom(16 * _POOL)
            self._left += [str(UUID(bytes=pool[at : at + 16], version=4)) for at in range(0, len(pool), 16)]
        return self._left.pop()


#: A new logical id.
new_id: Final = _Ids()


async def create(hub: Hub, caller: Caller, type: str, body: bytes | Draft, if_none_exist: str | None) -> Written:
    caller.require(type, "c")
    id = new_id()
    ready = await prepared(hub, caller, type, body, id, named=False)
    put = ready.put(id, "POST", 0)
    if if_none_exist is None:
        (version,) = await hub.commit((put,))
        assert version is not None
        return Written(version, created=True, issues=ready.issues)
    async with hub.lock(type, "?", if_none_exist):
        return await _unless_there(hub, caller, put, ready.issues, if_none_exist)


async def _unless_there(hub: Hub, caller: Caller, put: Put, issues: tuple[Issue, ...], if_none_exist: str) -> Written:
    type = put.type
    parameters = conditional.parameters_of(if_none_exist, "If-None-Exist")
    for _ in hub.attempts():
        found = await conditional.resolve(hub, caller, type, parameters)
        if len(found.matches) > 1:
            raise PreconditionFailed(
                f"If-None-Exist matches several {type} resources; make it match at most one.", code="multiple-matches"
            )
        if found.matches:
            return Written(found.matches[0], created=False, changed=False)
        try:
            (version,) = await hub.commit((put,), (found.guard(),))
        except GuardFailed:
            continue
        assert isinstance(version, Version)
        return Written(version, created=True, issues=issues)
    raise hub.busy()
