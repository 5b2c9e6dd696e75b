r"""Separators in search values, and ``\`` before those that are meant literally. R4B 3.1.1.4.3."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\([\\,$|])")


def split(text: str, separator: str) -> list[str]:
    r"""Parts of `text` between unescaped separators, each with its escapes still in."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == separator:
            parts.append(text[start:at])
            at = start = at + 1
        else:
            at += 1
    return [*parts, text[start:]]


def unescape(text: str) -> str:
    r"""``\,`` ``\$`` ``\|`` ``\\`` -> the character; any other backslash is a backslash."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def escape(text: str) -> str:
    """The inverse of `unescape`."""
    return re.sub(r"([\\,$|])", r"\\\1", text)
