from __future__ import annotations

import asyncio

import pytest

from fhir_server.search.query import Everything, Id, Query, Reference, Token
from fhir_server.store.protocol import Commit, Delete, Guard, GuardFailed, Store, VersionMismatch
from tests.store.building import entries, extract, found, ids, put, save

RED = entries(tokens=[("code", "s", "red", 0)])
BLUE = entries(tokens=[("code", "s", "blue", 0)])


async def test_what_is_written_is_read(store: Store) -> None:
    (written,) = await save(store, put("Patient", "a", method="POST"))
    assert (written.version, written.method) == (1, "POST")
    assert await store.read("Patient", "a") == written


async def test_what_never_was_reads_as_none(store: Store) -> None:
    assert await store.read("Patient", "a") is None
    assert await store.read_version("Patient", "a", 1) is None


async def test_an_update_is_the_next_version_and_keeps_the_old_one(store: Store) -> None:
    (first,) = await save(store, put("Patient", "a"))
    (second,) = await save(store, put("Patient", "a", method="PATCH"))
    assert (second.version, second.method) == (2, "PATCH")
    assert second.seq > first.seq
    assert await store.read("Patient", "a") == second
    assert await store.read_version("Patient", "a", 1) == first


async def test_a_deletion_is_a_version_without_a_body(store: Store) -> None:
    await save(store, put("Patient", "a"))
    (gone,) = await save(store, Delete("Patient", "a"))
    assert (gone.version, gone.body, gone.method) == (2, None, "DELETE")
    assert await store.read("Patient", "a") == gone


async def test_deleting_what_is_not_there_does_nothing(store: Store) -> None:
    before = await store.last_seq()
    assert await store.commit(Commit([Delete("Patient", "a")])) == [None]
    assert await store.last_seq() == before


async def test_a_deleted_resource_can_come_back(store: Store) -> None:
    await save(store, put("Patient", "a", RED))
    await save(store, Delete("Patient", "a"))
    (again,) = await save(store, put("Patient", "a", BLUE, expect=0))
    assert again.version == 3
    assert await found(store, "Patient", Token("code", "s", "blue")) == ["a"]
    assert await found(store, "Patient", Token("code", "s", "red")) == []


@pytest.mark.parametrize(("expect", "holds"), [(None, True), (1, True), (0, False), (2, False)])
async def test_expect_is_checked_against_the_current_version(store: Store, expect: int | None, holds: bool) -> None:
    await save(store, put("Patient", "a"))
    if holds:
        await save(store, put("Patient", "a", expect=expect))
    else:
        with pytest.raises(VersionMismatch) as caught:
            await save(store, put("Patient", "a", expect=expect))
        assert caught.value.current == 1


async def test_a_deleted_resource_counts_as_absent_for_expect(store: Store) -> None:
    await save(store, put("Patient", "a"))
    await save(store, Delete("Patient", "a", expect=1))
    with pytest.raises(VersionMismatch) as caught:
        await save(store, put("Patient", "a", expect=2))
    assert caught.value.current == 0


async def test_a_commit_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(VersionMismatch):
        await save(store, put("Patient", "a", RED), put("Patient", "b", expect=7))
    assert await store.read("Patient", "a") is None
    assert await found(store, "Patient", Everything()) == []
    assert await store.type_counts() == {}
    assert await store.check(extract) == []


async def test_a_commit_that_fails_leaves_others_of_the_same_moment_alone(store: Store) -> None:
    jobs = [store.commit(Commit([put("Patient", str(n), RED, expect=n % 2)])) for n in range(20)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [isinstance(outcome, VersionMismatch) for outcome in outcomes] == [bool(n % 2) for n in range(20)]
    assert len(await found(store, "Patient", Token("code", "s", "red"))) == 10
    assert await store.check(extract) == []


async def test_many_commits_answer_each_for_itself(store: Store) -> None:
    answers = await store.commit_many(
        [Commit([put("Patient", "a")]), Commit([put("Patient", "b", expect=3)]), Commit([put("Patient", "c")])]
    )
    assert isinstance(answers[1], VersionMismatch)
    assert await found(store, "Patient", Everything()) == ["a", "c"]


async def test_an_error_in_render_undoes_only_its_commit(store: Store) -> None:
    def broken(version: int, at: int) -> bytes:
        raise ValueError("no")

    bad = put("Patient", "x")
    outcomes = await asyncio.gather(
        store.commit(Commit([put("Patient", "a"), type(bad)("Patient", "x", broken, bad.entries)])),
        store.commit(Commit([put("Patient", "b")])),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], ValueError)
    assert await found(store, "Patient", Everything()) == ["b"]


