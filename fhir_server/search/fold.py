"""Text as string search sees it: without case, accents, punctuation and needless whitespace. R4B 3.1.1.4.8."""

from __future__ import annotations


def fold(text: str) -> str:
    """Folded text; '' only when `text` has nothing but whitespace."""
    raise NotImplementedError
