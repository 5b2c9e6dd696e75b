"""Criteria instead of an id: what they match now, and the guard that makes the answer hold at commit. R4B 3.1.0.8.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fhir_server.interactions import criteria
from fhir_server.r4b.outcome import BadRequest, Issue, PreconditionFailed
from fhir_server.search.query import Everything, Query
from fhir_server.store.protocol import Guard, Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.interactions.values import Parameters
    from fhir_server.security.caller import Caller


@dataclass(frozen=True, slots=True)
class Found:
    """The current matches of a query (never more than were asked for)."""

    query: Query
    matches: Sequence[Version]

    def guard(self) -> Guard:
        """Valid when `matches` is all there is."""
        return Guard(self.query, frozenset((match.type, match.id) for match in self.matches))


def parameters_of(text: str, where: str) -> Parameters:
    """A query string, with or without a leading ``?`` or ``Type?``, as parameters. BadRequest when it is empty."""
    head, mark, tail = text.partition("?")
    query = tail if mark and "=" not in head else text
    try:
        parameters = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError:
        raise BadRequest(f"{where} is not a query string in UTF-8.", code="value") from None
    if not parameters:
        raise BadRequest(f"{where} must hold search parameters, such as identifier=system|value.", code="value")
    return parameters


def require_criteria(parameters: Parameters) -> None:
    """Raises PreconditionFailed when there is nothing to select by: that would mean every resource of the type."""
    if not any(value and name not in ("_count", "_format", "_pretty") for name, value in parameters):
        raise PreconditionFailed(
            "This interaction needs search parameters that select the resource, such as identifier=system|value.",
            code="incomplete",
        )


async def query_of(hub: Hub, caller: Caller, type: str, parameters: Parameters) -> Query:
    """The criteria as a query. A parameter that would be ignored is BadRequest, because it would match too much."""
    caller.require(type, "s")
    require_criteria(parameters)
    parsed = await criteria.parse(hub, caller, (type,), parameters)
    if parsed.unknown:
        raise BadRequest(
            issues=[Issue("error", "not-supported", f"{name}: {why}", name) for name, why in parsed.unknown]
        )
    if isinstance(parsed.query.where, Everything):
        raise PreconditionFailed("These parameters select nothing in particular; name some.", code="incomplete")
    where = criteria.restricted(caller, type, parsed.query.where)
    return Query((type,), where)


async def resolve(hub: Hub, caller: Caller, type: str, parameters: Parameters, *, limit: int = 2) -> Found:
    """What the criteria match now, at most `limit` resources."""
    query = await query_of(hub, caller, type, parameters)
    page = await hub.run(query, limit=limit)
    return Found(query, page.matches)
