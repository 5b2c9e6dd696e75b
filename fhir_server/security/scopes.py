"""Scopes of keys: ``system/Observation.rs`` and the older ``system/Observation.read``, as a map of type to letters.

SMART App Launch 2.0 (scopes and launch context), system level only: a key stands for a program, not for a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

LETTERS = "cruds"
ADMIN = "admin"
_WORDS = {"*": LETTERS, "read": "rs", "write": "cud"}
_SCOPE = re.compile(r"system/(?P<type>\*|[A-Z][A-Za-z]*)\.(?P<rights>\*|read|write|[cruds]+)")


class BadScope(ValueError):
    """A scope that is not understood; str() says what one looks like."""


def split_scopes(texts: Iterable[str]) -> tuple[str, ...]:
    """Single scopes, from texts that may hold several separated by spaces or commas; each once, in order."""
    return tuple(dict.fromkeys(scope for text in texts for scope in re.split(r"[\s,]+", text) if scope))


def parse_scopes(scopes: Iterable[str], is_type: Callable[[str], bool] | None = None) -> tuple[dict[str, str], bool]:
    """(resource type or '*' -> letters of "cruds" in that order, whether `admin` is among the scopes).

    is_type: says which resource types exist; without it any name that looks like one will do. Raises BadScope."""
    granted: dict[str, set[str]] = {}
    admin = False
    for scope in scopes:
        if scope == ADMIN:
            admin = True
            continue
        match = _SCOPE.fullmatch(scope)
        if match is None:
            raise BadScope(
                f"'{scope}' is not a scope; write system/TYPE.LETTERS with letters of {LETTERS} "
                f"(e.g. system/*.cruds, system/Observation.rs), system/TYPE.read, system/TYPE.write, or {ADMIN}."
            )
        type, rights = match["type"], match["rights"]
        if type != "*" and is_type is not None and not is_type(type):
            raise BadScope(f"'{scope}' names {type}, which is not a FHIR R4B resource type.")
        granted.setdefault(type, set()).update(_WORDS.get(rights, rights))
    return {type: "".join(c for c in LETTERS if c in letters) for type, letters in granted.items()}, admin
