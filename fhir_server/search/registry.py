"""The search parameters a server knows, by resource type: the standard's and those added while it runs.

R4B 3.1.1 (search) and SearchParameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from fhir_server.r4b.definitions import SearchParameter, definitions
from fhir_server.search.paths import ExpressionError, Leaf, leaves_of
from fhir_server.search.program import Program
from fhir_server.search.values import SPECIAL_VALUES, emitter, implied_systems

Status = Literal["pending", "active"]
Table = Literal["token", "string", "date", "number", "quantity", "reference", "uri"]
NamedQuery = Callable[[Sequence[tuple[str, str]]], Sequence[tuple[str, str]]]
"""A named query (_query): its own parameters -> the ordinary search parameters that it stands for."""

_CANONICALS = frozenset({"canonical", "uri", "url"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What a parameter indexes on one type. tables: index tables its values are in (a reference parameter may have both
    references and uris). types: FHIR types of its values. implied: code systems that the standard implies for its codes
    (a code element's value set), with which they are indexed. folded: its tokens are indexed without case."""

    tables: tuple[Table, ...]
    types: frozenset[str]
    implied: tuple[str, ...] = ()
    folded: bool = False


class Registry:
    """Search parameters by type. `generation` rises with every change, so that what is derived from it can be cached.

    A custom parameter is added `pending` (new writes are indexed under it, searches do not use it), and becomes
    `active` when the resources that were there before are reindexed.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.named_queries: dict[str, NamedQuery] = {}
        self._custom: dict[str, tuple[SearchParameter, Status]] = {}
        self._of_type: dict[str, Mapping[str, SearchParameter]] = {}
        self._programs: dict[str, Program] = {}
        self._shapes: dict[tuple[str, str], Shape] = {}
        #: What others derived from this generation of the parameters; emptied when it changes.
        self.memo: dict[Any, Any] = {}

    def get(self, type: str, code: str) -> SearchParameter | None:
        """The active parameter `code` of resource type `type`."""
        return self.parameters(type).get(code)

    def parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Active parameters of a type by code (what the CapabilityStatement lists). {} when there is no such type."""
        found = self._of_type.get(type)
        if found is None:
            if not definitions().is_resource(type):
                return {}
            standard = definitions().search_parameters(type)
            custom = {p.code: p for p, status in self._custom_of(type) if status == "active"}
            found = self._of_type[type] = {**standard, **custom} if custom else standard
        return found

    def pending(self, type: str, code: str) -> bool:
        """True when a custom parameter of this code is known but not yet usable."""
        return any(p.code == code and status == "pending" for p, status in self._custom_of(type))

    def common(self, code: str) -> SearchParameter | None:
        """The parameter `code` when every resource type has it (``_tag`` ...)."""
        return self.parameters("Patient").get(code) if code in self.parameters("Binary") else None

    def by_url(self, url: str) -> SearchParameter | None:
        custom = self._custom.get(url)
        return custom[0] if custom else definitions().search_parameter(url)

    def custom(self) -> Mapping[str, tuple[SearchParameter, Status]]:
        """Custom parameters by url."""
        return dict(self._custom)

    def add(self, parameter: SearchParameter, *, status: Status = "pending") -> None:
        """Add or replace a custom parameter (by url). Raises ValueError when its code is taken on one of its bases, and
        ExpressionError when its expression cannot be compiled for one of them."""
        for type in self.types_of(parameter):
            if taken := self.taken_by(type, parameter):
                raise ValueError(f"{type} has a search parameter '{parameter.code}' already ({taken})")
            Program(type, [parameter], self._component_types(parameter))
        self._custom[parameter.url] = (parameter, status)
        self._changed()

    def taken_by(self, type: str, parameter: SearchParameter) -> str:
        """Url of another parameter that has this one's code on `type`, '' when it is free."""
        standard = definitions().search_parameters(type).get(parameter.code)
        if standard is not None:
            return standard.url
        others = (p.url for p, _ in self._custom_of(type) if p.code == parameter.code and p.url != parameter.url)
        return next(others, "")

    def activate(self, url: str) -> None:
        """Raises KeyError when there is no such custom parameter."""
        self._custom[url] = (self._custom[url][0], "active")
        self._changed()

    def remove(self, url: str) -> bool:
        """False when there is no such custom parameter."""
        found = self._custom.pop(url, None) is not None
        if found:
            self._changed()
        return found

    def referencing(self, target: str) -> Sequence[tuple[str, SearchParameter]]:
        """(type, parameter) for every active reference parameter that may point to a `target` resource."""
        return [
            (type, parameter)
            for type in definitions().types
            for parameter in self.parameters(type).values()
            if parameter.type == "reference" and (not parameter.targets or target in parameter.targets)
        ]

    def types_of(self, parameter: SearchParameter) -> Sequence[str]:
        """The concrete resource types that `parameter` is for."""
        bases = set(parameter.bases)
        return [type for type in definitions().types if not bases.isdisjoint(_lineage(type))]

    def program(self, type: str) -> Program:
        """What is indexed of a resource of `type`, pending parameters included."""
        found = self._programs.get(type)
        if found is None:
            standard = definitions().search_parameters(type) if definitions().is_resource(type) else {}
            parameters = [*standard.values(), *(p for p, _ in self._custom_of(type))]
            found = self._programs[type] = Program(type, parameters, self._component_types(*parameters))
        return found

    def shape(self, type: str, parameter: SearchParameter) -> Shape:
        """What `parameter` indexes on `type`."""
        key = (type, parameter.code)
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = _shape(type, parameter)
        return found

    def component_types(self, parameter: SearchParameter) -> Sequence[str]:
        """Search types of a composite's components, in order."""
        types = self._component_types(parameter)
        return [types[component.definition] for component in parameter.components]

    def component_shapes(self, type: str, parameter: SearchParameter) -> Sequence[Shape]:
        """What a composite's components index on `type`, in order."""
        key = ("components", type, parameter.url)
        found: Sequence[Shape] | None = self.memo.get(key)
        if found is None:
            kinds = self.component_types(parameter)
            places = leaves_of(parameter.expression, type)
            found = self.memo[key] = [
                _shape_of([leaf for place in places for leaf in leaves_of(component.expression, place.type)], kind)
                for component, kind in zip(parameter.components, kinds, strict=True)
            ]
        return found

    def _component_types(self, *parameters: SearchParameter) -> dict[str, str]:
        types: dict[str, str] = {}
        for parameter in parameters:
            for component in parameter.components:
                definition = self.by_url(component.definition)
                types[component.definition] = definition.type if definition is not None else ""
        return types

    def _custom_of(self, type: str) -> Iterator[tuple[SearchParameter, Status]]:
        if self._custom:
            lineage = _lineage(type)
            for parameter, status in self._custom.values():
                if not lineage.isdisjoint(parameter.bases):
                    yield parameter, status

    def _changed(self) -> None:
        self.generation += 1
        self._of_type.clear()
        self._programs.clear()
        self._shapes.clear()
        self.memo.clear()


