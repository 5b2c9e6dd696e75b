"""The FHIR R4B standard as data: types, elements, search parameters, compartments and code sets, read lazily.

The tables in ``data/`` are made by ``python -m fhir_server.r4b.generate``. Only what is asked for is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class TypeRef:
    """One type an element may have. targets: for Reference (resource types) and canonical; () means any."""

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

    name: as in the definition, without ``[x]`` (``value``). json_names: property name -> type code, e.g.
    ``{"valueQuantity": "Quantity", ...}`` for a choice, one entry otherwise. max: None is ``*``. invariants: keys.
    content: the type key whose elements this one has (``Observation.component`` for a backbone element or a content
    reference, the type itself for a complex type, None for a primitive or a resource).
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
    def json_names(self) -> Mapping[str, str]:
        raise NotImplementedError


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


class Definitions:
    """Everything of R4B 4.3.0 that the server needs at run time."""

    #: The version of the standard.
    version: str = "4.3.0"

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the concrete resource types, sorted."""
        raise NotImplementedError

    @property
    def datatypes(self) -> tuple[str, ...]:
        """Names of the complex data types, sorted."""
        raise NotImplementedError

    @property
    def primitives(self) -> tuple[str, ...]:
        """Names of the primitive types, sorted."""
        raise NotImplementedError

    def is_resource(self, type: str) -> bool:
        """True for a concrete resource type."""
        raise NotImplementedError

    def is_primitive(self, type: str) -> bool:
        raise NotImplementedError

    def elements(self, type: str) -> Mapping[str, Element]:
        """Elements by name, in the order of the standard, of a resource type, a data type, or a backbone path
        (``Observation.component``). Includes inherited ones (id, extension ...). KeyError when there is no such type."""
        raise NotImplementedError

    def invariants(self, type: str) -> tuple[Invariant, ...]:
        """The constraints stated on a resource or data type and on its backbone elements (no inherited ones of others)."""
        raise NotImplementedError

    def parent(self, type: str) -> str | None:
        """The type that this one specializes: Patient -> DomainResource -> Resource; Age -> Quantity -> Element."""
        raise NotImplementedError

    def search_parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Search parameters of a resource type by code, with those of Resource and DomainResource (``_id`` ...)."""
        raise NotImplementedError

    def all_search_parameters(self) -> tuple[SearchParameter, ...]:
        """Every SearchParameter of the standard once, by URL."""
        raise NotImplementedError

    def search_parameter(self, url: str) -> SearchParameter | None:
        """By canonical URL (a composite's component names its definition so)."""
        raise NotImplementedError

    @property
    def compartments(self) -> tuple[str, ...]:
        """Device, Encounter, Patient, Practitioner, RelatedPerson."""
        raise NotImplementedError

    def compartment(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Resource type -> codes of the parameters that link it into the compartment. Types that are never in it are
        left out. ``{def}`` (the resource itself) is given as ``"_id"``. R4B 2.36 (CompartmentDefinition)."""
        raise NotImplementedError

    def required_binding(self, url: str) -> CodeSet | None:
        """Codes of a value set that some element is bound to with strength required; a version in `url` is ignored.
        None when the set is open (mimetypes, ucum-units) or unknown."""
        raise NotImplementedError


@lru_cache(maxsize=1)
def definitions() -> Definitions:
    """The one shared, lazily filled instance."""
    return Definitions()
