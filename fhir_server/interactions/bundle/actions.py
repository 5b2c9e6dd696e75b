"""What each entry of a Bundle asks for, and in which order it is done. R4B 3.1.0.11.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fhir_server.interactions.bundle import address
from fhir_server.interactions.bundle.address import Address
from fhir_server.interactions.bundle.reading import located
from fhir_server.interactions.values import BundleEntry, EntryResult
from fhir_server.r4b.outcome import BadRequest, FhirError, Issue

if TYPE_CHECKING:
    from fhir_server.interactions.prepare import Prepared
    from fhir_server.store.protocol import Guard, Version

#: Order of processing: DELETE, POST, PUT and PATCH, then reads.
_ORDER: Final = {
    "delete": 0,
    "conditional-delete": 0,
    "create": 1,
    "update": 2,
    "patch": 2,
    "conditional-update": 2,
    "conditional-patch": 2,
}
_NEEDS_RESOURCE: Final = frozenset(("create", "update", "conditional-update", "patch", "conditional-patch"))
_WRITES: Final = frozenset(_ORDER)


@dataclass(slots=True)
class Action:
    """One entry on its way. id: of the resource written, once known. existing: its current version. settled: the
    answer is known and nothing is to be written. deletes: the versions a delete removes."""

    index: int
    entry: BundleEntry
    address: Address
    id: str = ""
    existing: Version | None = None
    expect: int | None = None
    guards: list[Guard] = field(default_factory=list)
    ready: Prepared | None = None
    settled: EntryResult | None = None
    deletes: Sequence[Version] = ()

    @property
    def interaction(self) -> str:
        return self.address.interaction

    @property
    def type(self) -> str:
        return self.address.type

    @property
    def order(self) -> int:
        return _ORDER.get(self.address.interaction, 3)

    @property
    def writes(self) -> bool:
        return self.address.interaction in _WRITES

    @property
    def puts(self) -> bool:
        """Whether a resource stands at the end of it."""
        return self.address.interaction in _NEEDS_RESOURCE


def action_of(index: int, entry: BundleEntry, base_urls: Sequence[str]) -> Action:
    """Raises BadRequest, located in the Bundle."""
    try:
        where = address.parse(entry.method, entry.url, base_urls)
    except FhirError as error:
        raise located(error, index) from None
    if where.interaction in _NEEDS_RESOURCE and entry.resource is None:
        issue = Issue("error", "required", f"{entry.method} needs a resource.", f"Bundle.entry[{index}].resource")
        raise BadRequest(issues=[issue])
    if entry.if_none_exist and where.interaction != "create":
        text = "ifNoneExist goes with POST only."
        raise BadRequest(issues=[Issue("error", "invalid", text, f"Bundle.entry[{index}].request.ifNoneExist")])
    return Action(index, entry, where)
