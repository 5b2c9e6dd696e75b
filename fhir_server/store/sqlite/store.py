"""The Store protocol over one SQLite file. Reads run at once on the event loop (microseconds); a search that turns out
longer moves to a thread; everything that writes goes through the one writer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from fhir_server.search.entries import Entries
from fhir_server.search.query import Query
from fhir_server.store.protocol import (
    Blob,
    Commit,
    Cursor,
    Guard,
    HistoryPage,
    Page,
    Problem,
    Record,
    SearchTooCostly,
    StoreError,
    Version,
)
from fhir_server.store.sqlite import history, records
from fhir_server.store.sqlite.blobs import Blobs
from fhir_server.store.sqlite.check import check
from fhir_server.store.sqlite.connection import OutOfTime, Reader, Readers, connect
from fhir_server.store.sqlite.explain import explain
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.purge import purge
from fhir_server.store.sqlite.reindex import reindex
from fhir_server.store.sqlite.scan import scan
from fhir_server.store.sqlite.schema import FULL_TEXT_INCOMPLETE, MIGRATIONS, add_full_text, migrate
from fhir_server.store.sqlite.search import BOUND, Search, everything
from fhir_server.store.sqlite.transaction import METHODS, Transaction
from fhir_server.store.sqlite.writer import Writer

T = TypeVar("T")

_READ: Final = (
    "SELECT r.version, r.seq, r.last_updated, v.method, v.body "
    "FROM resource r CROSS JOIN version v ON v.seq = r.seq WHERE r.tid = ? AND r.id = ?"
)
_READ_VERSION: Final = (
    "SELECT v.version, v.seq, v.last_updated, v.method, v.body "
    "FROM resource r CROSS JOIN version v INDEXED BY version_rid ON v.rid = r.rid "
    "WHERE r.tid = ? AND r.id = ? AND v.version = ?"
)
_CHANGES: Final = 500
#: What a total is worth that nobody asked for, in steps of SQLite's machine: 2 to 5 ms.
_BOUNDED_STEPS: Final = 100_000
_TOTALS: Final = 2_000


class SqliteStore:
    """Made by `open`. See Store for what each method does."""

    def __init__(
        self, path: Path, blobs: Path, *, full_text: bool, inline_seconds: float, search_seconds: float, threads: int
    ) -> None:
        self.path = path
        self.full_text = full_text
        self._blobs = Blobs(blobs)
        self._names = Names()
        self._readers = Readers(path)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store-search")
        self._inline = inline_seconds
        self._longest = search_seconds
        self._totals: dict[Query, tuple[tuple[int, int], int, bool]] = {}
        self._writer: Writer
        self._writing: Transaction

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        blobs: Path,
        text: bool = False,
        inline_seconds: float = 0.003,
        search_seconds: float = 10.0,
        threads: int = 3,
        busy_seconds: float = 30.0,
    ) -> SqliteStore:
        """Raises StoreError when the file is not a store of this version or cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Index rows go all over the tables, so writing keeps more of them at hand than reading does.
            connection = connect(path, busy_seconds=busy_seconds, cache_kilobytes=32_000)
            migrate(connection, MIGRATIONS)
            full_text = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone() is not None
            if text and not full_text:
                add_full_text(connection)
                full_text = True
        except Exception as error:
            raise StoreError(f"The store {path} cannot be opened: {error}") from error
        store = cls(
            path,
            blobs,
            full_text=full_text,
            inline_seconds=inline_seconds,
            search_seconds=search_seconds,
            threads=threads,
        )
        store._writing = Transaction(connection, full_text=full_text, check_guard=store._check_guard)
        store._writer = Writer(store._writing)
        return store

    def _check_guard(self, transaction: Transaction, guard: Guard) -> bool:
        transaction.write_pending()
        search = Search(transaction.connection, transaction.names, full_text=self.full_text)
        return search.matches(guard.query, len(guard.expected) + 1) == guard.expected

    # -- reading --------------------------------------------------------------------------------------------------

    async def read(self, type: str, id: str) -> Version | None:
        return self._read(self._readers.mine(), type, id)

    def _read(self, reader: Reader, type: str, id: str) -> Version | None:
        tid = self._names.tids.get(type)
        if tid is None:
            tid = self._names.tid(reader.connection, type)
        row = reader.execute(_READ, (tid, id)).fetchone()
        return Version(type, id, row[0], row[1], row[2], METHODS[row[3]], row[4]) if row is not None else None

    async def read_many(self, keys: Sequence[tuple[str, str]]) -> Sequence[Version | None]:
        reader = self._readers.mine()
        return [self._read(reader, type, id) for type, id in keys]

    async def read_version(self, type: str, id: str, version: int) -> Version | None:
        reader = self._readers.mine()
        tid = self._names.tid(reader.connection, type)
        row = reader.execute(_READ_VERSION, (tid, id, version)).fetchone()
        return Version(type, id, row[0], row[1], row[2], METHODS[row[3]], row[4]) if row is not None else None

    async def _run(self, work: Callable[[Reader], T], *, inline: bool = True) -> T:
        """`work` on the event loop within a few milliseconds, or else in a thread within the longest time."""
        reader = self._readers.mine()
        if inline:
            try:
                with reader.within(self._inline):
                    return work(reader)
            except OutOfTime:
                pass
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._at_length, work)

    def _at_length(self, work: Callable[[Reader], T]) -> T:
        reader = self._readers.mine()
        try:
            with reader.within(self._longest):
                return work(reader)
        except OutOfTime:
            raise SearchTooCostly(
                f"The search took longer than {self._longest:g} seconds. Add criteria that narrow it down."
            ) from None

    def _search(self, reader: Reader) -> Search:
        return Search(reader.connection, self._names, full_text=self.full_text)

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
        def work(reader: Reader) -> Page:
            return self._search(reader).page(query, limit=limit, after=after, snapshot=snapshot, backwards=backwards)

        page = await self._run(work)
        if total == "none":
            return page
        if after is None and limit > 0 and page.next is None:
            found: int | None = len(page.matches)
        else:
            found = await self._total(query, exact=total == "exact")
        return Page(page.matches, page.next, page.snapshot, found, page.start, page.end)

    async def _total(self, query: Query, *, exact: bool) -> int | None:
        """Remembered until the next change of anything that is searched; so is that there are too many to count."""
        exact = exact or everything(query)  # that number is kept, not counted
        marker: tuple[int, int] = self._readers.mine().execute("SELECT seq, epoch FROM clock").fetchone()
        known = self._totals.get(query)
        if known is None or known[0] != marker or (exact and known[1] > BOUND and not known[2]):
            known = (marker, await self._counted(query) if exact else self._bounded(query), exact)
            if len(self._totals) >= _TOTALS:
                self._totals.clear()
            self._totals[query] = known
        return known[1] if exact or known[1] <= BOUND else None

    def _bounded(self, query: Query) -> int:
        """The number of matches, BOUND + 1 when it is more or takes too long to find out."""
        reader = self._readers.mine()
        try:
            with reader.within_work(_BOUNDED_STEPS):
                return self._search(reader).count(query, bound=BOUND)
        except OutOfTime:
            return BOUND + 1

    async def count(self, query: Query) -> int:
        found = await self._total(query, exact=True)
        assert found is not None
        return found

    async def _counted(self, query: Query) -> int:
        return await self._run(lambda reader: self._search(reader).count(query))

    async def explain(self, query: Query, *, limit: int) -> Mapping[str, Any]:
        def explained(reader: Reader) -> Mapping[str, Any]:
            try:
                return explain(self._search(reader), query, limit, reader.tick)
            finally:
                reader.watch()

        return await self._run(explained)

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
        def work(reader: Reader) -> HistoryPage:
            return history.history(
                reader.connection,
                self._names,
                type=type,
                id=id,
                types=types,
                among=among,
                since=since,
                at=at,
                limit=limit,
                after=after,
                total=total,
            )

        return await self._run(work)

    async def changes(self, after: int, *, types: Sequence[str] = ()) -> AsyncIterator[Version]:
        last = await self.last_seq()
        while after < last:
            batch = history.changes(self._readers.mine().connection, self._names, after, types, last, _CHANGES)
            for version in batch:
                yield version
            if len(batch) < _CHANGES:
                return
            after = batch[-1].seq
            await asyncio.sleep(0)

    async def last_seq(self) -> int:
        return self._search(self._readers.mine()).last_seq()

    def scan(
        self, *, types: Sequence[str] = (), snapshot: int | None = None, since: int | None = None
    ) -> AsyncIterator[Sequence[Version]]:
        return scan(self.path, self._names, types, snapshot, since)

    async def type_counts(self) -> Mapping[str, int]:
        rows = self._readers.mine().execute(
            "SELECT t.name, c.live FROM tally c CROSS JOIN type t ON t.tid = c.tid WHERE c.live > 0 ORDER BY t.name"
        )
        return dict(rows.fetchall())

    # -- writing --------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> Sequence[Version | None]:
        return await self._writer.do(lambda transaction: transaction.apply(commit))

    async def commit_many(self, commits: Sequence[Commit]) -> Sequence[Sequence[Version | None] | StoreError]:
        answers = await asyncio.gather(*map(self.commit, commits), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, StoreError):
                raise answer
        return answers  # type: ignore[return-value]

    async def purge(self, type: str, id: str) -> int:
        return await self._writer.do(lambda transaction: purge(transaction, type, id))

    async def put_record(self, kind: str, id: str, data: Mapping[str, Any], *, expect: int | None = None) -> Record:
        return await self._writer.do(lambda transaction: records.put_record(transaction, kind, id, data, expect))

    async def get_record(self, kind: str, id: str) -> Record | None:
        return records.get_record(self._readers.mine().connection, kind, id)

    async def list_records(self, kind: str) -> Sequence[Record]:
        return records.list_records(self._readers.mine().connection, kind)

    async def delete_record(self, kind: str, id: str) -> bool:
        return await self._writer.do(lambda transaction: records.delete_record(transaction, kind, id))

    async def add_counter(self, name: str, amount: int, *, expires_at: int | None = None) -> int:
        return await self._writer.do(lambda transaction: records.add_counter(transaction, name, amount, expires_at))

    async def get_counter(self, name: str) -> int:
        return records.get_counter(self._readers.mine().connection, name)

    # -- blobs ----------------------------------------------------------------------------------------------------

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> Blob:
        return await self._blobs.put(chunks)

    def open_blob(self, id: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self._blobs.open(id, start, end)

    async def blob_size(self, id: str) -> int | None:
        return await self._blobs.size(id)

    async def delete_blob(self, id: str) -> None:
        await self._blobs.delete(id)

    # -- care -----------------------------------------------------------------------------------------------------

    async def reindex(
        self,
        extract: Callable[[str, bytes], Entries],
        *,
        types: Sequence[str] = (),
        progress: Callable[[int, int], None],
    ) -> int:
        count = await reindex(self._writer, self._readers, self._names, extract, types, progress)
        if self.full_text and not types:
            await self.delete_record(*FULL_TEXT_INCOMPLETE)
        return count

    async def check(self, extract: Callable[[str, bytes], Entries]) -> Sequence[Problem]:
        # Whatever this process has accepted is to be in what is checked.
        await self._writer.do(lambda transaction: None)
        return await asyncio.to_thread(functools.partial(check, self.path, extract, full_text=self.full_text))

    async def ready(self) -> bool:
        try:
            await asyncio.wait_for(self._writer.do(lambda transaction: True), 2.0)
        except (StoreError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._pool.shutdown)
        self._readers.close()
        self._writing.connection.close()
