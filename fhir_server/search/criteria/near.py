"""Location.near: within a distance of a point. R4B Location, "Positional searching"."""

from __future__ import annotations

import math
from decimal import Decimal

from fhir_server.search.criteria.context import Context, Field, UnsupportedModifier, any_of, bad
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.numbers import implicit_range, sortable
from fhir_server.search.query import And, Node, Number
from terminology.ucum import canonicalise

_EARTH_KM = 6371.0088
_DEFAULT_KM = 50.0
#: About a tenth of a millimetre, in degrees.
_LEAST = 1e-9
#: The circle is cut into as many bands of latitude: its edge is off by at most 2.5 % of the radius.
_BANDS = 32


def near(field: Field, modifier: str, value: str, context: Context) -> Node:
    """``latitude|longitude|distance|unit``; distance 50 km and unit km when left out."""
    if modifier:
        raise UnsupportedModifier(f"the modifier ':{modifier}' is not defined for '{field.param}'")
    parts = [unescape(part) for part in split(value, "|")]
    if not 2 <= len(parts) <= 4:
        raise bad(field.name, f"'{value}' is not latitude|longitude|distance|unit")
    latitude, longitude = _number(field, parts[0]), _number(field, parts[1])
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise bad(field.name, "latitude is within -90..90 and longitude within -180..180")
    distance = _number(field, parts[2]) if len(parts) > 2 and parts[2] else _DEFAULT_KM
    unit = parts[3] if len(parts) > 3 and parts[3] else "km"
    metres = canonicalise(Decimal(str(distance)), unit)
    if metres is None or metres[1] != "m" or distance < 0:
        raise bad(
            field.name, f"'{'|'.join(parts[2:])}' is not a distance in a UCUM unit of length such as km or [mi_i]"
        )
    return any_of([_within(field.param, *box) for box in _boxes(latitude, longitude, float(metres[0]) / 1000)])


def _number(field: Field, text: str) -> float:
    try:
        return float(implicit_range(text)[0])
    except (ValueError, OverflowError):
        raise bad(field.name, f"'{text}' is not a number") from None


Box = tuple[float, float, float, float]


def _boxes(latitude: float, longitude: float, km: float) -> list[Box]:
    """Rectangles (south, north, west, east) in degrees whose union is the circle."""
    angle = min(km / _EARTH_KM, math.pi)
    boxes: list[Box] = []
    for band in range(_BANDS):
        # Bands of equal turn, not of equal height: the circle's width changes fastest at its top and bottom.
        low, middle, high = (
            latitude - math.degrees(angle * math.cos(math.pi * (band + step) / _BANDS)) for step in (0, 0.5, 1)
        )
        half = _half_width(latitude, max(-90.0, min(90.0, middle)), angle)
        if half is None or high < -90 or low > 90:
            continue
        low, high = max(low, -90.0), min(high, 90.0)
        west, east = longitude - half, longitude + half
        if half >= 180:
            boxes.append((low, high, -180.0, 180.0))
        elif west < -180:
            boxes += [(low, high, -180.0, east), (low, high, west + 360, 180.0)]
        elif east > 180:
            boxes += [(low, high, west, 180.0), (low, high, -180.0, east - 360)]
        else:
            boxes.append((low, high, west, east))
    # The centre itself, which a distance of 0 asks for.
    return [*boxes, (latitude, latitude, longitude, longitude)]


def _half_width(centre: float, latitude: float, angle: float) -> float | None:
    """Degrees of longitude that the circle reaches from its centre at `latitude`; None when it does not."""
    one, two = math.radians(centre), math.radians(latitude)
    divisor = math.cos(one) * math.cos(two)
    if divisor < 1e-12:
        return 180.0
    cosine = (math.cos(angle) - math.sin(one) * math.sin(two)) / divisor
    if cosine > 1:
        return None
    return 180.0 if cosine < -1 else math.degrees(math.acos(cosine))


def _within(param: str, south: float, north: float, west: float, east: float) -> Node:
    return And((_between(f"{param}$lat", south, north), _between(f"{param}$lon", west, east)))


def _between(param: str, low: float, high: float) -> Node:
    """From low to high, both included (a range of a search ends before its upper end)."""
    return Number(param, "eq", sortable(Decimal(repr(low))), sortable(Decimal(repr(high + _LEAST))))
