"""The FHIR R4B standard as data: types, elements, search parameters, compartments and code sets, read lazily.

The tables in ``data/`` are made by ``python -m fhir_server.r4b.generate``. Only what is asked for is built.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_PARAMETER = "http://hl7.org/fhir/SearchParameter/"
_DATA = Path(__file__).parent / "data"
_CHOICE, _SUMMARY, _MODIFIER = 1, 2, 4


@dataclass(frozen=True, slots=True)
class TypeRef:
    """One type an element may have. targets: for Reference and canonical, resource types, () means any; for Quantity
    ``("SimpleQuantity",)`` (no comparator) or (``MoneyQuantity``,) where the standard says so."""

    code: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """strength: required | extensible | preferred | example. value_set: canonical URL without version."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint of the standard. path: the element it is stated on. severity: error | warning."""

    key: str
    severity: str
    human: str
    expression: str
    path: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type (ElementDefinition).

    name: as in the definition, without ``[x]`` (``value``). max: None is ``*``. invariants: keys, without ele-1 and
    ext-1, which hold everywhere. content: the key (for `Definitions.elements`) of the elements stated in place, for a
    backbone element or a content reference (``Observation.component``); None when `types` says it all.
    """

    name: str
    path: str
    min: int
    max: int | None
    types: tuple[TypeRef, ...]
    choice: bool = False
    binding: Binding | None = None
    summary: bool = False
    modifier: bool = False
    invariants: tuple[str, ...] = ()
    content: str | None = None

    @property
    def json_names(self) -> Mapping[str, TypeRef]:
        """Property name -> type: ``{"valueQuantity": Quantity, ...}`` for a choice, one entry otherwise ({} never)."""
        if self.choice:
            return {self.name + t.code[0].upper() + t.code[1:]: t for t in self.types}
        return {self.name: self.types[0] if self.types else TypeRef("BackboneElement")}


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite search parameter: the definition's URL and the expression relative to the composite's."""

    definition: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One SearchParameter. type: number date string token reference composite quantity uri special.

    expression: FHIRPath, '' when there is none (``_text`` ...). targets: resource types of a reference, () means any.
    comparators, modifiers, chain: as the standard lists them, () when it lists none. multiple_or and multiple_and are
    True unless the standard says otherwise. description: its first line, for people.
    """

    code: str
    type: str
    expression: str
    bases: tuple[str, ...]
    url: str
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    comparators: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    multiple_or: bool = True
    multiple_and: bool = True
    id: str = ""
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class CodeSet:
    """The codes of a value set. codes: (system, code) pairs; plain: the codes without their systems."""

    url: str
    codes: frozenset[tuple[str, str]]
    plain: frozenset[str]


@lru_cache(maxsize=1)
def definitions() -> Definitions:
    """The one shared, lazily filled instance."""
    return Definitions()


class Definitions:
    """Everything of R4B 4.3.0 that the server needs at run time."""

    #: The version of the standard.
    version: str = "4.3.0"

    def __init__(self) -> None:
        self._elements: dict[str, Mapping[str, Element]] = {}
        self._parameters_of: dict[str, Mapping[str, SearchParameter]] = {}
        self._code_sets: dict[str, CodeSet | None] = {}

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Names of the concrete resource types, sorted."""
        return self._named("resource")

    @cached_property
    def datatypes(self) -> tuple[str, ...]:
        """Names of the concrete complex data types, sorted."""
        return self._named("complex-type")

    @cached_property
    def primitives(self) -> tuple[str, ...]:
        """Names of the primitive types, sorted."""
        return self._named("primitive-type")

    def is_resource(self, type: str) -> bool:
        """True for a concrete resource type."""
        return type in self._resource_types

    def is_primitive(self, type: str) -> bool:
        return type in self._primitive_types

    def elements(self, type: str) -> Mapping[str, Element]:
        """Elements by name, in the order of the standard, of a resource type, a data type, or a backbone path
        (``Observation.component``). Includes inherited ones (id, extension ...). KeyError when there is no such."""
        found = self._elements.get(type)
        if found is None:
            contents = msgspec.json.decode(self._heads[type.partition(".")[0]][3], type=dict[str, list[Any]])
            for path, rows in contents.items():
                built = {row[0]: _element(path, row) for row in rows}
                self._elements.setdefault(path, MappingProxyType(built))
            found = self._elements[type]
        return found

    def invariants(self, type: str) -> tuple[Invariant, ...]:
        """The constraints stated on a resource or data type and its inner elements; not those of its parents."""
        rows = self._invariants.get(type)
        return () if rows is None else tuple(Invariant(*row) for row in msgspec.json.decode(rows))

    def profile(self, url: str) -> Mapping[str, Any] | None:
        """A StructureDefinition (its differential) of the standard's own extensions and profiles, by canonical URL."""
        raw = self._profiles.get(url.partition("|")[0])
        return None if raw is None else msgspec.json.decode(raw, type=dict[str, Any])

    def parent(self, type: str) -> str | None:
        """The type that this one specializes: Patient -> DomainResource -> Resource; Age -> Quantity -> Element."""
        head = self._heads.get(type)
        return head[2] if head else None

    def search_parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Search parameters of a resource type by code, with those of Resource and DomainResource (``_id`` ...)."""
        found = self._parameters_of.get(type)
        if found is None:
            found = self._parameters_of[type] = MappingProxyType(self._collect_parameters(type))
        return found

    def all_search_parameters(self) -> tuple[SearchParameter, ...]:
        """Every SearchParameter of the standard once, by URL."""
        return tuple(self._parameters.values())

    def search_parameter(self, url: str) -> SearchParameter | None:
        """By canonical URL (a composite's component names its definition so); a version in `url` is ignored."""
        return self._parameters.get(url.partition("|")[0])

    @property
    def compartments(self) -> tuple[str, ...]:
        """Device, Encounter, Patient, Practitioner, RelatedPerson."""
        return tuple(sorted(self._compartments))

    def compartment(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Resource type -> codes of the parameters that link it into the compartment. Types that are never in it are
        left out. ``{def}`` (the resource itself) is given as ``_id``. KeyError when there is no such compartment.
        R4B 2.36 (CompartmentDefinition)."""
        return self._compartments[name]

    def required_binding(self, url: str) -> CodeSet | None:
        """Codes of a value set that some element is bound to with strength required; a version in `url` is ignored.
        None when the set is open (mimetypes, ucum-units) or unknown."""
        url = url.partition("|")[0]
        if url not in self._code_sets:
            raw = self._codes.get(url)
            systems = {} if raw is None else msgspec.json.decode(raw, type=dict[str, list[str]])
            pairs = frozenset((system, code) for system, codes in systems.items() for code in codes)
            self._code_sets[url] = CodeSet(url, pairs, frozenset(code for _, code in pairs)) if pairs else None
        return self._code_sets[url]

    @cached_property
    def _heads(self) -> dict[str, tuple[str, bool, str | None, msgspec.Raw]]:
        rows = _table("elements", dict[str, tuple[str, bool, str | None, msgspec.Raw]])
        # A Raw keeps the whole table alive, a copy only its own part.
        return {name: (kind, abstract, parent, raw.copy()) for name, (kind, abstract, parent, raw) in rows.items()}

    @cached_property
    def _invariants(self) -> dict[str, msgspec.Raw]:
        return dict(_table("invariants", dict[str, msgspec.Raw]))

    @cached_property
    def _profiles(self) -> dict[str, msgspec.Raw]:
        return dict(_table("profiles", dict[str, msgspec.Raw]))

    @cached_property
    def _codes(self) -> dict[str, msgspec.Raw]:
        return dict(_table("codes", dict[str, msgspec.Raw]))

    @cached_property
    def _compartments(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        table = _table("compartments", dict[str, dict[str, tuple[str, ...]]])
        return {name: MappingProxyType(members) for name, members in table.items()}

    @cached_property
    def _parameters(self) -> dict[str, SearchParameter]:
        rows = _table("parameters", list[tuple[Any, ...]])
        return {p.url: p for p in map(_parameter, rows)}

    @cached_property
    def _parameters_by_base(self) -> dict[str, list[SearchParameter]]:
        by_base: dict[str, list[SearchParameter]] = {}
        for parameter in self._parameters.values():
            for base in parameter.bases:
                by_base.setdefault(base, []).append(parameter)
        return by_base

    @cached_property
    def _resource_types(self) -> frozenset[str]:
        return frozenset(self.types)

    @cached_property
    def _primitive_types(self) -> frozenset[str]:
        return frozenset(self.primitives)

    def _named(self, kind: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, head in self._heads.items() if head[0] == kind and not head[1]))

    def _collect_parameters(self, type: str) -> dict[str, SearchParameter]:
        lineage: list[str] = []
        step: str | None = type
        while step is not None:
            lineage.append(step)
            step = self.parent(step)
        # Resource first: it defines _text as well, and its own definition is the wider one.
        found: dict[str, SearchParameter] = {}
        for base in reversed(lineage):
            for parameter in self._parameters_by_base.get(base, ()):
                found.setdefault(parameter.code, parameter)
        return dict(sorted(found.items()))


def _table(name: str, type: Any) -> Any:
    return msgspec.json.decode(gzip.decompress((_DATA / f"{name}.json.gz").read_bytes()), type=type)


def _element(path: str, row: list[Any]) -> Element:
    name, least, most, flags, types, binding, invariants, content = row
    return Element(
        name=name,
        path=f"{path}.{name}" + ("[x]" if flags & _CHOICE else ""),
        min=least,
        max=None if most < 0 else most,
        types=tuple(TypeRef(t[0], tuple(t[1:])) for t in types),
        choice=bool(flags & _CHOICE),
        binding=Binding(*binding) if binding else None,
        summary=bool(flags & _SUMMARY),
        modifier=bool(flags & _MODIFIER),
        invariants=tuple(invariants),
        content=content,
    )


def _parameter(row: tuple[Any, ...]) -> SearchParameter:
    id_, code, type_, expression, bases, targets, components, comparators, modifiers, chain, many, every, name, text = (
        row
    )
    return SearchParameter(
        code=code,
        type=type_,
        expression=expression,
        bases=tuple(bases),
        url=_PARAMETER + id_,
        targets=tuple(targets),
        components=tuple(Component(_PARAMETER + definition, part) for definition, part in components),
        comparators=tuple(comparators),
        modifiers=tuple(modifiers),
        chain=tuple(chain),
        multiple_or=many,
        multiple_and=every,
        id=id_,
        name=name,
        description=text if isinstance(text, str) else "; ".join(dict.fromkeys(text.values())),
    )
