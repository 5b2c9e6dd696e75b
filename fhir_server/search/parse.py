"""Query parameters -> a Query and the parameters that shape its result. R4B 3.1.1."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fhir_server.search.query import Query
from fhir_server.search.registry import Registry


class Terminology(Protocol):
    """What search asks of a terminology service. None: the value set or system is not known here."""

    def expand(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """(system, code) pairs of a value set by canonical url (maybe with |version)."""
        ...

    def subsumed_by(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or below `code`."""
        ...

    def subsumes(self, system: str, code: str) -> Collection[str] | None:
        """Codes at or above `code`."""
        ...


@dataclass(frozen=True, slots=True)
class Need:
    """Something to be fetched before the search can be answered: fetch it, parse again with ``known={need: answer}``.

    - list: the (type, id) pairs of List/`key` (current, not deleted, entries)
    - value_set: the (system, code) pairs of value set `key` (canonical url, or ``ValueSet/id``); None: unknown
    - below, above: (type, id) of the resource `key` (``Location/1``) and all that are under / over it through the
      reference parameter `via` of its type (``partof``)
    """

    kind: Literal["list", "value_set", "below", "above"]
    key: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class Include:
    """_include and _revinclude. source: type that holds the reference, '*' any; param: code of a reference parameter,
    '*' all; target: only this type; iterate: also on included resources."""

    source: str
    param: str
    target: str | None = None
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A search, understood.

    query.where has Nothing() wherever a Need is open. unknown: (name as given, why) of what was left out.
    applied: the parameters that took effect, for the self link. count None: not given.
    """

    query: Query
    count: int | None = None
    total: Literal["none", "estimate", "accurate"] | None = None
    summary: Literal["true", "text", "data", "count", "false"] | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    contained: Literal["false", "true", "both"] = "false"
    contained_type: Literal["container", "contained"] = "container"
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
    known: Mapping[Need, Collection[tuple[str, str]] | None] | None = None,
    now: int | None = None,
    ignore: Collection[str] = ("_format", "_pretty"),
) -> Parsed:
    """`types`: the type searched, several, or () for all. parameters: decoded (name, value) pairs in order.
    now: microseconds since 1970 UTC, for the ap prefix on dates. ignore: names that others handle.

    Raises BadRequest for a bad value; its issue's expression is the parameter's name."""
    raise NotImplementedError
