"""Regular expressions of value set filters: matched in linear time, whatever the expression (RE2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2


@lru_cache(maxsize=256)
def whole(pattern: str) -> Callable[[str], bool]:
    """A test whether all of a text matches. Raises ValueError for what is not a regular expression."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(f"(?:{pattern})", options)
    except re2.error as wrong:
        reason = wrong.args[0] if wrong.args else wrong
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"The filter value {pattern!r} is not a regular expression: {text}.") from wrong
    return lambda text: compiled.fullmatch(text) is not None
