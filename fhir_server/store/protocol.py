"""What the hub asks of a store, and nothing about how it is kept.

A store keeps resources (every version), their search index, keys and other small records, counters, and blobs. All of
one commit becomes visible and durable together or not at all. `fhir_server.store.sqlite` is the embedded one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fhir_server.search.entries import Entries
from fhir_server.search.query import Query

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True, unsafe_hash=True)
class Version:
    """One version of one resource. body is None when the version is a deletion. Never changed once made.

    seq: position in the store's one order of changes (rising, unique; gaps are allowed). last_updated: microseconds
    since 1970 UTC, a whole number of milliseconds. body: the resource's JSON as it is served, id and meta included.
    """

    # Not frozen: that would make each one three times as dear, and an export makes one for every resource.
    type: str
    id: str
    version: int
    seq: int
    last_updated: int
    method: Method
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Put:
    """Create or update. render(version, last_updated) gives the bytes to keep (pure, called once, inside the commit).

    expect: None = whatever is there; 0 = must not exist (never existed or deleted); n = the current version must be n.
    """

    type: str
    id: str
    render: Callable[[int, int], bytes]
    entries: Entries
    method: Method = "PUT"
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete; nothing happens (no new version) when the resource is not there. expect as in Put."""

    type: str
    id: str
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """The commit is refused (GuardFailed) unless the query's answer, at commit time, is exactly these (type, id)."""

    query: Query
    expected: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Commit:
    """All or nothing. Guards are checked first, then the writes in order. A (type, id) may occur once."""

    writes: Sequence[Put | Delete]
    guards: Sequence[Guard] = ()


class StoreError(Exception):
    """Base of what a store may raise for a commit that cannot be."""


class VersionMismatch(StoreError):
    """A write's `expect` did not hold. current: the current version number, 0 when there is none or it is deleted."""

    def __init__(self, type: str, id: str, current: int) -> None:
        super().__init__(f"{type}/{id} is at version {current}")
        self.type, self.id, self.current = type, id, current


class GuardFailed(StoreError):
    """What a guard was built on has changed; resolve again and retry."""


class NotIndexed(StoreError):
    """The store keeps no index for this kind of search, or not yet a whole one."""


class SearchTooCostly(StoreError):
    """The search passed its budget of time; ask for something narrower."""


Cursor = tuple[Any, ...]
"""Where a page ended: sort key values, then the resource ordinal. JSON-able; only its own store reads it."""


