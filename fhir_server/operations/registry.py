"""The operations this server has, each declared beside its code. R4B 3.2 (operations).

REST routes ``$name`` through `find`, and the CapabilityStatement lists `operations()`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fhir_server.interactions.values import Parameters
from fhir_server.r4b.outcome import Issue, NotFound

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

Level = Literal["system", "type", "instance"]


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """An operation as it was asked for. type and id: '' on the levels that have none. parameters: those of the URL.

    body: the request's body, JSON, b'' when there is none (or GET). strict: Prefer: handling=strict. language: the
    header Accept-Language, '' when there is none.
    """

    type: str = ""
    id: str = ""
    parameters: Parameters = ()
    body: bytes = b""
    strict: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class OperationResult:
    """body: one resource's JSON, or its chunks as they come. issues: warnings that are not in the body."""

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()


Handler = Callable[["Hub", "Caller", OperationRequest], Awaitable[OperationResult]]


@dataclass(frozen=True, slots=True)
class Operation:
    """name: without ``$``. types: resource types it works on at type and instance level, () for all. affects_state:
    True makes POST the only method. definition: canonical URL of the OperationDefinition."""

    name: str
    levels: tuple[Level, ...]
    types: tuple[str, ...]
    affects_state: bool
    handler: Handler
    definition: str
    documentation: str = ""


_REGISTERED: dict[str, list[Operation]] = {}


def register(operation: Operation) -> Operation:
    """Make an operation known. One name may be registered several times for different types."""
    _REGISTERED.setdefault(operation.name, []).append(operation)
    return operation


def load() -> None:
    """Import every module of this package, so that each registers what it has."""
    from fhir_server import operations as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def find(name: str, type: str = "", id: str = "") -> Operation | None:
    """The operation for ``[base]/$name``, ``[base]/type/$name`` or ``[base]/type/id/$name``, or None."""
    level: Level = "instance" if id else "type" if type else "system"
    for operation in _REGISTERED.get(name, ()):
        if level in operation.levels and (not type or not operation.types or type in operation.types):
            return operation
    return None


def operation_of(name: str, type: str = "", id: str = "") -> Operation:
    """As `find`; raises NotFound when there is none."""
    found = find(name, type, id)
    if found is None:
        where = "/".join(filter(None, (type, id))) or "the whole server"
        raise NotFound(f"There is no operation ${name[:64]} on {where}.", code="not-supported")
    return found


def operations() -> Sequence[Operation]:
    """Every registered operation, by name."""
    return tuple(operation for name in sorted(_REGISTERED) for operation in _REGISTERED[name])
