"""Which resources a resource leads to by its references."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fhir_server.r4b.codec import decode
from fhir_server.r4b.outcome import Unprocessable
from fhir_server.r4b.references import find_references, parse_reference
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
Key = tuple[str, str]


def local_references(resource: Json, base_url: str) -> list[Key]:
    """(type, id) of every reference to a resource of this server, in order, without repeats."""
    found: dict[Key, None] = {}
    for one in find_references(resource):
        if one.kind != "reference":
            continue
        parsed = parse_reference(one.text, (base_url,))
        if parsed.kind == "local" and parsed.type and parsed.id:
            found[parsed.type, parsed.id] = None
    return list(found)


async def read_all(hub: Hub, caller: Caller, keys: Iterable[Key]) -> tuple[list[Json], list[Key]]:
    """(those that are here and may be read, those that are not)."""
    wanted = [key for key in keys if caller.allows(key[0], "r")]
    versions = await hub.store.read_many(wanted)
    found, absent = [], []
    for key, version in zip(wanted, versions, strict=True):
        if version is None or version.body is None:
            absent.append(key)
        else:
            found.append(decode(version.body))
    return found, absent


async def closure(hub: Hub, caller: Caller, start: Json, *, most: int = 2_000) -> tuple[list[Json], list[Key]]:
    """All that `start` leads to, near ones first, and the references of `start` itself that lead nowhere.

    Unprocessable when it is more than `most` resources.
    """
    seen: set[Key] = {(start["resourceType"], start["id"])}
    result: list[Json] = []
    level = [start]
    dangling: list[Key] = []
    while level:
        keys = [key for one in level for key in local_references(one, hub.base_url) if key not in seen]
        keys = list(dict.fromkeys(keys))
        seen.update(keys)
        level, absent = await read_all(hub, caller, keys)
        if not result:
            dangling = absent
        result += level
        if len(result) > most:
            raise Unprocessable(f"This leads to more than {most} resources.", code="too-costly")
    return result, dangling