@dataclass(frozen=True, slots=True)
class Page:
    """matches: current versions, in order. next: cursor for what follows, None at the end.

    snapshot: give it back with `after`, so that resources created since the first page do not appear.
    total: exact number of matches when asked for and affordable, else None.
    start, end: cursors of the first and the last match (None without matches). `after=end` gives what follows this
    page, `after=start, backwards=True` what precedes it, whichever way the page itself was reached.
    """

    matches: Sequence[Version]
    next: Cursor | None
    snapshot: int
    total: int | None = None
    start: Cursor | None = None
    end: Cursor | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """versions: newest first."""

    versions: Sequence[Version]
    next: Cursor | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A small JSON document that is not a resource (a key, a job's import state). revision rises with every write."""

    kind: str
    id: str
    data: Mapping[str, Any]
    revision: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes kept beside resources (the content of a large Binary). id: sha256 hex of the content."""

    id: str
    size: int


@dataclass(slots=True)
class Problem:
    """One finding of `check`."""

    type: str
    id: str
    what: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """Every method may be called from any task of the event loop that opened the store."""

    async def read(self, type: str, id: str) -> Version | None:
        """The current version (a deletion has body None), or None when it never existed."""
        ...

    async def read_many(self, keys: Sequence[tuple[str, str]]) -> Sequence[Version | None]:
        """As read, for many (type, id), in their order."""
        ...

    async def read_version(self, type: str, id: str, version: int) -> Version | None: ...

    async def commit(self, commit: Commit) -> Sequence[Version | None]:
        """Durable when it returns. One result per write, in order; None for a Delete that found nothing.

        Raises VersionMismatch, GuardFailed."""
        ...

    async def commit_many(self, commits: Sequence[Commit]) -> Sequence[Sequence[Version | None] | StoreError]:
        """Many commits at once, each all or nothing on its own, sharing what durability costs. In their order; one that
        could not be gives its StoreError instead of its result."""
        ...

    async def search(
        self,
        query: Query,
        *,
        limit: int,
        after: Cursor | None = None,
        snapshot: int | None = None,
        total: Literal["none", "bounded", "exact"] = "none",
        backwards: bool = False,
    ) -> Page:
        """A page of current resources. `bounded` counts only as far as is cheap (then total may be None).

        backwards: the page that ends just before `after`, still in ascending order (then `next` leads further back).
        Raises SearchTooCostly."""
        ...

    async def count(self, query: Query) -> int: ...

    async def explain(self, query: Query, *, limit: int) -> Mapping[str, Any]:
        """The plan: what is asked of the engine and the engine's own plan, for people."""
        ...

    async def history(
        self,
        *,
        type: str | None = None,
        id: str | None = None,
        types: Sequence[str] = (),
        among: Sequence[tuple[str, str]] | None = None,
        since: int | None = None,
        at: tuple[int, int] | None = None,
        limit: int,
        after: Cursor | None = None,
        total: bool = False,
    ) -> HistoryPage:
        """Versions, newest first, of one resource, one type, several types, or everything; among: of these alone.

        since: last_updated >= since. at: versions that were current at some moment within [lo, hi]."""
        ...

    def changes(self, after: int, *, types: Sequence[str] = ()) -> AsyncIterator[Version]:
        """Committed versions with seq > after, in order of seq, up to now. Never skips one that commits later with a
        lower seq."""
        ...

    async def last_seq(self) -> int: ...

    def scan(
        self, *, types: Sequence[str] = (), snapshot: int | None = None, since: int | None = None
    ) -> AsyncIterator[Sequence[Version]]:
        """Every current resource in batches, by type and ordinal, in constant memory, as of one moment."""
        ...

    async def purge(self, type: str, id: str) -> int:
        """Remove every version and index entry for good; returns the number of versions removed."""
        ...

    async def type_counts(self) -> Mapping[str, int]:
        """Number of current resources by type (types with none are left out)."""
        ...

    async def put_record(self, kind: str, id: str, data: Mapping[str, Any], *, expect: int | None = None) -> Record:
        """expect: None = whatever; 0 = must not exist; n = must be at this revision (VersionMismatch otherwise)."""
        ...

    async def get_record(self, kind: str, id: str) -> Record | None: ...

    async def list_records(self, kind: str) -> Sequence[Record]: ...

    async def delete_record(self, kind: str, id: str) -> bool: ...

    async def add_counter(self, name: str, amount: int, *, expires_at: int | None = None) -> int:
        """Atomically add and return the new value; a counter past its expires_at (seconds since 1970) starts at 0."""
        ...

    async def get_counter(self, name: str) -> int: ...

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> Blob:
        """Durable when it returns; the same content is kept once."""
        ...

    def open_blob(self, id: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes [start, end). Raises KeyError when there is no such blob."""
        ...

    async def blob_size(self, id: str) -> int | None: ...

    async def delete_blob(self, id: str) -> None: ...

    async def reindex(
        self,
        extract: Callable[[str, bytes], Entries],
        *,
        types: Sequence[str] = (),
        progress: Callable[[int, int], None],
    ) -> int:
        """Rebuild the index of current resources from their bytes, while others go on; returns how many."""
        ...

    async def check(self, extract: Callable[[str, bytes], Entries]) -> Sequence[Problem]:
        """Compare the index with what `extract` gives, and the store's own invariants; [] when all is well."""
        ...

    async def ready(self) -> bool:
        """True when the store can take a write now."""
        ...

    async def close(self) -> None: ...
