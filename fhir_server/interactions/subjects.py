"""Callers that may see one patient only: what is inside that patient's compartment. R4B 2.36 (compartments)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions import compartments
from fhir_server.r4b.outcome import Forbidden
from fhir_server.search.entries import Entries
from fhir_server.search.extract import extract_bytes
from fhir_server.search.query import Node
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


def patient_of(caller: Caller) -> str:
    """The id of the patient a caller is bound to (`caller.subject` is ``Patient/1`` or ``1``)."""
    type, _, id = (caller.subject or "").rpartition("/")
    if type not in ("", "Patient") or not id:
        raise Forbidden("This key is bound to something that is not a patient.")
    return id


def refuse(caller: Caller, what: str) -> None:
    """Raises Forbidden when the caller is bound to a patient and `what` cannot be kept inside a compartment."""
    if caller.subject is not None:
        raise Forbidden(f"This key sees one patient only; {what} is not open to it.")


def criteria(caller: Caller, type: str) -> Node:
    """What every search on `type` by this caller must also satisfy."""
    node = compartments.criteria("Patient", patient_of(caller), type)
    if node is None:
        raise Forbidden(f"This key sees one patient only; {type} is in no patient's compartment.")
    return node


def inside(caller: Caller, type: str, id: str, entries: Entries) -> bool:
    """Whether a resource with these index entries belongs to the caller's patient."""
    patient = patient_of(caller)
    if type == "Patient" and id == patient:
        return True
    params = compartments.parameters("Patient", type)
    return any(entry[0] in params and entry[1:3] == ("Patient", patient) for entry in entries.references)


def holds(hub: Hub, caller: Caller, version: Version) -> bool:
    if version.body is None:
        return version.type == "Patient" and version.id == patient_of(caller)
    if version.type not in compartments.members("Patient"):
        return False
    entries = extract_bytes(version.type, version.body, base_urls=hub.base_urls, registry=hub.registry)
    return inside(caller, version.type, version.id, entries)


def require_inside(hub: Hub, caller: Caller, version: Version) -> None:
    """Raises Forbidden unless the caller may see this version."""
    if caller.subject is not None and not holds(hub, caller, version):
        raise Forbidden(f"This key sees one patient only; {version.type}/{version.id} is not in that compartment.")


def require_own(caller: Caller, type: str, id: str, entries: Entries) -> None:
    """Raises Forbidden unless the caller may write this."""
    if caller.subject is not None and not inside(caller, type, id, entries):
        raise Forbidden(f"This key may only write what belongs to {caller.subject}.")
