"""The request at hand, as its log line and the metrics will tell it: filled in by whoever learns something of it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final


class InFlight:
    """key_id: the key it came with. interaction and type: what FHIR calls it; '' on paths that are not FHIR's.
    status: of the answer, 0 before there is one."""

    __slots__ = ("interaction", "key_id", "status", "type")

    def __init__(self) -> None:
        self.key_id = ""
        self.interaction = ""
        self.type = ""
        self.status = 0


in_flight: ContextVar[InFlight | None] = ContextVar("in_flight", default=None)

_TEMPLATES: Final = {
    "read": "/{id}",
    "vread": "/{id}/_history/{version}",
    "update": "/{id}",
    "patch": "/{id}",
    "delete": "/{id}",
    "create": "",
    "conditional-update": "",
    "conditional-patch": "",
    "conditional-delete": "",
    "search": "",
}


def fhir_route(interaction: str, type: str) -> str:
    """The address of a FHIR interaction without its values, e.g. ``/fhir/Patient/{id}``, for logs."""
    base = f"/fhir/{type}" if type else "/fhir"
    if interaction in ("metadata", "capabilities"):
        return "/fhir/metadata"
    if interaction.startswith("$"):
        return f"{base}/{interaction}"
    return base + _TEMPLATES.get(interaction, f" ({interaction})" if interaction else "")
