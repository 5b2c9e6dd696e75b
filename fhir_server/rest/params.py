"""Query strings and form bodies as a list of (name, value). R4B 3.1.1.3 (parameters), 3.1.0.1.11 (general ones)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from fhir_server.r4b.outcome import BadRequest, TooLarge

Parameters = list[tuple[str, str]]

#: General parameters that the HTTP side takes for itself: they never reach a search.
GENERAL = frozenset(("_format", "_pretty"))


def decode(text: bytes) -> str:
    """Percent-decoding to UTF-8 text, strictly. Raises BadRequest for what is neither."""
    if b"%" in text:
        position = text.find(b"%")
        while position >= 0:
            if not _is_hex(text[position + 1 : position + 3]):
                raise BadRequest("The URL has a '%' that is not followed by two hexadecimal digits; write it as %25.")
            position = text.find(b"%", position + 1)
        text = unquote_to_bytes(text)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The URL or form is not UTF-8 after percent-decoding.") from None
    if "\x00" in decoded:
        raise BadRequest("The URL or form holds a NUL character.")
    return decoded


def _is_hex(pair: bytes) -> bool:
    return len(pair) == 2 and all(byte in b"0123456789abcdefABCDEF" for byte in pair)


def parse_query(text: bytes, *, limit: int) -> Parameters:
    """``a=1&b=2`` in order, blanks kept, '+' is a space. At most `limit` of them (TooLarge)."""
    if not text:
        return []
    parts = text.replace(b"+", b" ").split(b"&")
    if len(parts) > limit:
        raise TooLarge(f"The request has more than {limit} parameters.")
    found = []
    for part in parts:
        if part:
            name, _, value = part.partition(b"=")
            found.append((decode(name), decode(value)))
    return found


def general(parameters: Sequence[tuple[str, str]]) -> tuple[str, bool | None, Parameters]:
    """(_format or '', _pretty or None, the rest). Raises BadRequest for a _pretty that is no boolean."""
    chosen, pretty, rest = "", None, []
    for name, value in parameters:
        if name == "_format":
            chosen = value
        elif name == "_pretty":
            if value not in ("true", "false"):
                raise BadRequest("_pretty is true or false.")
            pretty = value == "true"
        else:
            rest.append((name, value))
    return chosen, pretty, rest


def refuse_unknown(parameters: Sequence[tuple[str, str]], allowed: Sequence[str] = ()) -> None:
    """Raises BadRequest for a parameter that the interaction would otherwise ignore."""
    for name, _ in parameters:
        if name not in allowed:
            known = ", ".join([*allowed, *sorted(GENERAL)])
            raise BadRequest(f"The parameter '{name[:64]}' means nothing here; known: {known}.", code="not-supported")
