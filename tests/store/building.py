"""Resources and their index entries made by hand, so that these tests need no other part of the server."""

from __future__ import annotations

import json
from typing import Any

from fhir_server.search.entries import Entries
from fhir_server.search.query import Query
from fhir_server.store.protocol import Commit, Page, Put, Store, Version

_KINDS = ("tokens", "strings", "dates", "numbers", "quantities", "references", "uris")


def entries(**kinds: Any) -> Entries:
    return Entries(**kinds)


def body(type: str, id: str, version: int, of: Entries) -> bytes:
    """A stand-in for a resource: it carries its entries, so that `extract` can read them back."""
    kept = {kind: getattr(of, kind) for kind in _KINDS} | {"narrative": of.narrative, "content": of.content}
    return json.dumps({"resourceType": type, "id": id, "version": version, "entries": kept}).encode()


def extract(type: str, raw: bytes) -> Entries:
    kept = json.loads(raw)["entries"]
    return Entries(
        **{kind: [tuple(entry) for entry in kept[kind]] for kind in _KINDS},
        narrative=kept["narrative"],
        content=kept["content"],
    )


def put(type: str, id: str, of: Entries | None = None, **options: Any) -> Put:
    made = of if of is not None else Entries()
    return Put(type, id, lambda version, _: body(type, id, version, made), made, **options)


async def save(store: Store, *writes: Any) -> list[Version]:
    return [version for version in await store.commit(Commit(writes)) if version is not None]


def ids(page: Page) -> list[str]:
    return [version.id for version in page.matches]


async def found(store: Store, type: str, where: Any, **options: Any) -> list[str]:
    options.setdefault("limit", 1000)
    sort = options.pop("sort", ())
    return ids(await store.search(Query((type,), where, sort), **options))
