"""Contained resources in the index, and criteria on them. R4B 3.1.1.5.6 (contained resources), 3.1.1.4.16 (chains).

What a contained resource of type T would have in the index on its own stands among its container's entries, under the
name ``$T.code`` instead of ``code``, and once more under ``medication$T.code`` for each reference parameter
(``medication``) of the container that points to it. `el` is its place among the contained ones; a token ``$T`` (and
``medication$T``) holds its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fhir_server.search.entries import Entries
from fhir_server.search.query import (
    And,
    Composite,
    Date,
    Everything,
    Id,
    Missing,
    Node,
    Not,
    Nothing,
    Number,
    Or,
    Quantity,
    Reference,
    String,
    Token,
    TokenIn,
    Uri,
)

_LEAVES = (Token, TokenIn, String, Date, Number, Quantity, Reference, Uri)


def marker(type: str, through: str = "") -> str:
    """The index name of the ids of contained resources of a type; through: the parameter that refers to them."""
    return f"{through}${type}"


def add_contained(entries: Entries, type: str, id: str, place: int, inner: Entries) -> None:
    """Put the entries of the contained resource `type`/#`id` among its container's."""
    text = f"#{id}"
    prefixes = [marker(type)]
    prefixes += dict.fromkeys(
        marker(type, row[0]) for row in entries.references if row[2] == text and not row[1] and "$" not in row[0]
    )
    for prefix in prefixes:
        entries.tokens.append((prefix, "", id, place))
        for name in ("tokens", "strings", "dates", "numbers", "quantities", "references", "uris"):
            rows: list[Any] = getattr(entries, name)
            rows += [(f"{prefix}.{row[0]}", *row[1:-1], place) for row in getattr(inner, name) if "$" not in row[0]]


def on_contained(node: Node, prefix: str) -> Node | None:
    """The criteria as they are asked about a contained resource, all of them on the same one; prefix: a `marker`.

    None when they reach beyond it (chains, text, composites, _lastUpdated)."""
    if isinstance(node, Everything):
        return Token(prefix, None, None)
    if isinstance(node, Nothing):
        return node
    if isinstance(node, Or):
        options = [each for each in (on_contained(child, prefix) for child in node.nodes) if each is not None]
        return Or(tuple(options)) if options else None
    parts = _parts(node, prefix)
    if parts is None:
        return None
    if len(parts) == 1 and isinstance(parts[0], _LEAVES):
        return parts[0]
    # What must not hold is asked of a contained resource that another part has found.
    return Composite(prefix, (Token(prefix, None, None), *parts))


def _parts(node: Node, prefix: str) -> tuple[Node, ...] | None:
    """Conditions on one contained resource."""
    if isinstance(node, And):
        found: list[Node] = []
        for child in node.nodes:
            parts = _parts(child, prefix)
            if parts is None:
                return None
            found += parts
        return tuple(found)
    if isinstance(node, Or):
        options: list[Node] = []
        for child in node.nodes:
            parts = _parts(child, prefix)
            if parts is None or len(parts) != 1:
                return None
            options += parts
        return (Or(tuple(options)),)
    if isinstance(node, Not):
        parts = _parts(node.node, prefix)
        return (Not(parts[0]),) if parts is not None and len(parts) == 1 else None
    if isinstance(node, Id):
        return (TokenIn(prefix, frozenset(("", id) for id in node.ids)),)
    if isinstance(node, Everything):
        return ()
    if isinstance(node, (*_LEAVES, Missing)) and "$" not in node.param:
        return (replace(node, param=f"{prefix}.{node.param}"),)
    return None


def contained_of(data: dict[str, Any], type: str = "") -> Sequence[tuple[int, dict[str, Any]]]:
    """(place, resource) of the contained resources that have a type and an id."""
    inside = data.get("contained")
    if not isinstance(inside, list):
        return ()
    return [
        (place, each)
        for place, each in enumerate(inside)
        if isinstance(each, dict)
        and isinstance(each.get("resourceType"), str)
        and isinstance(each.get("id"), str)
        and type in ("", each["resourceType"])
    ]
