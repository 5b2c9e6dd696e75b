"""Numbers, quantities, ranges and positions -> index entries. R4B 3.1.1.4.5 and 3.1.1.4.11.

The functions have the form that fhir_server.search.values describes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fhir_server.search.entries import CANONICAL_UCUM
from fhir_server.search.numbers import NUMBER_MAX, NUMBER_MIN, sortable
from fhir_server.search.sink import Names, Sink
from terminology.ucum import UCUM, canonicalise

CURRENCIES = "urn:iso:std:iso:4217"


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or value is None:
        raise TypeError
    return value if isinstance(value, Decimal) else Decimal(str(value))


def number(names: Names, value: Any, sink: Sink, el: int) -> None:
    key = sortable(_decimal(value))
    for param in names.params:
        sink.numbers.append((param, key, key, el))


def number_range(names: Names, value: Any, sink: Sink, el: int) -> None:
    low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
    if low is None and high is None:
        return
    lo = NUMBER_MIN if low is None else sortable(_decimal(low))
    hi = NUMBER_MAX if high is None else sortable(_decimal(high))
    for param in names.params:
        sink.numbers.append((param, lo, hi, el))


def position(names: Names, value: Any, sink: Sink, el: int) -> None:
    latitude, longitude = value.get("latitude"), value.get("longitude")
    if latitude is None or longitude is None:
        return
    lat, lon = sortable(_decimal(latitude)), sortable(_decimal(longitude))
    for param in names.params:
        sink.numbers.append((f"{param}$lat", lat, lat, el))
        sink.numbers.append((f"{param}$lon", lon, lon, el))


def quantity(names: Names, value: Any, sink: Sink, el: int) -> None:
    if value.get("value") is None:
        return
    number = _decimal(value["value"])
    comparator = value.get("comparator", "")
    low = None if comparator.startswith("<") else number
    high = None if comparator.startswith(">") else number
    _measured(names, low, high, value, sink, el)


def quantity_range(names: Names, value: Any, sink: Sink, el: int) -> None:
    low, high = value.get("low") or {}, value.get("high") or {}
    lo, hi = low.get("value"), high.get("value")
    if lo is not None or hi is not None:
        unit = low if "code" in low or "unit" in low else high
        _measured(names, None if lo is None else _decimal(lo), None if hi is None else _decimal(hi), unit, sink, el)


def sampled_data(names: Names, value: Any, sink: Sink, el: int) -> None:
    """From the least to the greatest sample; a letter (E, U, L) in the data is no number."""
    origin, factor = value.get("origin") or {}, _decimal(value.get("factor", 1))
    zero = _decimal(origin.get("value", 0))
    samples = [Decimal(word) for word in value.get("data", "").split() if _SAMPLE(word)]
    if samples:
        ends = sorted((zero + factor * min(samples), zero + factor * max(samples)))
        _measured(names, ends[0], ends[1], origin, sink, el)


_SAMPLE = re.compile(r"-?\d{1,400}(\.\d{1,400})?", re.ASCII).fullmatch


def money(names: Names, value: Any, sink: Sink, el: int) -> None:
    if value.get("value") is not None:
        key = sortable(_decimal(value["value"]))
        for param in names.params:
            sink.quantities.append((param, CURRENCIES, value.get("currency", ""), key, key, el))


def _measured(names: Names, low: Decimal | None, high: Decimal | None, unit: Any, sink: Sink, el: int) -> None:
    """`unit`: the Quantity that says the unit. An end that is None is open."""
    lo = NUMBER_MIN if low is None else sortable(low)
    hi = NUMBER_MAX if high is None else (lo if high is low else sortable(high))
    system, text, code = unit.get("system", ""), unit.get("unit", ""), unit.get("code", "")
    rows = [(system, code or text, lo, hi)]
    if text and code and text != code:
        rows.append(("", text, lo, hi))
    if system == UCUM and code:
        twin = canonical_range(low, high, code)
        if twin is not None:
            rows.append((CANONICAL_UCUM, *twin))
    for param in names.params:
        for row in rows:
            sink.quantities.append((param, *row, el))


def canonical_range(low: Decimal | None, high: Decimal | None, code: str) -> tuple[str, str, str] | None:
    """(canonical unit, lo, hi) of a range in UCUM unit `code`; None when the unit has no canonical form."""
    first = None if low is None else canonicalise(low, code)
    last = first if high is low else (None if high is None else canonicalise(high, code))
    if (low is not None and first is None) or (high is not None and last is None):
        return None
    unit = (first or last or ("", ""))[1]
    return unit, sortable(first[0]) if first else NUMBER_MIN, sortable(last[0]) if last else NUMBER_MAX