@lru_cache(maxsize=256)
def _lineage(type: str) -> frozenset[str]:
    found, step = set[str](), type
    while step:
        found.add(step)
        step = definitions().parent(step) or ""
    return frozenset(found)


def _shape(type: str, parameter: SearchParameter) -> Shape:
    if not parameter.expression or parameter.type in ("composite", "special"):
        return Shape((), frozenset())
    try:
        leaves = leaves_of(parameter.expression, type)
    except ExpressionError:
        return Shape((), frozenset())
    return _shape_of(leaves, parameter.type)


def _shape_of(leaves: Sequence[Leaf], kind: str) -> Shape:
    leaves = [leaf for leaf in leaves if emitter(kind, leaf.type, leaf.element) is not None]
    types = frozenset(leaf.type for leaf in leaves)
    tables: list[Table] = []
    if kind != "reference":
        tables.append(cast(Table, kind))
    else:
        if types - _CANONICALS or not types:
            tables.append("reference")
        if types & _CANONICALS:
            tables.append("uri")
    implied = {system for leaf in leaves if leaf.type == "code" for system in implied_systems(leaf.element).values()}
    if "boolean" in types:
        implied.add(SPECIAL_VALUES)
    return Shape(tuple(tables), types, tuple(sorted(implied)), folded="ContactPoint" in types)


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The standard's parameters only. Shared: a server that takes custom parameters makes its own `Registry()`."""
    return Registry()
