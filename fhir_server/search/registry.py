"""The search parameters a server knows, by resource type: the standard's and those added while it runs.

R4B 3.1.1 (search) and SearchParameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from fhir_server.r4b.definitions import SearchParameter

Status = Literal["pending", "active"]
NamedQuery = Callable[[Sequence[tuple[str, str]]], Sequence[tuple[str, str]]]
"""A named query (_query): its own parameters -> the ordinary search parameters that it stands for."""


class Registry:
    """Search parameters by type. `generation` rises with every change, so that what is derived from it can be cached.

    A custom parameter is added `pending` (new writes are indexed under it, searches do not use it), and becomes `active`
    when the resources that were there before are reindexed.
    """

    generation: int
    named_queries: dict[str, NamedQuery]

    def get(self, type: str, code: str) -> SearchParameter | None:
        """The active parameter `code` of resource type `type`."""
        raise NotImplementedError

    def parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Active parameters of a type by code (what the CapabilityStatement lists)."""
        raise NotImplementedError

    def by_url(self, url: str) -> SearchParameter | None:
        raise NotImplementedError

    def custom(self) -> Mapping[str, tuple[SearchParameter, Status]]:
        """Custom parameters by url."""
        raise NotImplementedError

    def add(self, parameter: SearchParameter, *, status: Status = "pending") -> None:
        """Add or replace a custom parameter (by url). Raises Unprocessable when its code is taken on one of its bases,
        or its expression cannot be compiled."""
        raise NotImplementedError

    def activate(self, url: str) -> None:
        """Raises KeyError when there is no such custom parameter."""
        raise NotImplementedError

    def remove(self, url: str) -> bool:
        raise NotImplementedError

    def referencing(self, target: str) -> Sequence[tuple[str, SearchParameter]]:
        """(type, parameter) for every active reference parameter that may point to a `target` resource."""
        raise NotImplementedError


def search_parameter_of(resource: Mapping[str, Any], registry: Registry) -> SearchParameter:
    """A SearchParameter resource as a parameter to add. Raises Unprocessable with every problem found."""
    raise NotImplementedError


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The standard's parameters only. Shared: a server that takes custom parameters makes its own `Registry()`."""
    return Registry()
