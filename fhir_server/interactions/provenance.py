"""The header X-Provenance: a Provenance that is kept in the same commit as what it is about. R4B 3.1.0.1.5 (headers).

The header holds a Provenance without a target; the server names what was written, by version.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.interactions import integrity
from fhir_server.interactions.create import new_id
from fhir_server.interactions.prepare import indexed, refuse
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest
from fhir_server.r4b.validate import validate
from fhir_server.store.protocol import Delete, Put

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


@dataclass(frozen=True, slots=True)
class Attached:
    """A Provenance that goes along with whatever this request writes."""

    caller: Caller
    data: dict[str, Any]


attached: ContextVar[Attached | None] = ContextVar("provenance", default=None)


def attach(hub: Hub, caller: Caller, text: str) -> None:
    """For the request at hand. Raises BadRequest and Unprocessable for what is no such Provenance, Forbidden."""
    try:
        draft = codec.parse(text.encode("latin-1"), limits=hub.options.limits)
    except UnicodeEncodeError:
        raise BadRequest("X-Provenance must be JSON in UTF-8.", code="structure") from None
    if draft.type != "Provenance":
        raise BadRequest(f"X-Provenance holds a Provenance, not a {draft.type}.", code="invalid")
    if "target" in draft.data or "id" in draft.data:
        raise BadRequest("The Provenance of X-Provenance has neither an id nor a target; the server gives it both.")
    caller.require("Provenance", "c")
    refuse(validate({**draft.data, "target": [{"reference": "Patient/1"}]}))
    attached.set(Attached(caller, draft.data))


async def with_provenance(hub: Hub, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
    """The writes, and the Provenance of the request at hand, when there is one."""
    found = attached.get()
    if found is None or not writes:
        return writes
    await integrity.check(hub, [(codec.draft_of(found.data), "")])
    versions: dict[int, int] = {}
    seen = [_noting(write, place, versions) for place, write in enumerate(writes)]
    id = new_id()
    plain = {**found.data, "target": [{"reference": f"{write.type}/{write.id}"} for write in writes]}
    ready = indexed(hub, found.caller, codec.draft_of(plain), id, ())

    def render(version: int, last_updated: int) -> bytes:
        # The commit renders its writes in order: by now every version is known, but for those of deletions.
        targets = [
            {"reference": f"{w.type}/{w.id}" + (f"/_history/{versions[place]}" if place in versions else "")}
            for place, w in enumerate(writes)
        ]
        draft: Draft = codec.draft_of({**found.data, "target": targets})
        return draft.render(id, version, last_updated)

    return [*seen, Put("Provenance", id, render, ready.entries, "POST", 0)]


def _noting(write: Put | Delete, place: int, versions: dict[int, int]) -> Put | Delete:
    if isinstance(write, Delete):
        return write
    plain = write.render

    def render(version: int, last_updated: int) -> bytes:
        versions[place] = version
        return plain(version, last_updated)

    return Put(write.type, write.id, render, write.entries, write.method, write.expect)
