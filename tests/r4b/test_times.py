from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4b.times import is_date, is_datetime, is_instant, is_time, time_range

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "low", "next_"),
    [
        ("2020", us(2020, 1, 1), us(2021, 1, 1)),
        ("2020-02", us(2020, 2, 1), us(2020, 3, 1)),
        ("2020-12", us(2020, 12, 1), us(2021, 1, 1)),
        ("2020-02-29", us(2020, 2, 29), us(2020, 3, 1)),
        ("2020-01-01T10:20:30Z", us(2020, 1, 1, 10, 20, 30), us(2020, 1, 1, 10, 20, 31)),
        ("2020-01-01T00:00:00+02:00", us(2019, 12, 31, 22), us(2019, 12, 31, 22, 0, 1)),
        ("2020-01-01T00:00:00.5-05:30", us(2020, 1, 1, 5, 30, 0, 500000), us(2020, 1, 1, 5, 30, 0, 600000)),
        ("2020-01-01T00:00:00.1234567Z", us(2020, 1, 1, 0, 0, 0, 123456), us(2020, 1, 1, 0, 0, 0, 123457)),
    ],
)
def test_the_range_is_what_the_precision_says(text: str, low: int, next_: int) -> None:
    assert time_range(text) == (low, next_ - 1)


def test_the_last_year_has_an_end() -> None:
    low, high = time_range("9999") or (0, 0)
    assert time_range("9999-12-31") == (high - 86_400_000_000 + 1, high)
    assert low < high


@pytest.mark.parametrize("text", ["2020-01-01T10:20", "2020-01-01T10:20:30", "2020-01-01T10:20Z"])
def test_search_takes_what_resources_may_not_hold(text: str) -> None:
    assert time_range(text) is None
    assert time_range(text, search=True) is not None


@pytest.mark.parametrize(
    "text",
    ["", "20", "2020-13", "2020-00", "2020-02-30", "2021-02-29", "2020-1-1", "0000", "2020-01-01T25:00:00Z",
     "2020-01-01T24:00:00Z", "2020-01-01T10:60:00Z", "2020-01-01T10:00:61Z", "2020-01-01T10:00:00+15:00", "x2020",
     "2020-01-01 ", "2020-01-01T10:00:00z", "２０２０", "2020-01-01T10:00:00.Z"],
)  # fmt: skip
def test_refuses(text: str) -> None:
    assert not is_datetime(text)
    assert time_range(text) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_found_exactly(moment: datetime) -> None:
    text = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    exact = (moment - EPOCH) // timedelta(microseconds=1)
    assert time_range(text) == (exact, exact)
    assert is_instant(text)


def test_kinds_of_text_are_told_apart() -> None:
    assert is_date("2020-02-29")
    assert not is_date("2020-01-01T00:00:00Z")
    assert is_datetime("2020")
    assert not is_instant("2020-01-01")
    assert is_time("23:59:59.123")
    assert not is_time("23:59")
    assert not is_time("24:00:00")
    assert not is_time("10:00:00Z")
