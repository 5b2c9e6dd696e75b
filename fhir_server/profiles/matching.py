"""fixed[x] and pattern[x] of an element definition (R4B elementdefinition.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def constant(definition: Mapping[str, Any], kind: str) -> tuple[bool, Any]:
    """(is there one, its value) of ``fixed[x]`` or ``pattern[x]``."""
    for key, value in definition.items():
        if key.startswith(kind) and key[len(kind) : len(kind) + 1].isupper():
            return True, value
    return False, None


def equals(value: Any, fixed: Any) -> bool:
    """Exactly the same, including what is absent."""
    if isinstance(value, dict) and isinstance(fixed, dict):
        return value.keys() == fixed.keys() and all(equals(value[key], fixed[key]) for key in fixed)
    if isinstance(value, list) and isinstance(fixed, list):
        return len(value) == len(fixed) and all(map(equals, value, fixed))
    return bool(value == fixed) and isinstance(value, bool) == isinstance(fixed, bool)


def conforms(value: Any, pattern: Any) -> bool:
    """At least what the pattern says: each of its properties, and for each item of its lists some matching item."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(key in value and conforms(value[key], pattern[key]) for key in pattern)
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(conforms(item, one) for item in value) for one in pattern)
    return equals(value, pattern)
