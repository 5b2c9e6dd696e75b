"""Dates, dateTimes and times with the precision they were written in (FHIRPath N1 4.1.6-4.1.8, 6.2)."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fhir_server.fhirpath.errors import FhirPathError

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
_DATETIME: Final = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?"
    r"(?:T(?:(\d{2})(?::(\d{2})(?::(\d{2}(?:\.\d+)?))?)?)?)?(Z|[+-]\d{2}:\d{2})?\Z"
)
_TIME: Final = re.compile(r"T?(\d{2})(?::(\d{2})(?::(\d{2}(?:\.\d+)?))?)?\Z")

#: Position of each unit in the parts of a dateTime.
_UNITS: Final = {"year": 0, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5}


@dataclass(frozen=True, slots=True)
class Temporal:
    """kind: date | dateTime | time. parts: year, month, day, hour, minute (int), second (Decimal), as far as known;
    a time starts at hour. offset: minutes east of UTC, None when not stated. text: as written."""

    kind: str
    parts: tuple[int | Decimal, ...]
    offset: int | None
    text: str

    def __str__(self) -> str:
        return self.text


def parse_temporal(kind: str, text: str) -> Temporal | None:
    """None when `text` is not of that kind."""
    match = {"date": _DATE, "dateTime": _DATETIME, "time": _TIME}[kind].match(text)
    if match is None:
        return None
    groups = match.groups()
    zone = groups[6] if kind == "dateTime" else None
    numbers = groups[:6]
    parts: list[int | Decimal] = []
    for place, group in enumerate(numbers):
        if group is None:
            break
        second = place == (2 if kind == "time" else 5)
        parts.append(Decimal(group) if second else int(group))
    if not _real(kind, parts):
        return None
    offset = None
    if zone is not None:
        offset = 0 if zone == "Z" else (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 60 + int(zone[4:6]))
    return Temporal(kind, tuple(parts), offset, text)


def _real(kind: str, parts: list[int | Decimal]) -> bool:
    clock = parts if kind == "time" else parts[3:]
    if kind != "time":
        if parts[0] == 0 or (len(parts) > 1 and not 1 <= parts[1] <= 12):
            return False
        if len(parts) > 2 and not 1 <= parts[2] <= calendar.monthrange(int(parts[0]), int(parts[1]))[1]:
            return False
    return all(part < limit for part, limit in zip(clock, (24, 60, 61), strict=False))


def compare(left: Temporal, right: Temporal) -> int | None:
    """-1, 0, 1, or None when precision does not allow an answer; raises FhirPathError for a time against a date."""
    if (left.kind == "time") != (right.kind == "time"):
        raise FhirPathError(f"cannot compare a {left.kind} with a {right.kind}")
    if (left.offset is None) != (right.offset is None) and len(left.parts) > 3 and len(right.parts) > 3:
        return None
    first, second = _utc(left), _utc(right)
    for one, other in zip(first, second, strict=False):
        if one != other:
            return -1 if one < other else 1
    return 0 if len(first) == len(second) else None


def equal(left: Temporal, right: Temporal) -> bool | None:
    if (left.kind == "time") != (right.kind == "time"):
        return False
    order = compare(left, right)
    return None if order is None else order == 0


def _utc(value: Temporal) -> tuple[int | Decimal, ...]:
    if not value.offset or len(value.parts) < 5:
        return value.parts
    year, month, day, hour, minute = (int(part) for part in value.parts[:5])
    try:
        moved = dt.datetime(year, month, day, hour, minute) - dt.timedelta(minutes=value.offset)
    except OverflowError:
        return value.parts
    return (moved.year, moved.month, moved.day, moved.hour, moved.minute, *value.parts[5:])


def add(value: Temporal, amount: Decimal, unit: str) -> Temporal:
    """value + amount of a calendar unit (FHIRPath N1 6.7); units finer than the value's precision are converted."""
    if unit == "week":
        amount, unit = amount * 7, "day"
    if unit == "millisecond":
        amount, unit = amount / 1000, "second"
    if unit not in _UNITS:
        raise FhirPathError(f"'{unit}' is not a unit of time that can be added")
    if value.kind == "time":
        return _add_to_time(value, amount, unit)
    place = _UNITS[unit]
    known = len(value.parts)
    if place >= known:
        amount, place = _coarsen(amount, place, known - 1)
    year, month, day, hour, minute, second = (*value.parts, *(0, 1, 1, 0, 0, Decimal(0))[known:])
    if place < 2:
        months = int(year) * 12 + int(month) - 1 + int(amount) * (12 if place == 0 else 1)
        year, month = months // 12, months % 12 + 1
        if not 1 <= year <= 9999:
            raise FhirPathError("the date is out of range")
        day = min(int(day), calendar.monthrange(year, month)[1])
        parts: tuple[int | Decimal, ...] = (year, month, day, hour, minute, second)
    else:
        whole, fraction = divmod(Decimal(second) + (amount if place == 5 else 0), 1)
        step = dt.timedelta(
            days=int(amount) if place == 2 else 0,
            hours=int(amount) if place == 3 else 0,
            minutes=int(amount) if place == 4 else 0,
            seconds=int(whole),
        )
        try:
            moved = dt.datetime(int(year), int(month), int(day), int(hour), int(minute)) + step
        except OverflowError:
            raise FhirPathError("the date is out of range") from None
        parts = (moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second + fraction)
    return _from_parts(value, parts[:known])


def _coarsen(amount: Decimal, place: int, to: int) -> tuple[Decimal, int]:
    factors = (12, 30, 24, 60, 60)
    while place > to:
        place -= 1
        amount = Decimal(int(amount / factors[place]))
    return amount, place


def _add_to_time(value: Temporal, amount: Decimal, unit: str) -> Temporal:
    if _UNITS[unit] < 3:
        raise FhirPathError(f"cannot add a {unit} to a time")
    hour, minute, second = (*value.parts, *(0, 0, Decimal(0))[len(value.parts) :])
    seconds = Decimal(int(hour) * 3600 + int(minute) * 60) + second
    seconds = (seconds + amount * {"hour": 3600, "minute": 60, "second": 1}[unit]) % 86400
    parts = (int(seconds // 3600), int(seconds % 3600 // 60), seconds % 60)
    return _from_parts(value, parts[: len(value.parts)])


def _from_parts(like: Temporal, parts: tuple[int | Decimal, ...]) -> Temporal:
    def clock(values: tuple[int | Decimal, ...]) -> str:
        pieces = [f"{int(value):02d}" for value in values[:2]]
        if len(values) > 2:
            pieces.append(f"{Decimal(values[2]):f}" if values[2] >= 10 else f"0{Decimal(values[2]):f}")
        return ":".join(pieces)

    if like.kind == "time":
        return Temporal("time", parts, None, clock(parts))
    text = "-".join(f"{int(value):04d}" if place == 0 else f"{int(value):02d}" for place, value in enumerate(parts[:3]))
    if len(parts) > 3:
        text += "T" + clock(parts[3:])
    if like.offset is not None:
        sign = "+" if like.offset >= 0 else "-"
        text += "Z" if like.offset == 0 else f"{sign}{abs(like.offset) // 60:02d}:{abs(like.offset) % 60:02d}"
    return Temporal(like.kind, parts, like.offset, text)
