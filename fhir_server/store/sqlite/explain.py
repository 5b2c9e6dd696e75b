"""How a search is answered, for people: the statements of its first page, the engine's plan, and what they cost."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.search.query import Query
from fhir_server.store.sqlite import sorting
from fhir_server.store.sqlite.search import BODY, Ask, Search

#: Steps of the engine's virtual machine between two counts.
_TICK: Final = 10
_INDEX: Final = re.compile(r"USING (?:COVERING )?INDEX (\w+)|USING (?:INTEGER )?(PRIMARY KEY)")


def explain(search: Search, query: Query, limit: int, tick: Callable[[], int] | None = None) -> Mapping[str, Any]:
    """``{"engine", "statements": [{"type", "strategy", "sql", "arguments", "plan": [lines], "indexes", "rows", "steps",
    "milliseconds"}]}``; rows: that it gives for the first page; steps: of the engine's virtual machine, some
    ten for each row that it touches. tick: called now and then while a statement runs; not 0 ends it (raises
    sqlite3.OperationalError).
    """
    statements = []
    for type in search.types(query):
        ask = Ask(type, query.where, sorting.used(query.sort), limit + 1, None, None, False, BODY)
        for statement in search.statements(ask):
            text, args = statement.sql
            lines = _plan(search.connection, text, (*args, limit + 1))
            statements.append(
                {
                    "type": type,
                    "strategy": statement.strategy,
                    "sql": text,
                    "arguments": list(args),
                    "plan": lines,
                    "indexes": sorted({one or two for line in lines for one, two in _INDEX.findall(line)}),
                    **_cost(search.connection, text, (*args, limit + 1), tick),
                }
            )
    return {"engine": "sqlite", "statements": statements}


def _plan(connection: sqlite3.Connection, text: str, args: tuple[Any, ...]) -> list[str]:
    depth = {0: -1}
    lines = []
    for node, parent, _, detail in connection.execute(f"EXPLAIN QUERY PLAN {text}", args).fetchall():
        depth[node] = depth.get(parent, -1) + 1
        lines.append("  " * depth[node] + detail)
    return lines


def _cost(
    connection: sqlite3.Connection, text: str, args: tuple[Any, ...], tick: Callable[[], int] | None
) -> dict[str, Any]:
    if tick is None:
        return {}
    ticks = 0

    def count() -> int:
        nonlocal ticks
        ticks += 1
        return tick()

    connection.set_progress_handler(count, _TICK)
    started = time.perf_counter()
    rows = sum(1 for _ in connection.execute(text, args))
    spent = (time.perf_counter() - started) * 1000
    return {"rows": rows, "steps": ticks * _TICK, "milliseconds": round(spent, 3)}
