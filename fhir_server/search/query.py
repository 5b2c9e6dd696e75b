"""A search as a tree of plain values: made by `parse` from a query string, answered by a store.

Every leaf names an index (`param`, see fhir_server.search.entries) of the resource type it is tested on. The type is
the one of the enclosing Query, Chain or Has. Nothing here is text of a URL any more: values are parsed, folded and
canonical.  R4B 3.1.1 (search).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Comparison = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]


@dataclass(frozen=True, slots=True)
class And:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Resources that do not match `node` (including those with no value at all)."""

    node: Node


@dataclass(frozen=True, slots=True)
class Nothing:
    """Matches no resource (e.g. :in an empty value set)."""


@dataclass(frozen=True, slots=True)
class Missing:
    """:missing. `kind` is the parameter's index table."""

    param: str
    kind: Literal["token", "string", "date", "number", "quantity", "reference", "uri"]
    missing: bool


@dataclass(frozen=True, slots=True)
class Token:
    """code None: any code in the system; system None: any system; system '': no system."""

    param: str
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class TokenIn:
    """Any of many (system, code) pairs, e.g. an expanded value set or a subsumption closure."""

    param: str
    pairs: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class String:
    """value is folded for all but exact: starts (prefix), contains, equals (the whole), ends (suffix; the last two come
    from _filter); exact compares the original text."""

    param: str
    match: Literal["starts", "contains", "exact", "equals", "ends"]
    value: str


@dataclass(frozen=True, slots=True)
class Date:
    """lo, hi: the inclusive range that the search value's precision implies. For ap the range is already widened.

    Semantics on a stored range [tlo, thi] (R4B 3.1.1.4.6): eq lo<=tlo and thi<=hi; ne not eq; gt thi>hi; lt tlo<lo;
    ge gt or eq; le lt or eq; sa tlo>hi; eb thi<lo; ap overlap.
    """

    param: str
    comparison: Comparison
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Number:
    """lo, hi: the half-open range [lo, hi) that implicit precision gives for eq, ne and ap; for gt, lt, ge, le, sa, eb
    lo == hi == the exact value (R4B 3.1.1.4.5). All are sortable strings. Stored ranges are inclusive."""

    param: str
    comparison: Comparison
    lo: str
    hi: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """As Number, with a unit. system None and code None: any unit. system None and code given: code or unit text.
    With system None the twins (system CANONICAL_UCUM) must not be looked at: their numbers are in another unit.

    When the unit is UCUM, the parser asks for the twin (system CANONICAL_UCUM, canonical unit and numbers) alone."""

    param: str
    comparison: Comparison
    lo: str
    hi: str
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """type None: any type with this id; type '': id is an absolute URL."""

    param: str
    type: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Uri:
    """version None: any. below: value is a path prefix of the stored uri; above: the stored uri is one of value."""

    param: str
    match: Literal["exact", "below", "above"]
    value: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Id:
    """_id: any of these logical ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastUpdated:
    comparison: Comparison
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Composite:
    """Each component (a tree whose leaves name ``param$0``, ``param$1``) must hold on the same element (`el`). Not and
    Missing may only follow a component that finds elements."""

    param: str
    components: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Forward chain: the reference or canonical `param` points to a resource of one of `types` that matches `node`.

    canonical: the parameter holds canonical urls, resolved by the target's `url` index. A reference to a contained
    resource is followed too, as far as `node` can be asked of one (fhir_server.search.contained)."""

    param: str
    types: tuple[str, ...]
    node: Node
    canonical: bool = False


@dataclass(frozen=True, slots=True)
class Has:
    """Reverse chain: some resource of `type` refers here through its reference `param` and matches `node`."""

    type: str
    param: str
    node: Node


@dataclass(frozen=True, slots=True)
class Text:
    """_text (narrative) and _content (narrative and the other texts): words and "quoted phrases", all needed."""

    where: Literal["narrative", "content"]
    value: str


@dataclass(frozen=True, slots=True)
class Everything:
    """Matches every resource (no criteria)."""


Node = (
    And
    | Or
    | Not
    | Nothing
    | Everything
    | Missing
    | Token
    | TokenIn
    | String
    | Date
    | Number
    | Quantity
    | Reference
    | Uri
    | Id
    | LastUpdated
    | Composite
    | Chain
    | Has
    | Text
)


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key. Ascending uses a resource's least value, descending its greatest; without a value: last.

    `kind` "last_updated" and "id" are _lastUpdated and _id; "score" is _score (falls back to the tie-break).
    via: the references to follow first, each (parameter, types of the target); the key is then that of what they lead
    to. The final tie-break is always the store's stable resource ordinal, ascending."""

    param: str
    kind: Literal["token", "string", "date", "number", "quantity", "reference", "uri", "last_updated", "id", "score"]
    descending: bool = False
    via: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What a store answers. types () means all types (then only type-independent leaves may occur)."""

    types: tuple[str, ...]
    where: Node = Everything()
    sort: tuple[Sort, ...] = ()
