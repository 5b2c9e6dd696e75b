"""Referential integrity: whether what a resource refers to is here, and whether what is deleted is still in use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import Conflict, Issue, Unprocessable
from fhir_server.r4b.references import find_references, parse_reference
from fhir_server.search.query import Node, Or, Query, Reference
from fhir_server.store.protocol import Guard

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Key = tuple[str, str]


async def check(hub: Hub, drafts: Iterable[tuple[Draft, str]], *, deleted: Collection[Key] = ()) -> tuple[Issue, ...]:
    """References of drafts (with the ids they get) that lead nowhere on this server: warnings, or Unprocessable under
    `enforce`. What the drafts refer to among themselves is there; `deleted` goes in the same commit."""
    drafts = list(drafts)
    mode = hub.options.integrity
    if mode == "off":
        return ()
    own = {(draft.type, id) for draft, id in drafts}
    wanted: dict[Key, list[str]] = {}
    for draft, _ in drafts:
        for found in find_references(draft.data):
            if found.kind != "reference":
                continue
            reference = parse_reference(found.text, hub.base_urls)
            if reference.kind == "local" and reference.type and reference.id:
                key = (reference.type, reference.id)
                if key not in own:
                    wanted.setdefault(key, []).append(_expression(draft.type, found.path))
    keys = list(wanted)
    versions = await hub.store.read_many(keys) if keys else ()
    severity = "error" if mode == "enforce" else "warning"
    issues = []
    for key, version in zip(keys, versions, strict=True):
        if version is None or version.body is None or key in deleted:
            for expression in wanted[key]:
                text = f"{key[0]}/{key[1]} is not on this server; send it first, or in the same transaction."
                issues.append(Issue(severity, "not-found", text, expression))
    if issues and mode == "enforce":
        raise Unprocessable(issues=issues)
    return tuple(issues)


async def unreferenced(hub: Hub, keys: Sequence[Key], *, written: Collection[Key] = ()) -> tuple[Guard, ...]:
    """Under `enforce`: guards that nothing refers to `keys` (other than they themselves and what is written in the
    same commit). Raises Conflict when something does."""
    if hub.options.integrity != "enforce":
        return ()
    guards = []
    going = {*keys, *written}
    for target in sorted({type for type, _ in keys}):
        ids = [id for type, id in keys if type == target]
        by_type: dict[str, list[Node]] = {}
        for source, parameter in hub.registry.referencing(target):
            by_type.setdefault(source, []).extend(Reference(parameter.code, target, id) for id in ids)
        for source, nodes in by_type.items():
            query = Query((source,), nodes[0] if len(nodes) == 1 else Or(tuple(nodes)))
            page = await hub.run(query, limit=len(going) + 1)
            found = frozenset((match.type, match.id) for match in page.matches)
            left = found - going
            if left:
                by = ", ".join(f"{type}/{id}" for type, id in sorted(left)[:5])
                raise Conflict(f"{by} refers to what would be deleted; change or delete that first.")
            guards.append(Guard(query, found))
    return tuple(guards)


def _expression(type: str, path: Sequence[str | int]) -> str:
    text = type
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text
