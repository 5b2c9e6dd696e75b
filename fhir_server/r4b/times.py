"""Text of date, dateTime, instant and time values and what they mean as ranges of microseconds. R4B 2.24.0.1."""

from __future__ import annotations


def time_range(text: str, *, search: bool = False) -> tuple[int, int] | None:
    """date, dateTime or instant -> (lo, hi), microseconds since 1970-01-01T00:00Z, both inclusive; None when it is not
    one (calendar included). A text without time zone counts as UTC. search=True also takes what search allows (minutes
    without seconds, a time without zone). Leap seconds count as the second before."""
    raise NotImplementedError


def is_date(text: str) -> bool:
    """YYYY, YYYY-MM or YYYY-MM-DD that exists in the calendar."""
    raise NotImplementedError


def is_datetime(text: str) -> bool:
    raise NotImplementedError


def is_instant(text: str) -> bool:
    raise NotImplementedError


def is_time(text: str) -> bool:
    raise NotImplementedError
