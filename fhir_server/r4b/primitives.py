"""Tests of primitive values as JSON carries them. R4B 2.24.0.1 (primitive types).

A test takes any JSON value and gives None when it is right, else (issue code, sentence).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.r4b.narrative import narrative_problem
from fhir_server.r4b.times import is_date, is_datetime, is_instant, is_time

Wrong = tuple[str, str]
Test = Callable[[Any], Wrong | None]

_control = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_space = re.compile(r"\s").search
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII).fullmatch
_code = re.compile(r"\S+(?: \S+)*").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+", re.ASCII).fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_MAX_STRING = 1024 * 1024
_MAX_EXPONENT = 1000


def show(value: Any) -> str:
    """A value as a short quotation for a sentence."""
    text = str(value)
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "a number")


_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
    int: "an integer",
}


def not_a(wanted: str, value: Any) -> Wrong:
    if value is None:
        return "structure", "null is not allowed here; leave the element out."
    if type(value) is list:
        return "structure", f"This element does not repeat; give {wanted}, not an array."
    return "structure", f"This must be {wanted}, but it is {kind(value)}."


def string(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    if not value:
        return "value", "A string must not be empty; leave the element out."
    if not value.isprintable() and _control(value):
        return "value", "The text holds a control character; only tab, line feed and carriage return are allowed."
    if len(value) > _MAX_STRING:
        return "value", "A string must not be longer than 1 MB."
    return None


def code(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    if not _code(value) or _control(value):
        return "value", f"{show(value)} is not a code: it needs text without leading, trailing or double spaces."
    return None


def id_(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    if not _id(value):
        return "value", f"{show(value)} is not an id; use 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '.'."
    return None


def uri(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    if not value:
        return "value", "A URI must not be empty; leave the element out."
    if _space(value) or _control(value):
        return "value", f"{show(value)} is not a URI: it must not hold spaces or control characters."
    return None


def oid(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    return None if _oid(value) else ("value", f"{show(value)} is not an OID; write it as urn:oid:1.2.3.")


def uuid(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    return None if _uuid(value) else ("value", f"{show(value)} is not a UUID; write urn:uuid: and lower-case digits.")


def boolean(value: Any) -> Wrong | None:
    return None if type(value) is bool else not_a("true or false (without quotes)", value)


def _whole(least: int, name: str) -> Test:
    def test(value: Any) -> Wrong | None:
        if type(value) is not int:
            return not_a("a whole number (without quotes, fraction or exponent)", value)
        if least <= value <= 2147483647:
            return None
        return "value", f"{show(value)} is not a valid {name}; it must be from {least} to 2147483647."

    return test


def decimal(value: Any) -> Wrong | None:
    type_ = type(value)
    if type_ is int or type_ is float:
        return None
    if type_ is not Decimal:
        return not_a("a number (without quotes)", value)
    if value.is_finite() and -_MAX_EXPONENT < value.adjusted() < _MAX_EXPONENT:
        return None
    return "value", f"{show(value)} is beyond the numbers that can be kept."


def base64(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    if not value:
        return "value", "Content must not be empty; leave the element out."
    try:
        raw = value.encode("ascii")
        binascii.a2b_base64(raw if raw.isalnum() else b"".join(raw.split()), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return "value", f"{show(value)} is not base64 (alphabet A-Z a-z 0-9 + / and padding with =)."
    return None


def _moment(is_one: Callable[[str], bool], name: str, form: str) -> Test:
    def test(value: Any) -> Wrong | None:
        if type(value) is not str:
            return not_a("a string", value)
        if is_one(value):
            return None
        return "value", f"{show(value)} is not a {name} that exists; write {form}."

    return test


def xhtml(value: Any) -> Wrong | None:
    if type(value) is not str:
        return not_a("a string", value)
    problem = narrative_problem(value)
    return None if problem is None else ("invariant", problem)


_ZONED = "YYYY-MM-DDThh:mm:ss with Z or an offset such as +01:00"
TESTS: Mapping[str, Test] = {
    "base64Binary": base64,
    "boolean": boolean,
    "canonical": uri,
    "code": code,
    "date": _moment(is_date, "date", "YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": _moment(is_datetime, "dateTime", f"YYYY, YYYY-MM, YYYY-MM-DD or {_ZONED}"),
    "decimal": decimal,
    "id": id_,
    "instant": _moment(is_instant, "instant", _ZONED),
    "integer": _whole(-2147483648, "integer"),
    "markdown": string,
    "oid": oid,
    "positiveInt": _whole(1, "positiveInt"),
    "string": string,
    "time": _moment(is_time, "time", "hh:mm:ss"),
    "unsignedInt": _whole(0, "unsignedInt"),
    "uri": uri,
    "url": uri,
    "uuid": uuid,
    "xhtml": xhtml,
}
