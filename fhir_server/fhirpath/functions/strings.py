"""FHIRPath N1 5.6 string manipulation (with the string functions that FHIR uses from the continuous build)."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote

from fhir_server.fhirpath.errors import FhirPathError
from fhir_server.fhirpath.functions.function import Function, typed, with_values
from fhir_server.fhirpath.values import Collection, system


def _on_text(name: str, function: Callable[..., Any], least: int = 0, most: int | None = None) -> Function:
    """A function of one string whose arguments must be there; empty in, empty out."""

    def evaluate(focus: Collection, *arguments: Collection) -> Collection:
        text = typed(focus, str, f"{name}()")
        values = [typed(argument, (str, int), f"{name}()") for argument in arguments]
        if text is None or None in values:
            return []
        result = function(text, *values)
        return result if isinstance(result, list) else [] if result is None else [result]

    return with_values(evaluate, least, most)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise FhirPathError(f"'{text}' is not a regular expression: {error}") from None


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + max(0, length)]


def _replace(text: str, pattern: str, substitution: str) -> str:
    if pattern == "":
        return substitution + "".join(character + substitution for character in text)
    return text.replace(pattern, substitution)


def _replace_matches(text: str, pattern: str, substitution: str) -> str:
    return _pattern(pattern).sub(
        re.sub(r"\$(\d+|\{\w+\})", lambda found: rf"\g<{found[1].strip('{}')}>", substitution), text
    )


def _join(focus: Collection, separator: Collection | None = None) -> Collection:
    values = [system(item) for item in focus]
    if not all(isinstance(value, str) for value in values):
        raise FhirPathError("join() joins strings")
    return [("" if separator is None else typed(separator, str, "join()") or "").join(values)] if values else []


def _encode(text: str, kind: str) -> str | None:
    if kind == "hex":
        return text.encode().hex()
    if kind == "base64":
        return base64.b64encode(text.encode()).decode()
    return base64.urlsafe_b64encode(text.encode()).decode() if kind == "urlbase64" else None


def _decode(text: str, kind: str) -> str | None:
    try:
        if kind == "hex":
            return bytes.fromhex(text).decode()
        if kind in ("base64", "urlbase64"):
            return base64.b64decode(text, altchars=b"-_" if kind == "urlbase64" else None, validate=True).decode()
    except (ValueError, binascii.Error):
        return None
    return None


def _escape(text: str, target: str) -> str | None:
    if target == "html":
        return html.escape(text)
    return text.replace("\\", "\\\\").replace('"', '\\"') if target == "json" else None


def _unescape(text: str, target: str) -> str | None:
    if target == "html":
        return html.unescape(text)
    return text.replace('\\"', '"').replace("\\\\", "\\") if target == "json" else None


FUNCTIONS: Final[dict[str, Function]] = {
    "indexOf": _on_text("indexOf", lambda text, part: text.find(part), 1),
    "lastIndexOf": _on_text("lastIndexOf", lambda text, part: text.rfind(part), 1),
    "substring": _on_text("substring", _substring, 1, 2),
    "startsWith": _on_text("startsWith", lambda text, part: text.startswith(part), 1),
    "endsWith": _on_text("endsWith", lambda text, part: text.endswith(part), 1),
    "contains": _on_text("contains", lambda text, part: part in text, 1),
    "upper": _on_text("upper", str.upper),
    "lower": _on_text("lower", str.lower),
    "replace": _on_text("replace", _replace, 2),
    "matches": _on_text("matches", lambda text, pattern: _pattern(pattern).search(text) is not None, 1),
    "matchesFull": _on_text("matchesFull", lambda text, pattern: _pattern(pattern).fullmatch(text) is not None, 1),
    "replaceMatches": _on_text("replaceMatches", _replace_matches, 2),
    "length": _on_text("length", len),
    "toChars": _on_text("toChars", list),
    "trim": _on_text("trim", str.strip),
    "split": _on_text("split", lambda text, separator: text.split(separator) if separator else list(text), 1),
    "join": with_values(_join, 0, 1),
    "encode": _on_text("encode", _encode, 1),
    "decode": _on_text("decode", _decode, 1),
    "escape": _on_text("escape", _escape, 1),
    "unescape": _on_text("unescape", _unescape, 1),
    "urlEncode": _on_text("urlEncode", lambda text: quote(text, safe="")),
    "urlDecode": _on_text("urlDecode", unquote),
}
