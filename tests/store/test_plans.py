"""No search reads through a table that grows: every statement it runs is put before SQLite's planner."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search import query as q
from fhir_server.search.entries import CANONICAL_UCUM
from fhir_server.store.sqlite import SqliteStore, open_store, search
from tests.store.building import entries, put, save
from tests.store.test_search_model import SORTS, _fill, _node

GROWING = (
    "resource",
    "version",
    "token",
    "string",
    "date",
    "number",
    "quantity",
    "ref",
    "uri",
    "words",
    "system",
    "record",
    "counter",
)
_ALIASED = re.compile(rf"\b({'|'.join(GROWING)})\b(?: (?:AS )?(?!INDEXED|NOT|CROSS|WHERE|ORDER|LIMIT|GROUP)(\w+))?")

LEAVES: list[q.Node] = [
    q.Everything(),
    q.Token("code", "s1", "x"),
    q.Token("code", None, "x"),
    q.Token("code", "s1", None),
    q.TokenIn("code", frozenset({("s1", "x"), ("s2", "y")})),
    q.String("name", "starts", "a"),
    q.String("name", "contains", "n"),
    q.String("name", "exact", "Ann"),
    *(q.Date("when", comparison, 5, 9) for comparison in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")),
    *(q.Number("n", comparison, "O", "PU1") for comparison in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")),
    q.Quantity("v", "gt", "O", "O", "u", "mg"),
    q.Quantity("v", "gt", "O", "O", None, "mg"),
    q.Quantity("v", "ap", "O", "PU1", None, None),
    q.Quantity("v", "eq", "O", "PU1", CANONICAL_UCUM, None),
    q.Reference("subject", "Patient", "Patient1"),
    q.Reference("subject", None, "Patient1"),
    q.Reference("subject", "", "http://else/1"),
    q.Uri("u", "exact", "http://a"),
    q.Uri("u", "below", "http://a"),
    q.Uri("u", "above", "http://a/b/c"),
    q.Id(("Observation1",)),
    q.LastUpdated("ge", 5, 5),
    q.Missing("code", "token", True),
    q.Missing("when", "date", False),
    q.Composite("pair", (q.Token("pair$0", "s1", "x"), q.Quantity("pair$1", "gt", "O", "O", "u", "mg"))),
    q.Chain("subject", ("Patient",), q.String("name", "starts", "a")),
    q.Chain("subject", ("Patient",), q.Not(q.Token("code", None, "x"))),
    q.Chain("defined", ("Patient",), q.Token("code", None, "x"), canonical=True),
    q.Has("Observation", "subject", q.Token("code", None, "x")),
    q.Text("narrative", "word"),
    q.Text("content", '"two words" more'),
]


def scanned(statement: str, plan: list[str]) -> list[str]:
    """The growing tables that a plan reads from one end to the other."""
    names: dict[str, str] = {}
    for table, alias in _ALIASED.findall(statement):
        names[table] = table
        if alias:
            names[alias] = table
    found = []
    for line in plan:
        match = re.match(r"SCAN (\w+)(?: VIRTUAL TABLE INDEX \d+:(.*))?", line)
        # FTS5 calls it a scan too when it looks words up, and marks that with M.
        if match and match[1] in names and "M" not in (match[2] or ""):
            found.append(f"{line} in {statement}")
    return found


@pytest.fixture(params=[1, 200])
async def watched(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A store of some hundred resources, small and large for the planner's rules, and the statements it runs."""
    monkeypatch.setattr(search.Search, "cap", lambda self, type, limit: request.param)
    store = await open_store(data_dir=tmp_path, text=True)
    await _fill(store, random.Random(5), 120)
    words = entries(narrative="a word", content="two words more")
    await save(store, *(put("Observation", f"text{number}", words) for number in range(5)))
    connection = store._readers.mine().connection
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    yield store, statements, connection
    connection.set_trace_callback(None)
    await store.close()


def _assert_searched(watched: tuple[SqliteStore, list[str], Any]) -> None:
    _, statements, connection = watched
    connection.set_trace_callback(None)
    assert statements
    for statement in dict.fromkeys(statements):
        if statement.startswith("SELECT"):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert scanned(statement, plan) == []


@pytest.mark.parametrize("where", LEAVES, ids=lambda node: f"{type(node).__name__}-{getattr(node, 'comparison', '')}")
async def test_each_kind_of_criterion_uses_an_index(watched: Any, where: q.Node) -> None:
    store = watched[0]
    type = "Patient" if isinstance(where, q.Has) else "Observation"
    for tree in (where, q.And((where, q.Token("code", "s1", "y"))), q.Or((where, q.Token("code", "s1", "y")))):
        page = await store.search(q.Query((type,), tree), limit=3, total="exact")
        if page.end:
            await store.search(q.Query((type,), tree), limit=3, after=page.end, snapshot=page.snapshot, total="bounded")
            await store.search(q.Query((type,), tree), limit=3, after=page.end, backwards=True)
    _assert_searched(watched)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("param", "kind"), [*SORTS, ("_lastUpdated", "last_updated"), ("_score", "score")])
async def test_each_kind_of_sort_uses_an_index(watched: Any, param: str, kind: Any, descending: bool) -> None:
    store = watched[0]
    for where in (q.Everything(), q.Token("code", "s1", "x"), q.Date("when", "ge", 0, 0)):
        query = q.Query(("Observation",), where, (q.Sort(param, kind, descending), q.Sort("name", "string")))
        page = await store.search(query, limit=3)
        if page.next:
            await store.search(query, limit=3, after=page.next, snapshot=page.snapshot)
            await store.search(query, limit=3, after=page.next, backwards=True)
    _assert_searched(watched)


async def test_nested_criteria_use_indexes(watched: Any) -> None:
    rng = random.Random(8)
    for _ in range(120):
        type = rng.choice(["Patient", "Observation"])
        await watched[0].search(q.Query((type,), _node(rng, type, 3)), limit=5, total="exact")
    _assert_searched(watched)


async def test_reads_and_histories_use_indexes(watched: Any) -> None:
    store = watched[0]
    await store.read("Patient", "Patient1")
    await store.read_version("Patient", "Patient1", 1)
    for scope in (
        {},
        {"type": "Patient"},
        {"type": "Patient", "id": "Patient1"},
        {"types": ("Patient", "Observation")},
    ):
        page = await store.history(limit=3, total=True, **scope)
        await store.history(limit=3, after=page.next, since=5, at=(5, 2**60), **scope)
    async for _ in store.changes(3, types=("Patient",)):
        pass
    async for _ in store.changes(3):
        pass
    await store.get_record("a", "b")
    await store.list_records("a")
    await store.get_counter("a")
    _assert_searched(watched)


def test_a_scan_is_noticed() -> None:
    assert scanned("SELECT * FROM token t", ["SCAN t"])
    assert not scanned("SELECT * FROM token t", ["SEARCH t USING PRIMARY KEY (pid=?)"])
