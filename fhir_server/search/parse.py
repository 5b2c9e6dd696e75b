"""Query parameters -> a Query and the parameters that shape its result. R4B 3.1.1."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.r4b.outcome import BadRequest
from fhir_server.search.criteria.context import (
    Context,
    Need,
    Pairs,
    Terminology,
    Unsupported,
    UnsupportedModifier,
    all_of,
    bad,
)
from fhir_server.search.criteria.criterion import criterion
from fhir_server.search.criteria.special import types_in
from fhir_server.search.query import Everything, Node, Nothing, Query
from fhir_server.search.registry import Registry
from fhir_server.search.results import (
    RESULT_PARAMETERS,
    Contained,
    ContainedType,
    Include,
    Shaping,
    Summary,
    Total,
)

__all__ = ["Include", "Need", "Parsed", "Terminology", "parse_search"]

_REMEMBERED = 2048


@dataclass(frozen=True, slots=True)
class Parsed:
    """A search, understood.

    query.where has Nothing() wherever a Need is open. unknown: (name as given, why) of what was left out.
    applied: the parameters that took effect, for the self link. count None: not given.
    """

    query: Query
    count: int | None = None
    total: Total | None = None
    summary: Summary | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    contained: Contained = "false"
    contained_type: ContainedType = "container"
    explain: bool = False
    needs: tuple[Need, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    applied: tuple[tuple[str, str], ...] = ()


def parse_search(
    types: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    *,
    registry: Registry,
    base_urls: Sequence[str] = (),
    terminology: Terminology | None = None,
    known: Mapping[Need, Pairs | None] | None = None,
    now: int | None = None,
    ignore: Collection[str] = ("_format", "_pretty"),
) -> Parsed:
    """`types`: the type searched, several, or () for all. parameters: decoded (name, value) pairs in order.
    now: microseconds since 1970 UTC, for the ap prefix on dates. ignore: names that others handle.

    Raises BadRequest for a bad value and for a modifier that does not exist; its issue's expression is the
    parameter's name."""
    searched = tuple(types)
    key = ("parse", searched, tuple(parameters), tuple(base_urls), tuple(ignore))
    memo = registry.memo
    remembered = memo.get(key)
    if remembered is not None:
        assert isinstance(remembered, Parsed)
        return remembered
    context = Context(registry, base_urls, terminology, known or {}, now)
    parsed = _parse(searched, parameters, context, ignore)
    if context.lasting:
        if len(memo) > _REMEMBERED:
            memo.clear()
        memo[key] = parsed
    return parsed


def _parse(
    types: tuple[str, ...], parameters: Sequence[tuple[str, str]], context: Context, ignore: Collection[str]
) -> Parsed:
    shaping = Shaping()
    nodes: list[Node] = []
    applied: list[tuple[str, str]] = []
    unknown = shaping.unknown
    parameters = _named_query(parameters, context, unknown)
    types, impossible = _narrowed(types, parameters)
    if impossible:
        nodes.append(Nothing())
    for name, value in parameters:
        if name in ignore:
            continue
        try:
            if name.startswith("_"):
                code, _, modifier = name.partition(":")
                reader = RESULT_PARAMETERS.get(code)
                if reader is not None:
                    if not value:
                        raise bad(name, "it has no value")
                    reader(name, modifier, value, types, context, shaping)
                    applied.append((name, value))
                    continue
            node = criterion(name, value, types, context)
        except UnsupportedModifier as error:
            raise BadRequest(f"{name}: {error}.", code="not-supported", expression=name) from None
        except Unsupported as error:
            unknown.append((name, str(error)))
            continue
        applied.append((name, value))
        if not isinstance(node, Everything):
            nodes.append(node)
    return Parsed(
        query=Query(types, all_of(nodes), tuple(shaping.sort)),
        count=shaping.count,
        total=shaping.total,
        summary=shaping.summary,
        elements=tuple(dict.fromkeys(shaping.elements)),
        includes=tuple(dict.fromkeys(shaping.includes)),
        revincludes=tuple(dict.fromkeys(shaping.revincludes)),
        contained=shaping.contained,
        contained_type=shaping.contained_type,
        explain=shaping.explain,
        needs=tuple(context.needs),
        unknown=tuple(unknown),
        applied=tuple(applied),
    )


def _narrowed(types: tuple[str, ...], parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], bool]:
    """The types that are left after _type, and whether there are none."""
    for name, value in parameters:
        if name == "_type":
            wanted = types_in(name, value)
            left = wanted if not types else tuple(type for type in types if type in wanted)
            if not left:
                return types, True
            types = left
    return types, False


def _named_query(
    parameters: Sequence[tuple[str, str]], context: Context, unknown: list[tuple[str, str]]
) -> Sequence[tuple[str, str]]:
    names = [value for name, value in parameters if name == "_query"]
    if not names:
        return parameters
    if len(names) > 1:
        raise bad("_query", "it may be given once")
    others = [(name, value) for name, value in parameters if name != "_query"]
    expand = context.registry.named_queries.get(names[0])
    if expand is None:
        unknown.append(("_query", f"there is no named query '{names[0]}' here"))
        return others
    context.lasting = False
    return expand(others)
