"""The full-text index is written once for all that shares a transaction; each commit still stands or falls alone."""

from __future__ import annotations

from pathlib import Path

from fhir_server.search.query import Query, Text
from fhir_server.store import open_store
from fhir_server.store.protocol import Commit, Delete, Guard, GuardFailed
from tests.store.building import entries, found, put, save


async def test_a_refused_commit_leaves_the_words_of_its_neighbours(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path, text=True)
    apple = Text("content", "apple")
    refused = Commit(
        [put("Patient", "two", entries(content="apple two"))],
        [Guard(Query(("Patient",), apple), frozenset())],
    )
    answers = await store.commit_many(
        [
            Commit([put("Patient", "one", entries(content="apple one"))]),
            refused,
            Commit([put("Patient", "three", entries(content="apple three"))]),
        ]
    )
    assert isinstance(answers[1], GuardFailed)
    assert sorted(await found(store, "Patient", apple)) == ["one", "three"]
    await store.close()


async def test_words_follow_what_becomes_of_a_resource_within_one_commit_group(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path, text=True)
    await save(store, put("Patient", "old", entries(content="apple")))
    await store.commit_many(
        [
            Commit([put("Patient", "old", entries(content="pear"))]),
            Commit([put("Patient", "new", entries(content="apple"))]),
            Commit([put("Patient", "new", entries(content="cherry"))]),
            Commit([Delete("Patient", "old")]),
            Commit([put("Patient", "old", entries(content="plum"))]),
        ]
    )
    for word, ids in (("apple", []), ("pear", []), ("cherry", ["new"]), ("plum", ["old"])):
        assert await found(store, "Patient", Text("content", word)) == ids
    await store.close()
