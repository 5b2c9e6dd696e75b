"""The parameters that shape a search's result: _sort, _count, _include and their kin. R4B 3.1.1.5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast, get_args

from fhir_server.r4b.definitions import definitions
from fhir_server.search.criteria.context import Context, Unsupported, UnsupportedModifier, bad, field_of
from fhir_server.search.query import Sort

Total = Literal["none", "estimate", "accurate"]
Summary = Literal["true", "text", "data", "count", "false"]
Contained = Literal["false", "true", "both"]
ContainedType = Literal["container", "contained"]

_SORTED: Final = frozenset({"token", "string", "date", "number", "quantity", "reference", "uri"})
_SORT_SPECIAL: Final[dict[str, Any]] = {"_lastUpdated": "last_updated", "_id": "id", "_score": "score"}
_MAX_COUNT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Include:
    """_include and _revinclude. source: type that holds the reference, '*' any; param: code of a reference parameter,
    '*' all; target: only this type; iterate: also on included resources."""

    source: str
    param: str
    target: str | None = None
    iterate: bool = False


@dataclass(slots=True)
class Shaping:
    """What the result parameters of one search say."""

    sort: list[Sort] = field(default_factory=list)
    count: int | None = None
    total: Total | None = None
    summary: Summary | None = None
    elements: list[str] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    contained: Contained = "false"
    contained_type: ContainedType = "container"
    explain: bool = False
    unknown: list[tuple[str, str]] = field(default_factory=list)


Reader = Callable[[str, str, str, tuple[str, ...], Context, Shaping], None]
"""(name, modifier, value, types, context, where to write). Raises Unsupported, BadRequest."""


def _sort(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    refused: Unsupported | None = None
    taken = 0
    for part in value.split(","):
        key = part.strip()
        code = key.removeprefix("-")
        if not code:
            raise bad(name, "a sort key is empty")
        try:
            shaping.sort.append(_sort_key(code, key.startswith("-"), types, context))
            taken += 1
        except Unsupported as error:
            refused = error
            shaping.unknown.append((name, str(error)))
    if refused is not None and not taken:
        shaping.unknown.pop()
        raise refused


def _sort_key(code: str, descending: bool, types: tuple[str, ...], context: Context) -> Sort:
    if code in _SORT_SPECIAL:
        return Sort(code, _SORT_SPECIAL[code], descending)
    if "." in code:
        return _chained_key(code, descending, types, context)
    found = field_of(types, code, code, context.registry)
    if found.kind not in _SORTED or not found.shape.tables:
        raise Unsupported(f"results cannot be sorted by '{code}', a {found.kind} parameter")
    return Sort(code, found.shape.tables[0], descending)


def _chained_key(code: str, descending: bool, types: tuple[str, ...], context: Context) -> Sort:
    """``patient.family``, ``subject:Patient.name``: by what a reference leads to."""
    head, _, rest = code.partition(".")
    context.step("_sort")
    param, colon, target = head.partition(":")
    found = field_of(types, param, param, context.registry)
    if found.kind != "reference" or "reference" not in found.shape.tables:
        raise Unsupported(f"results cannot be sorted by '{code}': '{param}' is not a reference")
    if colon and target not in found.targets:
        raise Unsupported(f"'{param}' does not refer to {target}")
    reached: dict[Sort, list[str]] = {}
    refusal: Unsupported | None = None
    with context.deeper():
        for type in (target,) if colon else found.targets:
            try:
                reached.setdefault(_sort_key(rest, descending, (type,), context), []).append(type)
            except Unsupported as error:
                refusal = error
    if not reached:
        raise refusal or Unsupported(f"'{param}' refers to nothing that results could be sorted by")
    if len(reached) > 1:
        raise Unsupported(
            f"'{rest}' is not the same on all that '{param}' refers to; name the type ({param}:Type.{rest})"
        )
    ((inner, leading),) = reached.items()
    return replace(inner, via=((param, tuple(leading)), *inner.via))


def _count(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise bad(name, f"'{value}' is not a number of resources")
    shaping.count = min(int(value), _MAX_COUNT)


def _total(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    shaping.total = cast(Total, _one_of(name, value, get_args(Total)))


def _summary(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    shaping.summary = cast(Summary, _one_of(name, value, get_args(Summary)))


def _elements(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    names = [part.strip() for part in value.split(",")]
    if not all(names):
        raise bad(name, "an element's name is empty")
    shaping.elements.extend(names)


def _contained(
    name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping
) -> None:
    _plain(name, modifier)
    shaping.contained = cast(Contained, _one_of(name, value, get_args(Contained)))


def _contained_type(
    name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping
) -> None:
    _plain(name, modifier)
    shaping.contained_type = cast(ContainedType, _one_of(name, value, get_args(ContainedType)))


def _explain(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    _plain(name, modifier)
    shaping.explain = _one_of(name, value, ("true", "false")) == "true"


def _include(name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping) -> None:
    shaping.includes.append(_included(name, modifier, value, context))


def _revinclude(
    name: str, modifier: str, value: str, types: tuple[str, ...], context: Context, shaping: Shaping
) -> None:
    shaping.revincludes.append(_included(name, modifier, value, context))


def _included(name: str, modifier: str, value: str, context: Context) -> Include:
    if modifier not in ("", "iterate"):
        raise UnsupportedModifier(f"the modifier ':{modifier}' is not defined for {name.partition(':')[0]}")
    iterate = modifier == "iterate"
    if value == "*":
        return Include("*", "*", iterate=iterate)
    source, *rest = value.split(":")
    if not rest or len(rest) > 2 or not all(rest):
        raise bad(name, f"'{value}' is not [type]:[parameter] or [type]:[parameter]:[target type]")
    code, target = rest[0], rest[1] if len(rest) == 2 else None
    if not definitions().is_resource(source):
        raise Unsupported(f"'{source}' is not a resource type")
    if target is not None and not definitions().is_resource(target):
        raise Unsupported(f"'{target}' is not a resource type")
    if code != "*":
        found = field_of((source,), code, name, context.registry)
        if found.kind != "reference":
            raise Unsupported(f"'{code}' of {source} is a {found.kind} parameter, not a reference")
        if target is not None and target not in found.targets:
            raise Unsupported(f"'{code}' of {source} does not refer to {target}")
    return Include(source, code, target, iterate)


def _plain(name: str, modifier: str) -> None:
    if modifier:
        raise UnsupportedModifier(f"{name.partition(':')[0]} takes no modifier")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise bad(name, f"'{value}' is none of {', '.join(allowed)}")
    return value


RESULT_PARAMETERS: Final[dict[str, Reader]] = {
    "_sort": _sort,
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_contained": _contained,
    "_containedType": _contained_type,
    "_explain": _explain,
    "_include": _include,
    "_revinclude": _revinclude,
}
