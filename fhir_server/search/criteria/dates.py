"""Date parameters and _lastUpdated: precision, time zones, periods. R4B 3.1.1.4.7."""

from __future__ import annotations

from fhir_server.r4b.times import time_range
from fhir_server.search.criteria.context import Context, Field, Prefix, UnsupportedModifier, bad
from fhir_server.search.criteria.escapes import unescape
from fhir_server.search.criteria.prefixes import prefixed
from fhir_server.search.query import Date, LastUpdated, Node


def date(field: Field, modifier: str, value: str, context: Context) -> Node:
    if modifier:
        raise UnsupportedModifier(
            f"the modifier ':{modifier}' is not defined for date parameters such as '{field.param}'"
        )
    return Date(field.param, *compared(field.name, value, context))


def last_updated(name: str, value: str, context: Context) -> Node:
    return LastUpdated(*compared(name, value, context))


def compared(name: str, value: str, context: Context) -> tuple[Prefix, int, int]:
    """(prefix, lo, hi) in microseconds; for ap the range is wider by a tenth of the time between it and now."""
    comparison, text = prefixed(name, unescape(value))
    found = time_range(text, search=True)
    if found is None and " " in text:
        # A '+' of a time zone that was not percent-encoded arrives as a space.
        found = time_range(text.replace(" ", "+"), search=True)
    if found is None:
        raise bad(name, f"'{text}' is not a date: write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz")
    lo, hi = found
    if comparison == "ap" and context.now is not None:
        context.lasting = False
        slack = abs(context.now - (lo + hi) // 2) // 10
        lo, hi = lo - slack, hi + slack
    return comparison, lo, hi
