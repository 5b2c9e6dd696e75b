"""``$closure``: a client's table of which codes include which (R4B conceptmap-operation-closure).

A table belongs to the key that began it. It is kept as a record of the store, so that it outlives the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import Values, ask, bad, refused, values_in
from fhir_server.r4b.codec import encode, instant
from fhir_server.r4b.outcome import Conflict
from fhir_server.security.caller import Caller
from fhir_server.store.protocol import VersionMismatch
from terminology.server.closure import EMPTY, Table, added, concept_map, since
from terminology.server.lookup import concept_of, system_of
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_KIND: Final = "closure"
_ROUNDS: Final = 5


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """name alone begins a table (anew); with concept: adds, and gives the new entries as a ConceptMap; with version:
    gives the entries after that version."""
    caller.require("ConceptMap", "r")
    values = values_in(request)
    try:
        return OperationResult(encode(await _answer(hub, caller, request, values)))
    except Refused as error:
        return refused(error)


async def _answer(hub: Hub, caller: Caller, request: OperationRequest, values: Values) -> dict[str, Any]:
    name, version = values.text("name"), values.text("version")
    codings = [_pair(one) for one in values.all("concept")]
    if not name:
        raise bad("$closure needs name.", "required")
    if version is not None and (codings or not version.isdecimal()):
        raise bad("version is a number that a table of this server had, and is given without concept.")
    id = f"{caller.key_id}/{name}"
    for _ in range(_ROUNDS):
        record = await hub.store.get_record(_KIND, id)
        revision = record.revision if record is not None else 0
        table: Table = record.data if record is not None else EMPTY
        before = int(version) if version is not None else table["version"]
        if version is None and not codings:
            table, before = EMPTY, 0
        elif record is None:
            text = f"There is no closure table '{name}'; begin it by $closure with its name alone."
            raise Refused(Problem("error", "not-found", text), status=404)
        elif codings:
            table = await _with(hub, request, values, table, codings)
        elif before > table["version"]:
            raise bad(f"The table '{name}' is at version {table['version']}.")
        if record is None or table is not record.data:
            try:
                await hub.store.put_record(_KIND, id, dict(table), expect=revision)
            except VersionMismatch:
                continue
        return concept_map(name, table["version"], since(table, before), instant(hub.now()))
    raise Conflict("The closure table is being changed by others; try again.", headers={"Retry-After": "1"})


async def _with(
    hub: Hub, request: OperationRequest, values: Values, table: Table, codings: list[tuple[str, str]]
) -> Table:
    def work(session: Session) -> Table:
        for system, code in codings:
            concept_of(system_of(session, system, None), code)
        return added(table, codings, lambda system, code: system_of(session, system, None).ancestors(code))

    return await ask(hub, request, values, work)


def _pair(coding: Any) -> tuple[str, str]:
    if not isinstance(coding, dict) or not coding.get("system") or not coding.get("code"):
        raise bad("A concept is a Coding with system and code.")
    return coding["system"], coding["code"]


register(
    Operation(
        name="closure",
        levels=("system",),
        types=(),
        affects_state=True,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/ConceptMap-closure",
        documentation="A table of which codes include which, kept up to date for a client.",
    )
)
