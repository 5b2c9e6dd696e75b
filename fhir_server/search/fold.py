"""Text as string search sees it: without case, accents, punctuation and needless whitespace. R4B 3.1.1.4.8."""

from __future__ import annotations

import string
import unicodedata
from functools import lru_cache

_ASCII_DROP = {ord(c): None for c in string.punctuation if unicodedata.category(c)[0] == "P"} | {ord("`"): None}
_ASCII_DROP |= {c: None for c in range(32) if not chr(c).isspace()} | {127: None}
# Decomposing U+00B4 gives a space, which would cut "O´Brien" in two.
_QUOTES = {ord(c): None for c in "´`ʼʹʻʽ′"}
# Letters that carry a stroke or are ligatures have no decomposition, yet people leave the stroke out.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"}
)


_IGNORED = frozenset({"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Mn", "Mc", "Me", "Cf", "Cc"})


class _Letters(dict[int, str | int | None]):
    """What becomes of each character, found out when it is first met (all of Unicode would take half a second)."""

    def __missing__(self, char: int) -> str | int | None:
        text = chr(char)
        ignored = unicodedata.category(text) in _IGNORED and not text.isspace()
        result = None if ignored else _PLAIN.get(char, char)
        self[char] = result
        return result


_LETTERS = _Letters()


def fold(text: str) -> str:
    """Folded text; '' only when `text` has nothing but whitespace. Folding twice changes nothing."""
    folded = " ".join((_fold_ascii(text) if text.isascii() else _fold_unicode(text)).split())
    # Text that is all punctuation keeps it, so that it does not become the prefix of everything.
    return folded or " ".join(text.casefold().split())


def fold_often(text: str) -> str:
    """`fold` with a memory of short texts, for what repeats from resource to resource (displays, names)."""
    return _remembered(text) if len(text) <= 100 else fold(text)


_remembered = lru_cache(maxsize=16_384)(fold)


def _fold_ascii(text: str) -> str:
    return text.lower().translate(_ASCII_DROP)


def _fold_unicode(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    return unicodedata.normalize("NFKD", decomposed.casefold()).translate(_LETTERS)
