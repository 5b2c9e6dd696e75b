"""Whose turn it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.jobs.feed import OpenTask
from fhir_server.jobs.line import ahead_of, first_in_line, is_due
from fhir_server.jobs.states import Lease

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def waiting(id: str, requester: str = "k1", arrived: str = "1", **changes: object) -> OpenTask:
    given: dict[str, object] = {
        "status": "requested", "code": "work", "priority": 0, "due": datetime.min.replace(tzinfo=UTC), "lease": None,
    }  # fmt: skip
    return OpenTask(id=id, requester=requester, arrived=arrived, **(given | changes))  # type: ignore[arg-type]


def taken(tasks: list[OpenTask]) -> list[str]:
    """The order in which one worker takes them."""
    left, served, order = list(tasks), dict[str, int](), list[str]()
    while left:
        task = first_in_line(left, served)
        assert task is not None
        served[task.requester] = len(order) + 1
        left.remove(task)
        order.append(task.id)
    return order


tasks = st.lists(
    st.builds(
        lambda id, requester, arrived, priority: waiting(id, requester, arrived, priority=priority),
        st.uuids().map(str), st.sampled_from("abc"), st.sampled_from("12345"), st.sampled_from([0, 1, 3]),
    ),
    max_size=12,
)  # fmt: skip


@given(tasks)
def test_each_requesters_tasks_of_one_priority_go_in_order_of_arrival(found: list[OpenTask]) -> None:
    places = {task.id: task for task in found}
    order = [places[id] for id in taken(found)]
    for requester in "abc":
        for priority in (0, 1, 3):
            mine = [task.place for task in order if (task.requester, task.priority) == (requester, priority)]
            assert mine == sorted(mine)


@given(tasks)
def test_a_more_urgent_task_never_waits_for_a_less_urgent_one(found: list[OpenTask]) -> None:
    places = {task.id: task.priority for task in found}
    order = [places[id] for id in taken(found)]
    assert order == sorted(order, reverse=True)


def test_one_with_many_tasks_does_not_keep_one_with_one_waiting() -> None:
    many = [waiting(f"m{n}", "many", f"{n}") for n in range(9)]
    assert taken([*many, waiting("one", "few", "99")]).index("one") <= 1


def test_nobody_is_first_in_an_empty_line() -> None:
    assert first_in_line([], {}) is None


def test_earlier_tasks_of_the_same_requester_kind_and_priority_are_ahead() -> None:
    mine = waiting("b", arrived="2")
    others = [
        waiting("a"),
        waiting("c", arrived="3"),
        waiting("other-key", "k2"),
        waiting("other-kind", code="else"),
        waiting("urgent", priority=1),
        waiting("went-wrong", lease=Lease("", NOW, 1, errors=1)),
        waiting("held-again", lease=Lease("w", NOW, 2, errors=1)),
    ]
    assert [task.id for task in ahead_of(mine, others)] == ["a", "held-again"]


def test_a_task_is_due_when_its_time_has_come_or_its_worker_is_dead() -> None:
    held = waiting("a", due=NOW + timedelta(minutes=1), lease=Lease("w", NOW + timedelta(minutes=1), 1))
    assert not is_due(held, NOW, lambda worker: False)
    assert is_due(held, NOW, lambda worker: worker == "w")
    assert is_due(held, NOW + timedelta(minutes=1), lambda worker: False)
