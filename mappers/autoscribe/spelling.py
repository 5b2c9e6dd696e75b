"""camelCase and snake_case: the vendor's wire is camelCase; whoever asks in snake_case is answered in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
#: Objects whose keys are the client's own.
_THEIRS: Final = frozenset({"metadata"})


def snake(name: str) -> str:
    """studyInstanceUid -> study_instance_uid"""
    return _CAPITAL.sub(lambda found: "_" + found[1].lower(), name)


def camel(name: str) -> str:
    """study_instance_uid -> studyInstanceUid"""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def is_snake(names: Iterable[str]) -> bool:
    """Whether names (of a query, of a body) are spelled in snake_case: one of them has an underscore inside."""
    return any("_" in name.strip("_") for name in names)


def snaked(value: Any) -> Any:
    """The value with its keys in snake_case."""
    if isinstance(value, dict):
        return {snake(name): part if name in _THEIRS else snaked(part) for name, part in value.items()}
    return [snaked(part) for part in value] if isinstance(value, list) else value


def cameled(value: Any) -> Any:
    """The value with its keys in camelCase."""
    if isinstance(value, dict):
        return {camel(name): part if name in _THEIRS else cameled(part) for name, part in value.items()}
    return [cameled(part) for part in value] if isinstance(value, list) else value
