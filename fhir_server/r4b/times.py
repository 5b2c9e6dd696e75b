"""Text of date, dateTime, instant and time values and what they mean as ranges of microseconds. R4B 2.24.0.1."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_DAY = 86_400_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ZONE = r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
_DATE = r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?"

_date = re.compile(_DATE, re.ASCII).fullmatch
_datetime = re.compile(
    rf"(\d{{4}})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])(?:T{_TIME}{_ZONE})?)?)?", re.ASCII
).fullmatch
_instant = re.compile(rf"(\d{{4}})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T{_TIME}{_ZONE}", re.ASCII).fullmatch
_time = re.compile(_TIME, re.ASCII).fullmatch
_parts = re.compile(
    r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])"
    r"(?:T([01]\d|2[0-3]|24):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d+))?)?"
    r"(Z|([+-])(0\d|1[0-4]):([0-5]\d))?)?)?)?",
    re.ASCII,
).fullmatch


@lru_cache(maxsize=16384)
def time_range(text: str, *, search: bool = False) -> tuple[int, int] | None:
    """date, dateTime or instant -> (lo, hi), microseconds since 1970-01-01T00:00Z, both inclusive; None when it is not
    one (calendar included). A text without time zone counts as UTC. search=True also takes what search allows (minutes
    without seconds, a time without zone, R4B 3.1.1.4.5). A leap second counts as the second before."""
    match = _parts(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone, sign, zone_hour, zone_minute = match.groups()
    if year == "0000":
        return None
    if day is None:
        return _whole_months(int(year), month)
    try:
        start = (date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY) * _DAY
    except ValueError:
        return None
    if hour is None:
        return start, start + _DAY - 1
    if hour == "24" or (not search and (second is None or zone is None)):
        return None
    start += (int(hour) * 60 + int(minute)) * 60_000_000
    if sign:
        shift = (int(zone_hour) * 60 + int(zone_minute)) * 60_000_000
        start += shift if sign == "-" else -shift
    if second is None:
        return start, start + 59_999_999
    start += min(int(second), 59) * 1_000_000
    if fraction is None:
        return start, start + 999_999
    start += int(fraction[:6].ljust(6, "0"))
    return start, start + 10 ** max(0, 6 - len(fraction)) - 1


def _whole_months(year: int, month: str | None) -> tuple[int, int]:
    first = date(year, int(month or 1), 1).toordinal()
    # The day after the last one of year 9999 has no date of its own.
    if month is None:
        days = date(year, 12, 31).toordinal() - first + 1
    elif month == "12":
        days = 31
    else:
        days = date(year, int(month) + 1, 1).toordinal() - first
    start = (first - _EPOCH_DAY) * _DAY
    return start, start + days * _DAY - 1


def is_date(text: str) -> bool:
    """YYYY, YYYY-MM or YYYY-MM-DD that exists in the calendar."""
    match = _date(text)
    return match is not None and _exists(*match.groups())


def is_datetime(text: str) -> bool:
    """A date, or a date and time with seconds and time zone."""
    match = _datetime(text)
    return match is not None and _exists(*match.groups())


def is_instant(text: str) -> bool:
    """A date and time with seconds and time zone."""
    match = _instant(text)
    return match is not None and _exists(*match.groups())


def is_time(text: str) -> bool:
    """hh:mm:ss with an optional fraction, without time zone."""
    return _time(text) is not None


def _exists(year: str, month: str | None, day: str | None) -> bool:
    if day is None or day <= "28":
        return year != "0000"
    try:
        date(int(year), int(month or 1), int(day))
    except ValueError:
        return False
    return True
