"""What is particular to the SQLite store: durability settings, migrations, check, reindex, full text, limits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_server.search.entries import Entries
from fhir_server.search.query import And, Date, Everything, Not, Query, Sort, String, Text, Token
from fhir_server.store import open_store as open_by_url
from fhir_server.store.protocol import Commit, NotIndexed, SearchTooCostly, StoreError
from fhir_server.store.sqlite import SqliteStore, open_store
from fhir_server.store.sqlite.schema import MIGRATIONS, migrate
from tests.store.building import entries, extract, found, put, save

FULL = entries(
    tokens=[("code", "s", "x", 0)],
    strings=[("name", "ann", "Ann", 0)],
    dates=[("when", 1, 2, 0)],
    numbers=[("n", "O", "O", 0)],
    quantities=[("v", "u", "mg", "O", "O", 0)],
    references=[("subject", "Patient", "p", 0)],
    uris=[("url", "http://a", "", 0)],
    narrative="words of narrative",
    content="all the words",
)


async def test_concurrent_commits_share_an_fsync(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    before = store._writer.fsyncs
    await asyncio.gather(*(store.commit(Commit([put("Patient", str(number))])) for number in range(64)))
    assert store._writer.fsyncs - before <= 8
    await store.close()


async def test_every_connection_is_wal_and_full(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    for connection in (store._writing.connection, store._readers.mine().connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()


async def test_the_url_may_name_the_file(tmp_path: Path) -> None:
    store = await open_by_url(f"sqlite://{tmp_path}/other.db", data_dir=tmp_path)
    await save(store, put("Patient", "a"))
    await store.close()
    assert (tmp_path / "other.db").exists()


async def test_an_unknown_kind_of_store_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sqlite"):
        await open_by_url("oracle://x", data_dir=tmp_path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fhir.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        await open_store(data_dir=tmp_path)


async def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    await (await open_store(data_dir=tmp_path)).close()
    with sqlite3.connect(tmp_path / "fhir.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        await open_store(data_dir=tmp_path)


def test_migrations_go_forward_once_and_together() -> None:
    ran: list[str] = []

    def step(name: str) -> Callable[[sqlite3.Connection], None]:
        def run(connection: sqlite3.Connection) -> None:
            ran.append(name)
            connection.execute(f"CREATE TABLE {name}(x)")

        return run

    def broken(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk full")

    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, (step("a"),))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (step("a"), step("b"), broken))
    migrate(connection, (step("a"), step("b")))
    migrate(connection, (step("a"), step("b")))
    assert ran == ["a", "b", "b"]


async def test_a_new_file_has_the_newest_schema(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    assert store._writing.connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    await store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM token",
        "INSERT INTO string SELECT pid, 'zoe', rid, 'Zoe', 0 FROM string",
        "UPDATE ref SET target = 999",
        "INSERT INTO date VALUES (1, 1, 777, 1, 0)",
        "DELETE FROM version WHERE version = 1",
        "UPDATE resource SET seq = seq + 100",
        "UPDATE resource SET live = 1",
        "UPDATE version SET body = NULL",
        "UPDATE clock SET seq = 0",
        "UPDATE tally SET live = live + 1",
        "UPDATE version SET last_updated = last_updated - seq * 1000",
        "DELETE FROM param_system",
        "DELETE FROM quantity",
        "DELETE FROM uri",
    ],
)
async def test_check_finds_damage(tmp_path: Path, damage: str) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(store, put("Observation", "a", FULL))
    await save(store, put("Observation", "a", FULL), put("Observation", "b", FULL))
    assert await store.check(extract) == []
    store._writing.connection.execute(damage)
    assert await store.check(extract) != []
    await store.close()


async def test_reindex_repairs_the_index_while_others_write(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(store, *(put("Observation", str(number), FULL) for number in range(350)), put("Patient", "p"))
    for table in ("token", "date", "ref"):
        store._writing.connection.execute(f"DELETE FROM {table}")
    assert await store.check(extract) != []
    steps: list[tuple[int, int]] = []
    written = asyncio.create_task(save(store, put("Observation", "7", entries(tokens=[("code", "s", "new", 0)]))))
    assert await store.reindex(extract, progress=lambda done, total: steps.append((done, total))) == 351
    await written
    assert steps[0] == (0, 351)
    assert steps[-1] == (351, 351)
    assert await store.check(extract) == []
    assert await found(store, "Observation", Token("code", "s", "new")) == ["7"]
    assert len(await found(store, "Observation", Token("code", "s", "x"))) == 349
    await store.close()


async def test_reindex_of_some_types_leaves_the_others(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(store, put("Observation", "o", FULL), put("Patient", "p", FULL))

    def other(type: str, raw: bytes) -> Entries:
        return entries(tokens=[("code", "s", "other", 0)])

    assert await store.reindex(other, types=("Patient",), progress=lambda done, total: None) == 1
    assert await found(store, "Patient", Token("code", "s", "other")) == ["p"]
    assert await found(store, "Observation", Token("code", "s", "other")) == []
    await store.close()


async def test_text_is_found_by_words_and_phrases(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path, text=True)
    await save(store, put("Observation", "a", FULL), put("Observation", "b", entries(content="words the all")))
    for where, value, expected in (
        ("narrative", "WORDS", ["a"]),
        ("content", "words all", ["a", "b"]),
        ("content", '"all the words"', ["a"]),
        ("content", "missing", []),
        ("content", '" ( OR', []),
        ("narrative", "", []),
    ):
        assert await found(store, "Observation", Text(where, value)) == expected, value  # type: ignore[arg-type]
        assert await found(store, "Observation", And((Token("code", "s", "x"), Text(where, value)))) == [  # type: ignore[arg-type]
            id for id in expected if id == "a"
        ]
    await save(store, put("Observation", "a", entries(narrative="other")))
    assert await found(store, "Observation", Text("narrative", "words")) == []
    assert await store.check(extract) == []
    await store.close()


async def test_text_without_an_index_is_refused_plainly(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(store, put("Observation", "a", FULL))
    with pytest.raises(StoreError, match="text=True"):
        await found(store, "Observation", Text("content", "words"))
    await store.close()


async def test_a_search_over_its_budget_is_too_costly(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path, inline_seconds=0.0001, search_seconds=0.0005)
    for start in range(0, 6000, 2000):
        await save(
            store,
            *(
                put("Observation", str(n), entries(strings=[("name", f"n{n}", "N", 0)]))
                for n in range(start, start + 2000)
            ),
        )
    with pytest.raises(SearchTooCostly):
        await found(store, "Observation", String("name", "contains", "nowhere"), sort=(Sort("v", "quantity"),))
    assert await store.read("Observation", "5") is not None
    await store.close()


async def test_a_long_search_moves_to_a_thread_and_leaves_the_loop_free(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path, inline_seconds=0.0001)
    await save(store, *(put("Observation", str(n), entries(strings=[("name", f"n{n}", "N", 0)])) for n in range(5000)))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await store.count(Query(("Observation",), Not(String("name", "contains", "nowhere")))) == 5000
    assert turns > 0
    task.cancel()
    await store.close()


async def test_pages_stay_exact_while_others_write(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    of = entries(tokens=[("code", "s", "x", 0)], dates=[("when", 5, 6, 0)])
    # The identity of 'late' is older than anything, because something refers to it.
    await save(store, put("List", "l", entries(references=[("item", "Observation", "late", 0)])))
    await save(store, *(put("Observation", str(number), of) for number in range(10)))
    for sort in ((), (Sort("when", "date", True),), (Sort("_lastUpdated", "last_updated"),)):
        query = Query(("Observation",), Token("code", "s", "x"), sort)
        first = await store.search(query, limit=4)
        await save(store, put("Observation", "late", of), put("Observation", f"new{len(sort)}", of))
        seen = list(first.matches)
        page = first
        while page.next is not None:
            page = await store.search(query, limit=4, after=page.next, snapshot=first.snapshot)
            seen += page.matches
        assert len(seen) == len({version.id for version in seen})
        assert {str(number) for number in range(10)} <= {version.id for version in seen}
        await store.purge("Observation", "late")
        for number in range(2):
            await store.purge("Observation", f"new{number}")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("matches", [12, 600])
async def test_pages_by_last_update_stay_exact_while_others_update(
    tmp_path: Path, descending: bool, matches: int
) -> None:
    """Each match comes once, where it stood when the first page was given, whatever becomes of it meanwhile."""
    store = await open_store(data_dir=tmp_path)
    of = entries(tokens=[("code", "s", "x", 0)], strings=[("name", "a", "A", 0)])
    await save(store, *(put("Observation", str(number), of) for number in range(matches)))
    for type_query in (Everything(), Token("code", "s", "x")):
        sort = (Sort("_lastUpdated", "last_updated", descending), Sort("name", "string"))
        query = Query(("Observation",), type_query, sort)
        expected = [version.id for version in (await store.search(query, limit=matches)).matches]
        page = await store.search(query, limit=matches // 6)
        snapshot, pages = page.snapshot, [[version.id for version in page.matches]]
        starts = [page.start]
        while page.next is not None:
            moved = (0, matches // 2, matches - 1, len(pages))
            await save(store, *(put("Observation", str(number), of) for number in moved))
            page = await store.search(query, limit=matches // 6, after=page.next, snapshot=snapshot)
            pages.append([version.id for version in page.matches])
            starts.append(page.start)
        assert [id for each in pages for id in each] == expected
        back = await store.search(query, limit=matches // 6, after=starts[-1], snapshot=snapshot, backwards=True)
        assert [version.id for version in back.matches] == pages[-2]


async def test_totals_are_exact_or_bounded(tmp_path: Path) -> None:
    store: SqliteStore = await open_store(data_dir=tmp_path)
    of = entries(tokens=[("code", "s", "x", 0)])
    await save(store, *(put("Observation", str(number), of) for number in range(1500)))
    query = Query(("Observation",), Token("code", "s", "x"))
    assert (await store.search(query, limit=2)).total is None
    assert (await store.search(query, limit=2, total="exact")).total == 1500
    assert (await store.search(Query(("Observation",), Everything()), limit=2, total="exact")).total == 1500
    assert (await store.search(Query(("Observation",), Everything()), limit=2, total="bounded")).total == 1500
    fewer = Query(("Observation",), And((query.where, Not(Date("when", "ge", 0, 0)))))
    assert (await store.search(fewer, limit=2, total="bounded")).total is None
    assert (await store.search(query, limit=1500, total="bounded")).total == 1500
    assert (await store.search(query, limit=0, total="exact")).total == 1500
    await save(store, put("Observation", "one more", of))
    assert (await store.search(query, limit=2, total="exact")).total == 1501
    await store.purge("Observation", "one more")
    assert (await store.search(query, limit=2, total="exact")).total == 1500
    await store.close()


async def test_explain_shows_strategy_and_plan(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(store, put("Observation", "a", FULL))
    told = await store.explain(Query(("Observation",), Token("code", "s", "x")), limit=20)
    (statement,) = told["statements"]
    assert statement["strategy"] == "stream"
    assert any("PRIMARY KEY" in line for line in statement["plan"])
    await store.close()


async def test_five_hundred_values_are_one_search(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    await save(
        store, *(put("Observation", str(n), entries(strings=[("name", f"n{n:04}", "N", 0)])) for n in range(700))
    )
    from fhir_server.search.query import Or

    many = Or(tuple(String("name", "starts", f"n{number:04}") for number in range(650)))
    assert len(await found(store, "Observation", many)) == 650
    assert len(await found(store, "Observation", Not(many))) == 50
    await store.close()


async def test_full_text_added_later_is_refused_until_a_reindex(tmp_path: Path) -> None:
    without = await open_store(data_dir=tmp_path)
    await save(without, put("Observation", "a", FULL))
    await without.close()
    store = await open_store(data_dir=tmp_path, text=True)
    with pytest.raises(NotIndexed, match="reindex"):
        await found(store, "Observation", Text("content", "words"))
    await store.reindex(extract, progress=lambda done, total: None)
    assert await found(store, "Observation", Text("content", "words")) == ["a"]
    await store.close()
