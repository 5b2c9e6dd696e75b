"""Dates, times and names as DICOM writes them -> as FHIR does. Pure. DICOM PS3.5 section 6.2."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from typing import Any, Final

_DATE: Final = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME: Final = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,6}))?)?)?")
_OFFSET: Final = re.compile(r"([+\-])(\d{2}):?(\d{2})")


def day(text: str) -> str:
    """20040119 or 2004.01.19 -> 2004-01-19; '' for what is no date."""
    found = _DATE.fullmatch(text.strip())
    if not found:
        return ""
    try:
        return date(*(int(part) for part in found.groups())).isoformat()
    except ValueError:
        return ""


def clock(text: str) -> str:
    """072730.5, 07:27:30 or 0727 -> 07:27:30.5; '' for what is no time."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return ""
    hours, minutes, seconds, fraction = found[1], found[2] or "00", found[3] or "00", found[4]
    if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 60:
        return ""
    # a leap second is no second of FHIR's
    seconds = "59" if seconds == "60" else seconds
    fraction = (fraction or "").rstrip("0")
    return f"{hours}:{minutes}:{seconds}" + (f".{fraction}" if fraction else "")


def offset(text: str) -> str:
    """+0100 -> +01:00; '' for what is no offset."""
    found = _OFFSET.fullmatch(text.strip())
    if not found or int(found[2]) > 14 or int(found[3]) > 59:
        return ""
    return f"{found[1]}{found[2]}:{found[3]}"


def moment(day_text: str, time_text: str, offset_text: str, zone: tzinfo | None = None) -> str:
    """A FHIR dateTime ``2004-01-19T07:27:30+01:00`` when the time zone is known; else ``2004-01-19|07:27:30``, the date
    and the time on the wall; the date alone without a time; '' without a date."""
    its_day, time = day(day_text), clock(time_text)
    if not its_day:
        return ""
    if not time:
        return its_day
    known = offset(offset_text)
    if not known and zone is not None:
        shift = datetime.fromisoformat(f"{its_day}T{time[:8]}").replace(tzinfo=zone).strftime("%z")
        known = offset(shift[:5])
    return f"{its_day}T{time}{known}" if known else f"{its_day}|{time}"


def human_name(text: str) -> dict[str, Any] | None:
    """Family^Given^Middle^Prefix^Suffix (the alphabetic group of it) as a HumanName; None when nothing is in it."""
    groups = [group for group in text.split("=") if group.strip(" ^")]
    if not groups:
        return None
    parts = [part.strip() for part in groups[0].split("^")] + [""] * 5
    family, given, middle, prefix, suffix = parts[:5]
    name: dict[str, Any] = {}
    if family:
        name["family"] = family
    if given or middle:
        name["given"] = [part for part in (given, middle) if part]
    if prefix:
        name["prefix"] = [prefix]
    if suffix:
        name["suffix"] = [suffix]
    name["text"] = " ".join(part for part in (prefix, given, middle, family, suffix) if part)
    return name


def spoken_name(text: str) -> str:
    """The name as people write it, '' for none."""
    name = human_name(text)
    return str(name["text"]) if name else ""
