"""What the parsing of a criterion needs to know, and how it says no."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from fhir_server.r4b.definitions import SearchParameter, definitions
from fhir_server.r4b.outcome import BadRequest
from fhir_server.search.query import And, Everything, Node, Nothing, Or
from fhir_server.search.registry import Registry, Shape, Table

Pairs = Collection[tuple[str, str]]
Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]

#: A chain over references to any type is tried on each of them; this bounds what one request may try.
_MAX_STEPS = 10_000
_MAX_DEPTH = 16


class Terminology(Protocol):
    """What search asks of a terminology service. None: the value set or system is not known here."""

    def expand(self, value_set: str) -> Pairs | None:
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


class Unsupported(Exception):
    """A parameter that does not exist here: lenient handling leaves the criterion out, and says so."""


class UnsupportedModifier(Unsupported):
    """A modifier that the parameter does not take: refused under lenient handling too, because without it the search
    would be another one. R4B 3.1.1.4.5."""


@dataclass(slots=True)
class Context:
    """One parse. `lasting` turns False when the result depends on more than the registry and the text."""

    registry: Registry
    base_urls: Sequence[str] = ()
    terminology: Terminology | None = None
    known: Mapping[Need, Pairs | None] = field(default_factory=dict)
    now: int | None = None
    needs: list[Need] = field(default_factory=list)
    lasting: bool = True
    steps: int = 0
    depth: int = 0

    def answer(self, need: Need) -> tuple[bool, Pairs | None]:
        """(True, what is known), or (False, None) after noting that it has to be fetched."""
        self.lasting = False
        if need in self.known:
            return True, self.known[need]
        if need not in self.needs:
            self.needs.append(need)
        return False, None

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One link further along a chain."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def step(self, name: str) -> None:
        self.steps += 1
        if self.steps > _MAX_STEPS or self.depth > _MAX_DEPTH:
            raise bad(name, "the chain is too long or too wide; name the target types (subject:Patient.name)")


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter to be matched. name: as the client wrote it; param: its index name; kind: its search type."""

    name: str
    param: str
    kind: str
    shape: Shape
    targets: tuple[str, ...] = ()
    parameter: SearchParameter | None = None

    @property
    def table(self) -> Table:
        return self.shape.tables[0] if self.shape.tables else "token"


def bad(name: str, why: str) -> BadRequest:
    """400, with the parameter's name in the issue's expression and diagnostics."""
    return BadRequest(f"The search parameter '{name}' cannot be used so: {why}.", expression=name, code="value")


def field_of(types: Sequence[str], code: str, name: str, registry: Registry) -> Field:
    """The parameter `code` that all of `types` have (() is every type). Raises Unsupported."""
    key = ("field", tuple(types), code)
    found = registry.memo.get(key)
    if found is None:
        parameters = [_parameter(type, code, registry) for type in types] or [_common(code, registry)]
        first = parameters[0]
        if any(p.type != first.type for p in parameters):
            raise Unsupported(f"'{code}' is not the same kind of parameter on {', '.join(types)}")
        shapes = [registry.shape(type, p) for type, p in zip(types or ("Patient",), parameters, strict=True)]
        targets = dict.fromkeys(t for p in parameters for t in (p.targets or definitions().types))
        found = Field(name, code, first.type, _merged(shapes), tuple(targets), first)
        registry.memo[key] = found
    assert isinstance(found, Field)
    return found if found.name == name else replace(found, name=name)


def _parameter(type: str, code: str, registry: Registry) -> SearchParameter:
    parameter = registry.get(type, code)
    if parameter is None:
        if registry.pending(type, code):
            raise Unsupported(f"'{code}' is still being indexed for {type} and cannot be used yet")
        raise Unsupported(f"{type} has no search parameter '{code}'")
    return parameter


def _common(code: str, registry: Registry) -> SearchParameter:
    parameter = registry.common(code)
    if parameter is None:
        raise Unsupported(f"there is no search parameter '{code}' that every resource type has; narrow with _type")
    return parameter


def _merged(shapes: Sequence[Shape]) -> Shape:
    if len(shapes) == 1:
        return shapes[0]
    return Shape(
        tuple(dict.fromkeys(table for shape in shapes for table in shape.tables)),
        frozenset(type for shape in shapes for type in shape.types),
        tuple(sorted({system for shape in shapes for system in shape.implied})),
        any(shape.folded for shape in shapes),
    )


def any_of(nodes: Sequence[Node]) -> Node:
    """Or, without needless levels."""
    flat = list(dict.fromkeys(n for node in nodes for n in (node.nodes if isinstance(node, Or) else (node,))))
    flat = [node for node in flat if not isinstance(node, Nothing)]
    if not flat:
        return Nothing()
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def all_of(nodes: Sequence[Node]) -> Node:
    """And, without needless levels."""
    flat = list(dict.fromkeys(n for node in nodes for n in (node.nodes if isinstance(node, And) else (node,))))
    flat = [node for node in flat if not isinstance(node, Everything)]
    if not flat:
        return Everything()
    return flat[0] if len(flat) == 1 else And(tuple(flat))


Matcher = Callable[[Field, str, str, Context], Node]
"""(field, modifier or '', one value with its escapes, context) -> node."""
