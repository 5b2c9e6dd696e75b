"""Random stores and random searches: the answer, its pages in both directions and its count are the model's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from fhir_server.search import query as q
from fhir_server.search.entries import CANONICAL_UCUM, MAX_TIME, MIN_TIME, Entries
from fhir_server.store.protocol import Commit, Delete, Store
from tests.store.building import extract, ids, put
from tests.store.model import Model

DAY = 86_400_000_000
NAMES = ["Ann", "ann", "Anna", "Bo", "Bob", "Zoë"]
TIMES = [0, 1, DAY, 2 * DAY, 40 * DAY]
NUMBERS = ["N5~", "O", "PU1", "PU15", "PU2", "PV1"]
URIS = ["http://a", "http://a/b", "http://a/b/c", "http://ab", "urn:x"]
SYSTEMS = ["s1", "s2", "s3", "s4", "s5", "s6", ""]
COMPARISONS: list[q.Comparison] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]


def _some(rng: random.Random, most: int, make: Any) -> list[Any]:
    return [make() for _ in range(rng.choice([0, *range(most + 1)]))]


def _date(rng: random.Random) -> tuple[str, int, int, int]:
    lo = rng.choice([*TIMES, MIN_TIME])
    return ("when", lo, rng.choice([time for time in (*TIMES, lo + 5, MAX_TIME) if time >= lo]), 0)


def _span(rng: random.Random) -> tuple[str, str]:
    lo = rng.choice(NUMBERS)
    return lo, rng.choice([lo, lo, *(number for number in NUMBERS if number >= lo), "Z"])


def _entries(rng: random.Random, type: str) -> Entries:
    from fhir_server.search.fold import fold

    def token(param: str) -> tuple[str, str, str, int]:
        return (param, rng.choice(SYSTEMS), rng.choice("xyz"), 0)

    def string() -> tuple[str, str, str, int]:
        name = rng.choice(NAMES)
        return ("name", fold(name), name, 0)

    made = Entries(
        tokens=_some(rng, 2, lambda: token("code")) + _some(rng, 1, lambda: ("only", "s1", rng.choice("xyz"), 0)),
        strings=_some(rng, 2, string),
        dates=_some(rng, 2, lambda: _date(rng)),
        numbers=_some(rng, 2, lambda: ("n", *_span(rng), 0)),
        quantities=_some(
            rng, 2, lambda: ("v", rng.choice(["u", "u2", CANONICAL_UCUM]), rng.choice(["mg", "g"]), *_span(rng), 0)
        ),
        uris=_some(rng, 2, lambda: ("u", rng.choice(URIS), rng.choice(["", "1"]), 0)),
    )
    for el in range(1, rng.choice([1, 3])):
        made.tokens.append(("pair$0", "s1", rng.choice("xy"), el))
        made.quantities.append(("pair$1", "u", "mg", *_span(rng), el))
    if type == "Observation":
        made.references += _some(rng, 2, lambda: ("subject", "Patient", f"Patient{rng.randrange(30)}", 0))
        made.references += _some(rng, 1, lambda: ("subject", "", "http://else/1", 0))
        made.uris += _some(rng, 1, lambda: ("defined", rng.choice(URIS), rng.choice(["", "1", "2"]), 0))
    else:
        made.uris += _some(rng, 1, lambda: ("url", rng.choice(URIS), "", 0))
        made.tokens += _some(rng, 1, lambda: ("version", "", rng.choice("12"), 0))
    return made


def _leaf(rng: random.Random, type: str) -> q.Node:
    a, b = sorted(rng.sample(NUMBERS, 2))
    low, high = sorted(rng.choices(TIMES, k=2))
    comparison = rng.choice(COMPARISONS)
    if comparison not in ("eq", "ne", "ap"):
        b = a
    options: list[q.Node] = [
        q.Token("code", rng.choice([None, *SYSTEMS]), rng.choice(["x", "y", "x", None])),
        q.Token("only", rng.choice([None, "s1"]), rng.choice("xyz")),
        q.TokenIn("code", frozenset((rng.choice([*SYSTEMS, "unknown"]), rng.choice("xyz")) for _ in range(4))),
        q.String("name", "starts", rng.choice(["a", "ann", "b", "zoe", ""])),
        q.String("name", "contains", rng.choice(["n", "o", "nn"])),
        q.String("name", "exact", rng.choice(NAMES)),
        q.Date("when", comparison, low, high),
        q.Number("n", comparison, a, b),
        q.Quantity("v", comparison, a, b, rng.choice([None, "u", CANONICAL_UCUM]), rng.choice([None, "mg"])),
        q.Uri("u", rng.choice(["exact", "below", "above"]), rng.choice(URIS), rng.choice([None, None, "1"])),
        q.Missing(rng.choice(["code", "nothing"]), "token", rng.choice([True, False])),
        q.Missing("when", "date", rng.choice([True, False])),
        q.Id(tuple(f"{type}{rng.randrange(30)}" for _ in range(3))),
        q.Composite("pair", (q.Token("pair$0", "s1", "x"), q.Quantity("pair$1", comparison, a, b, "u", "mg"))),
        q.Composite(
            "pair",
            (q.Token("pair$0", None, "y"), q.Or((q.Quantity("pair$1", "gt", a, a, "u", "mg"), q.Nothing()))),
        ),
        q.Or(tuple(q.Token("code", rng.choice(SYSTEMS), rng.choice("xyz")) for _ in range(10))),
        q.Token("nothing", None, "x"),
        q.Nothing(),
        q.Everything(),
    ]
    if type == "Observation":
        options += [
            q.Reference("subject", rng.choice(["Patient", None]), f"Patient{rng.randrange(30)}"),
            q.Reference("subject", "", "http://else/1"),
            q.Or(tuple(q.Reference("subject", "Patient", f"Patient{n}") for n in rng.sample(range(30), 9))),
            q.Missing("subject", "reference", rng.choice([True, False])),
        ]
    if isinstance(options[9], q.Uri) and options[9].match != "exact":
        options[9] = q.Uri("u", options[9].match, options[9].value)
    return rng.choice(options)


def _node(rng: random.Random, type: str, depth: int) -> q.Node:
    roll = rng.random()
    if depth == 0 or roll < 0.35:
        return _leaf(rng, type)
    if roll < 0.6:
        return q.And(tuple(_node(rng, type, depth - 1) for _ in range(rng.randrange(1, 4))))
    if roll < 0.75:
        return q.Or(tuple(_node(rng, type, depth - 1) for _ in range(rng.randrange(1, 4))))
    if roll < 0.82:
        return q.Not(_node(rng, type, depth - 1))
    if type == "Observation":
        child = _node(rng, "Patient", depth - 1)
        return q.Chain("defined", ("Patient",), child, True) if roll > 0.93 else q.Chain("subject", ("Patient",), child)
    return q.Has("Observation", "subject", _node(rng, "Observation", depth - 1))


SORTS: list[tuple[str, Any]] = [
    ("code", "token"),
    ("only", "token"),
    ("name", "string"),
    ("when", "date"),
    ("n", "number"),
    ("v", "quantity"),
    ("subject", "reference"),
    ("u", "uri"),
    ("nothing", "date"),
    ("_id", "id"),
]


def _sort(rng: random.Random) -> tuple[q.Sort, ...]:
    chosen = rng.sample(SORTS, rng.choice([0, 0, 1, 1, 2]))
    return tuple(q.Sort(param, kind, rng.random() < 0.5) for param, kind in chosen)


async def _fill(store: Store, rng: random.Random, size: int) -> Model:
    model = Model()
    for _ in range(3):
        writes: list[Any] = []
        for number in rng.sample(range(size), size):
            type = rng.choice(["Patient", "Observation"])
            key = (type, f"{type}{number}")
            if rng.random() < 0.15:
                writes.append(Delete(*key))
                model.resources.pop(key, None)
            else:
                made = _entries(rng, type)
                writes.append(put(*key, made))
                model.resources[key] = made
        await store.commit(Commit(writes))
    order = [(version.type, version.id) async for batch in store.scan() for version in batch]
    assert sorted(order) == sorted(model.resources)
    model.resources = {key: model.resources[key] for key in order}
    return model


async def _forwards(store: Store, query: q.Query, limit: int) -> tuple[list[list[str]], list[Any]]:
    pages, cursors, after, snapshot = [], [], None, None
    while True:
        page = await store.search(query, limit=limit, after=after, snapshot=snapshot)
        pages.append(ids(page))
        cursors.append(page.start)
        snapshot = page.snapshot
        if page.next is None:
            return pages, cursors
        after = page.next


@pytest.mark.parametrize("seed", range(6))
async def test_every_search_gives_what_the_model_gives(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    model = await _fill(store, rng, 30 if seed < 4 else 300)
    assert await store.check(extract) == []
    for _ in range(150 if seed < 4 else 60):
        type = rng.choice(["Patient", "Observation"])
        query = q.Query((type,), _node(rng, type, 3), _sort(rng))
        wanted = model.search(query)
        limit = rng.choice([1, 3, 7, 1000]) if seed < 4 else rng.choice([7, 20])
        pages, starts = await _forwards(store, query, limit)
        assert [id for page in pages for id in page] == wanted, query
        assert await store.count(query) == len(wanted), query
        if len(pages) > 1:
            position = rng.randrange(1, len(pages))
            back = await store.search(query, limit=limit, after=starts[position], backwards=True)
            assert ids(back) == pages[position - 1], query
            assert (back.next is None) == (position == 1), query
        await asyncio.sleep(0)


async def test_several_types_come_in_one_order(store: Store) -> None:
    rng = random.Random(99)
    model = await _fill(store, rng, 60)
    for sort in ((), (q.Sort("name", "string"),), (q.Sort("when", "date", True), q.Sort("name", "string"))):
        query = q.Query(("Patient", "Observation"), q.Not(q.Token("code", None, "x")), sort)
        pages, starts = await _forwards(store, query, 7)
        merged = [id for page in pages for id in page]
        assert sorted(merged) == sorted(model.search(query))
        assert ids(await store.search(query, limit=1000)) == merged
        back = await store.search(query, limit=7, after=starts[2], backwards=True)
        assert ids(back) == pages[1]
    everything = q.Query((), q.Everything())
    assert await store.count(everything) == len(model.resources)
