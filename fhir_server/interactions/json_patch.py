"""JSON Patch (RFC 6902) and JSON Pointer (RFC 6901) over plain JSON values, to the letter and all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any, Final

from fhir_server.r4b.outcome import BadRequest, Unprocessable

_MEMBERS: Final = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}
#: Operations of one patch document; more is a mistake or an attack.
_MOST: Final = 10_000


def apply(document: Any, patch: Any) -> Any:
    """The patched document; `document` itself is not changed.

    Raises BadRequest when `patch` is not a JSON Patch document, Unprocessable when an operation cannot be done on this
    document or a test fails. The expression of the issue is the operation's place in the patch, e.g. ``[2]``.
    """
    if not isinstance(patch, list):
        raise BadRequest("A JSON Patch is an array of operations.", code="structure")
    if len(patch) > _MOST:
        raise BadRequest(f"A JSON Patch has at most {_MOST:,} operations.", code="too-long")
    steps = [_step(operation, f"[{index}]") for index, operation in enumerate(patch)]
    result = deepcopy(document)
    for index, step in enumerate(steps):
        try:
            result = step(result)
        except _Impossible as problem:
            raise Unprocessable(f"Operation {index}: {problem}", expression=f"[{index}]", code="processing") from None
    return result


class _Impossible(Exception):
    pass


def _step(operation: Any, place: str) -> Callable[[Any], Any]:
    if not isinstance(operation, dict):
        raise BadRequest("Each operation of a JSON Patch is an object.", code="structure", expression=place)
    name = operation.get("op")
    members = _MEMBERS.get(name) if isinstance(name, str) else None
    if members is None:
        raise BadRequest(f"'op' is one of {', '.join(_MEMBERS)}.", code="value", expression=f"{place}.op")
    for member in members:
        if member not in operation:
            raise BadRequest(f"'{name}' needs '{member}'.", code="required", expression=place)
    path = pointer(operation["path"], f"{place}.path")
    if name == "add":
        return lambda document: _add(document, path, deepcopy(operation["value"]))
    if name == "remove":
        return lambda document: _remove(document, path)[0]
    if name == "replace":
        return lambda document: _replace(document, path, deepcopy(operation["value"]))
    if name == "test":
        return lambda document: _test(document, path, operation["value"])
    source = pointer(operation["from"], f"{place}.from")
    if name == "copy":
        return lambda document: _add(document, path, deepcopy(_get(document, source)))
    if len(source) < len(path) and path[: len(source)] == source:
        raise BadRequest("A value cannot be moved into itself.", code="value", expression=f"{place}.from")
    return lambda document: _move(document, source, path)


def pointer(text: Any, place: str = "path") -> tuple[str, ...]:
    """A JSON Pointer as its tokens. Raises BadRequest."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise BadRequest("A JSON Pointer is '' or starts with '/'.", code="value", expression=place)
    tokens = text.split("/")[1:]
    for token in tokens:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise BadRequest("In a JSON Pointer '~' is written '~0' and '/' '~1'.", code="value", expression=place)
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def _get(document: Any, path: Sequence[str]) -> Any:
    for depth, token in enumerate(path):
        if isinstance(document, dict):
            if token not in document:
                raise _Impossible(f"there is nothing at {_text(path[: depth + 1])}.")
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, path[: depth + 1], len(document) - 1)]
        else:
            raise _Impossible(f"{_text(path[:depth])} is neither an object nor an array.")
    return document


def _index(array: list[Any], token: str, path: Sequence[str], most: int) -> int:
    if not (token.isascii() and token.isdecimal()) or (len(token) > 1 and token[0] == "0"):
        raise _Impossible(f"{_text(path)} does not name an item of the array.")
    if len(token) > 9 or int(token) > most:
        raise _Impossible(f"there is nothing at {_text(path)}: the array has {len(array)} items.")
    return int(token)


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else _index(parent, path[-1], path, len(parent))
        parent.insert(index, value)
    else:
        raise _Impossible(f"{_text(path[:-1])} is neither an object nor an array.")
    return document


def _remove(document: Any, path: Sequence[str]) -> tuple[Any, Any]:
    value = _get(document, path)
    if not path:
        raise _Impossible("the whole document cannot be removed.")
    parent = _get(document, path[:-1])
    if isinstance(parent, dict):
        del parent[path[-1]]
    else:
        del parent[int(path[-1])]
    return document, value


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    _get(document, path)
    if not path:
        return value
    parent = _get(document, path[:-1])
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value
    return document


def _move(document: Any, source: Sequence[str], path: Sequence[str]) -> Any:
    if source == path:
        _get(document, source)
        return document
    document, value = _remove(document, source)
    return _add(document, path, value)


def _test(document: Any, path: Sequence[str], value: Any) -> Any:
    if not equal(_get(document, path), value):
        raise _Impossible(f"the test at {_text(path)} failed.")
    return document


def equal(one: Any, other: Any) -> bool:
    """Equality as RFC 6902 section 4.6 has it: numbers by value, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal | float) and isinstance(other, int | Decimal | float):
        return bool(one == other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


def _text(path: Sequence[str]) -> str:
    return "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in path) if path else "the root"
