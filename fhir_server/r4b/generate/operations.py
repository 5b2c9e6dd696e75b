"""OperationDefinitions of the standard, without narrative and without what only authors need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_DROPPED = ("text", "contact", "extension", "meta", "publisher", "implicitRules")
#: Not operations, but examples of how to define one.
_EXAMPLES = ("example",)


def operation_table(resources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """id -> OperationDefinition."""
    return {
        each["id"]: {name: _plain(value) for name, value in each.items() if name not in _DROPPED}
        for each in resources
        if each["id"] not in _EXAMPLES
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if name != "extension"}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