async def test_a_guard_lets_a_commit_through_while_its_answer_stands(store: Store) -> None:
    guard = Guard(Query(("Patient",), Token("code", "s", "red")), frozenset())
    await store.commit(Commit([put("Patient", "a", RED)], [guard]))
    with pytest.raises(GuardFailed):
        await store.commit(Commit([put("Patient", "b", RED)], [guard]))
    standing = Guard(guard.query, frozenset({("Patient", "a")}))
    await store.commit(Commit([put("Patient", "b", BLUE)], [standing]))


async def test_of_two_conditional_creates_at_once_one_wins(store: Store) -> None:
    guard = Guard(Query(("Patient",), Token("code", "s", "red")), frozenset())
    jobs = [store.commit(Commit([put("Patient", f"p{n}", RED)], [guard])) for n in range(8)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert sum(isinstance(outcome, GuardFailed) for outcome in outcomes) == 7


async def test_read_many_answers_in_the_order_asked(store: Store) -> None:
    await save(store, put("Patient", "a"), put("Group", "g"))
    answers = await store.read_many([("Group", "g"), ("Patient", "x"), ("Patient", "a")])
    assert [answer and answer.id for answer in answers] == ["g", None, "a"]


async def test_times_never_fall_and_are_whole_milliseconds(store: Store) -> None:
    versions = [(await save(store, put("Patient", str(n))))[0] for n in range(20)]
    times = [version.last_updated for version in versions]
    assert times == sorted(times)
    assert all(time % 1000 == 0 for time in times)


async def test_render_is_told_the_version_and_time_it_gets(store: Store) -> None:
    told: list[tuple[int, int]] = []
    made = put("Patient", "a")

    def render(version: int, at: int) -> bytes:
        told.append((version, at))
        return b"{}"

    (version,) = await save(store, type(made)("Patient", "a", render, made.entries))
    assert told == [(version.version, version.last_updated)]


async def test_a_reference_may_come_before_its_target(store: Store) -> None:
    await save(store, put("Observation", "o", entries(references=[("subject", "Patient", "p", 0)])))
    assert await store.read("Patient", "p") is None
    assert await found(store, "Patient", Everything()) == []
    assert await found(store, "Observation", Reference("subject", "Patient", "p")) == ["o"]
    (made,) = await save(store, put("Patient", "p", expect=0))
    assert made.version == 1
    assert await found(store, "Patient", Everything()) == ["p"]


async def test_purge_removes_every_trace(store: Store) -> None:
    await save(store, put("Patient", "a", RED))
    await save(store, put("Patient", "a", BLUE))
    assert await store.purge("Patient", "a") == 2
    assert await store.read("Patient", "a") is None
    assert await store.read_version("Patient", "a", 1) is None
    assert (await store.history(type="Patient", limit=10)).versions == []
    assert await found(store, "Patient", Token("code", "s", "blue")) == []
    assert await store.type_counts() == {}
    assert await store.check(extract) == []


async def test_purge_leaves_references_to_it_valid(store: Store) -> None:
    await save(store, put("Patient", "p"))
    await save(store, put("Observation", "o", entries(references=[("subject", "Patient", "p", 0)])))
    await store.purge("Patient", "p")
    assert await found(store, "Observation", Reference("subject", "Patient", "p")) == ["o"]
    await save(store, put("Patient", "p"))
    await store.purge("Observation", "o")
    assert await store.check(extract) == []


async def test_purge_of_nothing_is_zero(store: Store) -> None:
    assert await store.purge("Patient", "a") == 0


async def test_type_counts_follow_creation_and_deletion(store: Store) -> None:
    await save(store, put("Patient", "a"), put("Patient", "b"), put("Group", "g"))
    await save(store, Delete("Patient", "a"), Delete("Group", "g"))
    assert await store.type_counts() == {"Patient": 1}


async def test_the_same_entry_twice_is_kept_once(store: Store) -> None:
    twice = entries(
        tokens=[("code", "s", "red", 0)] * 2, strings=[("code:text", "a", "A", 0), ("code:text", "a", "a", 0)]
    )
    await save(store, put("Patient", "a", twice))
    assert await found(store, "Patient", Token("code", "s", "red")) == ["a"]


async def test_ids_differ_by_case(store: Store) -> None:
    await save(store, put("Patient", "a"), put("Patient", "A"))
    assert ids(await store.search(Query(("Patient",), Id(("A",))), limit=9)) == ["A"]


async def test_closing_finishes_what_was_accepted(factory, tmp_path) -> None:  # type: ignore[no-untyped-def]
    store = await factory(tmp_path)
    jobs = [asyncio.ensure_future(store.commit(Commit([put("Patient", str(n))]))) for n in range(30)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*jobs)
    again = await factory(tmp_path)
    assert (await again.type_counts())["Patient"] == 30
    await again.close()
