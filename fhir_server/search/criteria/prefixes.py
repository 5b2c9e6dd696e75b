"""The two letters before a number, date or quantity. R4B 3.1.1.4.6."""

from __future__ import annotations

from typing import cast, get_args

from fhir_server.search.criteria.context import Prefix, bad

_PREFIXES = frozenset(get_args(Prefix))


def prefixed(name: str, value: str) -> tuple[Prefix, str]:
    """(prefix, rest); eq when there is none. 400 for letters that are no prefix."""
    head = value[:2]
    if not head[:1].isalpha():
        return "eq", value
    if head not in _PREFIXES:
        raise bad(name, f"'{value}' starts with '{head}', which is none of {', '.join(sorted(_PREFIXES))}")
    return cast(Prefix, head), value[2:]
