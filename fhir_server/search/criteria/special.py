"""Criteria that are not about a type's own elements: _id, _lastUpdated, _text, _content, _list, _type. R4B 3.1.1.4."""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.r4b.definitions import definitions
from fhir_server.search.criteria.context import Context, Need, Unsupported, UnsupportedModifier, any_of, bad
from fhir_server.search.criteria.dates import last_updated
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.query import Everything, Id, Node, Not, Nothing, Text

Special = Callable[[str, str, str, tuple[str, ...], Context], Node]
"""(name, modifier, value, types, context) -> node."""


def _id(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    if modifier == "missing":
        return _missing(name, value)
    ids: list[str] = []
    for part in parts_of(name, value):
        # A token may come as |id: without a system.
        id = unescape(part).removeprefix("|")
        type, slash, rest = id.partition("/")
        ids.append(rest if slash and (not types or type in types) and definitions().is_resource(type) else id)
    node = Id(tuple(dict.fromkeys(ids)))
    if modifier == "not":
        return Not(node)
    if modifier:
        raise UnsupportedModifier(f"the modifier ':{modifier}' is not defined for _id")
    return node


def _last_updated(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    if modifier == "missing":
        return _missing(name, value)
    if modifier:
        raise UnsupportedModifier(f"the modifier ':{modifier}' is not defined for _lastUpdated")
    return any_of([last_updated(name, part, context) for part in parts_of(name, value)])


def _text(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    return _words("narrative", name, modifier, value)


def _content(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    return _words("content", name, modifier, value)


def _words(where: str, name: str, modifier: str, value: str) -> Node:
    if modifier:
        raise UnsupportedModifier(f"the modifier ':{modifier}' is not defined for {name}")
    texts = [unescape(part) for part in parts_of(name, value)]
    if not all(any(char.isalnum() for char in text) for text in texts):
        raise bad(name, "there is no word to look for")
    return any_of([Text("narrative" if where == "narrative" else "content", text) for text in texts])


def _list(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    if modifier:
        raise UnsupportedModifier("_list takes no modifier")
    nodes: list[Node] = []
    for part in parts_of(name, value):
        id = unescape(part).removeprefix("List/")
        if id.startswith("$"):
            raise Unsupported(f"the functional list '{id}' is not maintained here; give a List's id")
        there, members = context.answer(Need("list", id))
        if not there:
            return Nothing()
        ids = [member for type, member in members or () if not types or type in types]
        nodes.append(Id(tuple(dict.fromkeys(ids))) if ids else Nothing())
    return any_of(nodes)


def _type(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context) -> Node:
    """Narrowing the types is the caller's; here only whether the searched type is among them."""
    if modifier:
        raise UnsupportedModifier("_type takes no modifier")
    wanted = types_in(name, value)
    return Everything() if not types or set(types) & set(wanted) else Nothing()


def types_in(name: str, value: str) -> tuple[str, ...]:
    """The resource types of a _type parameter. 400 for names that are none."""
    names = tuple(dict.fromkeys(part.strip() for part in parts_of(name, value)))
    for type in names:
        if not definitions().is_resource(type):
            raise bad(name, f"'{type}' is not a resource type")
    return names


def parts_of(name: str, value: str) -> list[str]:
    """The alternatives of a value. 400 when one is empty."""
    parts = split(value, ",")
    for part in parts:
        if not part or part.isspace():
            raise bad(name, "a value is empty")
    return parts


def missing(name: str, value: str) -> bool:
    """The value of :missing."""
    if value not in ("true", "false"):
        raise bad(name, f"':missing' is true or false, not '{value}'")
    return value == "true"


def _missing(name: str, value: str) -> Node:
    return Nothing() if missing(name, value) else Everything()


SPECIAL: dict[str, Special] = {
    "_id": _id,
    "_lastUpdated": _last_updated,
    "_text": _text,
    "_content": _content,
    "_list": _list,
    "_type": _type,
}
