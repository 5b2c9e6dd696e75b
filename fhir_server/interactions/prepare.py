"""From a client's bytes to something that can be committed: parse, validate, index, check. Used by every write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fhir_server.interactions import binaries, subjects
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest, Issue, Unprocessable
from fhir_server.r4b.validate import validate
from fhir_server.search.entries import Entries
from fhir_server.search.extract import extract
from fhir_server.store.protocol import Method, Put

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

#: Issue codes of a body that is not even the thing it should be: 400 instead of 422.
_MALFORMED = frozenset(("structure",))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid resource with its index entries. issues: warnings for the client."""

    draft: Draft
    entries: Entries
    issues: tuple[Issue, ...] = ()

    def put(self, id: str, method: Method, expect: int | None) -> Put:
        return Put(self.draft.type, id, partial(self.draft.render, id), self.entries, method, expect)


def parsed(hub: Hub, type: str, body: bytes | Draft, *, id: str | None = None) -> tuple[Draft, tuple[Issue, ...]]:
    """A valid draft of `type` and its warnings.

    id: what the URL says, which the body must repeat. Raises BadRequest (malformed, wrong type or id) and
    Unprocessable, each with every problem. R4B 3.1.0.6, 3.1.0.8.
    """
    draft = body if isinstance(body, Draft) else codec.parse(body, limits=hub.options.limits)
    if draft.type != type:
        raise BadRequest(
            f"The body is a {draft.type}, but the URL says {type}; send it to {draft.type}.",
            code="invalid",
            expression="resourceType",
        )
    if id is not None and draft.id != id:
        said = "has no id" if draft.data.get("id") is None else f"has the id {str(draft.data['id'])[:64]!r}"
        raise BadRequest(
            f"The body {said}, but the URL says {id}; they must be the same.", code="invalid", expression=f"{type}.id"
        )
    binaries.refuse_mark(draft)
    issues = validate(draft.data)
    if issues:
        refuse(issues)
    return draft, tuple(issues)


def refuse(issues: list[Issue]) -> None:
    """Raises when any issue is an error: BadRequest when all errors are about structure, Unprocessable otherwise."""
    errors = [issue for issue in issues if issue.severity in ("error", "fatal")]
    if not errors:
        return
    if all(issue.code in _MALFORMED for issue in errors):
        raise BadRequest(issues=issues)
    raise Unprocessable(issues=issues)


def indexed(hub: Hub, caller: Caller, draft: Draft, id: str, issues: tuple[Issue, ...]) -> Prepared:
    """Index entries, and whether this caller may write such a resource."""
    entries = extract(
        draft.type, draft.data, base_urls=hub.base_urls, registry=hub.registry, text=hub.options.full_text
    )
    if caller.subject is not None:
        subjects.require_own(caller, draft.type, id, entries)
    return Prepared(draft, entries, issues)


async def prepared(
    hub: Hub, caller: Caller, type: str, body: bytes | Draft, id: str, *, named: bool = True
) -> Prepared:
    """All of it for one resource that will be `type`/`id`; named: the body must carry that id."""
    draft, issues = parsed(hub, type, body, id=id if named else None)
    if type in hub.special:
        issues = (*issues, *await hub.special[type].before_write(hub, draft))
    result = indexed(hub, caller, draft, id, issues)
    if hub.options.integrity != "off":
        from fhir_server.interactions import integrity

        more = await integrity.check(hub, [(draft, id)])
        result = Prepared(draft, result.entries, (*issues, *more))
    if type in hub.options.required_profiles:
        from fhir_server.interactions import required

        result = await required.checked(hub, result)
    if type == "Binary":
        return Prepared(await binaries.offload(hub, draft), result.entries, result.issues)
    return result
