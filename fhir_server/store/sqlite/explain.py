"""How a search is answered, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.search.query import Query
from fhir_server.store.sqlite import sorting
from fhir_server.store.sqlite.search import BODY, Ask, Search


def explain(search: Search, query: Query, limit: int) -> Mapping[str, Any]:
    """``{"engine", "statements": [{"type", "strategy", "sql", "arguments", "plan": [lines]}]}``"""
    statements = []
    for type in search.types(query):
        ask = Ask(type, query.where, sorting.used(query.sort), limit + 1, None, None, False, BODY)
        for statement in search.statements(ask):
            text, args = statement.sql
            rows = search.connection.execute(f"EXPLAIN QUERY PLAN {text}", (*args, limit + 1)).fetchall()
            depth = {0: -1}
            lines = []
            for node, parent, _, detail in rows:
                depth[node] = depth.get(parent, -1) + 1
                lines.append("  " * depth[node] + detail)
            statements.append(
                {"type": type, "strategy": statement.strategy, "sql": text, "arguments": list(args), "plan": lines}
            )
    return {"engine": "sqlite", "statements": statements}
