"""Folding for recognition: one character in, one character out, so that offsets in the folded text are offsets in the
original (``str.lower`` alone may change the length, e.g. of U+0130)."""

from __future__ import annotations

import unicodedata

_HYPHENS = dict.fromkeys("-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212_/", " ")
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u00b4": "'", "`": "'", "\u201c": '"', "\u201d": '"'}


def _one(character: str) -> str:
    if character in _HYPHENS:
        return " "
    if character in _QUOTES:
        return _QUOTES[character]
    if character.isspace():
        return " "
    base = unicodedata.normalize("NFKD", character)[:1] if ord(character) > 127 else character
    lower = (base or character).lower()
    return lower if len(lower) == 1 else character


class _Table(dict[int, str]):
    def __missing__(self, code: int) -> str:
        folded = self[code] = _one(chr(code))
        return folded


_TABLE = _Table()


def fold(text: str) -> str:
    """Lower case, no accents, hyphens, slashes and white space as spaces, straight quotes; len(fold(t)) == len(t)."""
    return text.translate(_TABLE)
