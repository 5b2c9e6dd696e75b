"""Relative dates as HealthSage writes them: "(Y-4)" is 4 years before the letter's year, (M-n) months, (D-n) days."""

from __future__ import annotations

import re
from datetime import date

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def relative_to(partial: str | None, letter: date | None) -> str | None:
    """The distance of a FHIR date or dateTime from the letter, in the date's own precision; None without either.

    >>> relative_to("2021", date(2025, 3, 15))
    '(Y-4)'
    """
    if partial is None or letter is None:
        return None
    found = _PARTIAL.match(partial)
    if found is None:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    assert year is not None
    if month is None:
        return f"(Y{year - letter.year:+d})" if year != letter.year else "(Y-0)"
    if day is None:
        months = (year - letter.year) * 12 + month - letter.month
        return f"(M{months:+d})" if months else "(M-0)"
    try:
        days = (date(year, month, day) - letter).days
    except ValueError:
        return None
    return f"(D{days:+d})" if days else "(D-0)"
