"""paging: R4B 3.1.1.5.3: every match once, in order, while others write."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.conformance.resources import (
    create,
    entry,
    found,
    link,
    matches,
    patient,
    post_bundle,
    refused,
    search,
    transaction,
    update,
)


@pytest.fixture(scope="module")
def many(fhir: httpx.Client) -> tuple[str, list[str]]:
    """A mark and the ids of 45 patients under it, with ten birth dates and some without."""
    import secrets

    mark = secrets.token_hex(8)
    days = [None if n % 9 == 0 else f"19{60 + n % 10}-01-01" for n in range(45)]
    answer = post_bundle(
        fhir,
        transaction(*(entry("POST", "Patient", patient(mark, **({"birthDate": day} if day else {}))) for day in days)),
    )
    return mark, [each["response"]["location"].split("/")[-3] for each in answer["entry"]]


@pytest.mark.parametrize("sort", ["", "birthdate", "-birthdate", "_lastUpdated", "-_lastUpdated", "_id", "gender"])
@pytest.mark.parametrize("count", ["1", "7", "45", "46"])
def test_all_pages_have_every_match_once(
    fhir: httpx.Client, many: tuple[str, list[str]], sort: str, count: str
) -> None:
    mark, ids = many
    query = {"identifier": mark, "_count": count, **({"_sort": sort} if sort else {})}
    paged = found(fhir, "Patient", query)
    assert len(paged) == 45
    assert set(paged) == set(ids)
    assert paged == found(fhir, "Patient", {**query, "_count": "1000"})


def test_no_page_is_larger_than_count(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    bundle = search(fhir, "Patient", identifier=many[0], _count="10")
    assert len(matches(bundle)) == 10


def test_the_last_page_has_no_next(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    assert link(search(fhir, "Patient", identifier=many[0], _count="45"), "next") is None


def test_first_and_previous_lead_back(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    first = search(fhir, "Patient", identifier=many[0], _count="10", _sort="birthdate")
    second = fhir.get(link(first, "next") or "").json()
    back = link(second, "previous") or link(second, "prev")
    assert back
    assert matches(fhir.get(back).json()) == matches(first)
    begin = link(second, "first")
    assert begin
    assert matches(fhir.get(begin).json()) == matches(first)


def test_next_keeps_includes_and_elements(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    first = search(fhir, "Patient", identifier=many[0], _count="10", _elements="birthDate")
    second = fhir.get(link(first, "next") or "").json()
    assert all("identifier" not in each["resource"] for each in second["entry"])


def test_a_page_token_that_was_changed_is_refused(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    following = link(search(fhir, "Patient", identifier=many[0], _count="10"), "next") or ""
    refused(fhir.get(following[:-6] + ("AAAAAA" if not following.endswith("AAAAAA") else "BBBBBB")), 400)
    refused(fhir.get("Patient", params={"_page": "nonsense"}), 400)


def test_what_is_created_later_is_not_in_later_pages(fhir: httpx.Client, mark: str) -> None:
    before = [create(fhir, patient(mark))["id"] for _ in range(6)]
    first = search(fhir, "Patient", identifier=mark, _count="2")
    create(fhir, patient(mark))
    rest = found(fhir, link(first, "next") or "")
    assert sorted([each["resource"]["id"] for each in matches(first)] + rest) == sorted(before)


def test_what_is_deleted_moves_nothing(fhir: httpx.Client, mark: str) -> None:
    ids = [create(fhir, patient(mark))["id"] for _ in range(6)]
    first = search(fhir, "Patient", identifier=mark, _count="2")
    seen = [each["resource"]["id"] for each in matches(first)]
    fhir.delete(f"Patient/{seen[0]}")
    assert sorted(seen + found(fhir, link(first, "next") or "")) == sorted(ids)


def test_paging_is_exact_while_others_write(fhir: httpx.Client, many: tuple[str, list[str]]) -> None:
    mark, ids = many
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            new = create(fhir, patient(mark, birthDate="1965-01-01"))
            update(fhir, new)
            fhir.delete(f"Patient/{new['id']}")

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for sort in ("", "birthdate", "-birthdate"):
            query = {"identifier": mark, "_count": "4", **({"_sort": sort} if sort else {})}
            paged = found(fhir, "Patient", query)
            assert len(paged) == len(set(paged))
            assert set(ids) <= set(paged)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
