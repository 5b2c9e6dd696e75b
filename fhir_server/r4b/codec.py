"""FHIR JSON: bytes in, bytes out. R4B 2.6.2 (JSON representation).

What a client writes is what is kept, token by token: parsing only looks, and `Draft.render` cuts the top level open to
put `id` and `meta` in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, TooLarge


@dataclass(frozen=True, slots=True)
class Limits:
    """size: bytes of one body (413 beyond). depth: nested objects and arrays. array: items of one array."""

    size: int = 64 * 1024 * 1024
    depth: int = 64
    array: int = 100_000


DEFAULT_LIMITS = Limits()

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_top = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Draft:
    """A resource as its author wrote it. type: resource type. id: the author's, or None. data: plain JSON value whose
    fractional numbers are Decimal (do not change it). raw: the author's bytes without insignificant whitespace."""

    __slots__ = ("data", "id", "raw", "type")

    def __init__(self, type: str, id: str | None, data: dict[str, Any], raw: bytes) -> None:
        self.type = type
        self.id = id
        self.data = data
        self.raw = raw

    def __repr__(self) -> str:
        return f"Draft({self.type}/{self.id}, {len(self.raw)} bytes)"

    def render(self, id: str, version: int, last_updated_us: int) -> bytes:
        """The author's own bytes with `id`, `meta.versionId` and `meta.lastUpdated` put in; nothing else changes.

        Where the author had no `id` or `meta` they follow `resourceType`. Extensions of the two replaced values of meta
        go with them."""
        members = _top.decode(self.raw)
        id_member = b'"id":"%s"' % id.encode()
        meta_member = b'"meta":{"versionId":"%d","lastUpdated":"%s"' % (version, instant(last_updated_us).encode())
        own_meta = members.get("meta")
        if own_meta is not None:
            for name, value in _top.decode(own_meta).items():
                if name not in _STAMPED:
                    meta_member += b",%s:%s" % (_encoder.encode(name), value)
        meta_member += b"}"
        parts: list[bytes] = []
        for name, value in members.items():
            if name == "id":
                parts.append(id_member)
            elif name == "meta":
                parts.append(meta_member)
            else:
                parts.append(b"%s:%s" % (_encoder.encode(name), value))
                if name == "resourceType":
                    if "id" not in members:
                        parts.append(id_member)
                    if own_meta is None:
                        parts.append(meta_member)
        return b"{" + b",".join(parts) + b"}"


_STAMPED = frozenset(("versionId", "lastUpdated", "_versionId", "_lastUpdated"))


def parse(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Draft:
    """Reads one resource. Raises BadRequest (not JSON, duplicate keys, NaN, bad UTF-8, too deep, no known resourceType)
    and TooLarge."""
    data, compact = _read(raw, limits)
    if type(data) is not dict:
        raise _malformed(f"A resource is a JSON object, but the body is {_kind(data)}.")
    type_ = data.get("resourceType")
    if type(type_) is not str:
        if type_ is None:
            raise _malformed('The body has no resourceType; add one, e.g. "resourceType": "Patient".')
        raise _malformed(f"resourceType must be a string, but it is {_kind(type_)}.", "resourceType")
    if not definitions().is_resource(type_):
        raise _malformed(f"'{type_[:64]}' is not a resource type of FHIR R4B.", "resourceType")
    if "meta" in data and type(data["meta"]) is not dict:
        raise _malformed(f"meta must be a JSON object, but it is {_kind(data['meta'])}.", f"{type_}.meta")
    id_ = data.get("id")
    return Draft(type_, id_ if type(id_) is str else None, data, compact)


def _malformed(diagnostics: str, expression: str = "") -> BadRequest:
    return BadRequest(diagnostics, code="structure", expression=expression)


def parse_json(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Any JSON value under the same rules and limits as `parse` (for JSON Patch and other bodies)."""
    return _read(raw, limits)[0]


def draft_of(data: dict[str, Any]) -> Draft:
    """A resource that the server itself has built. Decimals are written as they are."""
    id_ = data.get("id")
    return Draft(data["resourceType"], id_ if type(id_) is str else None, data, _encoder.encode(data))


def encode(data: Any) -> bytes:
    """Compact JSON; Decimals become numbers with the same digits."""
    return _encoder.encode(data)


def decode(raw: bytes) -> Any:
    """Our own stored bytes -> plain JSON value with Decimals; no checks beyond JSON itself."""
    return _decoder.decode(raw)


def instant(us: int) -> str:
    """Microseconds since 1970 UTC -> ``2026-01-01T00:00:00.000Z``."""
    moment = _EPOCH + timedelta(microseconds=us)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def pretty(raw: bytes) -> bytes:
    """The same JSON with two spaces of indentation; number and string text untouched."""
    return msgspec.json.format(raw, indent=2)


def _read(raw: bytes, limits: Limits) -> tuple[Any, bytes]:
    if len(raw) > limits.size:
        raise TooLarge(f"The body has {len(raw):,} bytes; the most that is taken is {limits.size:,}.")
    try:
        data = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise BadRequest(_why_not_json(raw, str(error)), code="structure") from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8; send JSON encoded as UTF-8.", code="structure") from None
    except RecursionError:
        raise _too_deep(limits) from None
    except (InvalidOperation, ValueError):
        raise BadRequest("The body holds a number that is too long to be kept.", code="value") from None
    # Indentation shows depth, and C code does the indenting.
    deep = raw.count(b"{") + raw.count(b"[") > limits.depth
    if deep and b"\n" + b" " * (limits.depth + 1) in msgspec.json.format(raw, indent=1):
        raise _too_deep(limits)
    if raw.count(b",") >= limits.array:
        _refuse_long_arrays(data, limits)
    # Encoding what was read gives back the same bytes for nearly every compact body, and proves in a microsecond that
    # no key came twice. Anything else is made compact and compared again, then looked at pair by pair.
    again = _encoder.encode(data)
    if again == raw:
        return data, raw
    compact = msgspec.json.format(raw, indent=-1)
    if again != compact:
        _refuse_duplicates(compact)
    return data, compact


def _refuse_duplicates(compact: bytes) -> None:
    json.loads(compact, object_pairs_hook=_unique, parse_float=str, parse_int=str)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadRequest(f"The key '{name[:64]}' occurs twice in one object; keep one.", code="structure")
            seen.add(name)


def _refuse_long_arrays(data: Any, limits: Limits) -> None:
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            waiting.extend(value.values())
        elif type(value) is list:
            if len(value) > limits.array:
                raise TooLarge(f"An array has {len(value):,} items; the most that is taken is {limits.array:,}.")
            waiting.extend(value)


def _too_deep(limits: Limits) -> BadRequest:
    return BadRequest(f"The body is nested more than {limits.depth} levels deep.", code="structure")


def _why_not_json(raw: bytes, reason: str) -> str:
    if not raw.strip():
        return "The body is empty; send a resource as JSON."
    if raw.startswith(_BOMS):
        return "The body starts with a byte order mark; send plain UTF-8 without one."
    if "truncated" in reason:
        return "The body is not JSON: it ends too early, or a string holds half of a surrogate pair."
    what, _, place = reason.removeprefix("JSON is malformed: ").partition(" (byte ")
    if not place:
        return f"The body is not JSON: {what}."
    offset = int(place.rstrip(")"))
    line = raw.count(b"\n", 0, offset) + 1
    column = offset - raw.rfind(b"\n", 0, offset)
    return f"The body is not JSON: {what} at line {line}, column {column}."


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}
