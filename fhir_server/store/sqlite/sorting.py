"""Sort keys, and the keyset condition that says where a page starts. R4B 3.1.1.5.1 (_sort)."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import cmp_to_key
from typing import Any, Final, NamedTuple

from fhir_server.search.entries import CANONICAL_UCUM
from fhir_server.search.query import Sort
from fhir_server.store.protocol import Cursor
from fhir_server.store.sqlite.fragments import Sql
from fhir_server.store.sqlite.names import Names

_COLUMNS: Final = {"token": "code", "string": "folded", "date": "lo", "number": "lo", "quantity": "lo"}
_TIES: Final = {"token": ("sid", "el"), "string": ("original", "el"), "date": ("hi", "el"), "number": ("hi", "el")}


class Key(NamedTuple):
    """value: SQL (without arguments) for one resource's value, NULL when it has none."""

    value: str
    descending: bool


class Walk(NamedTuple):
    """The index of the first key, in order, each resource at its least (greatest) value only."""

    source: str
    rid: str
    value: str
    where: str
    missing: str
    """Condition with ``{rid}``: the resource has no value. '' when every resource has one."""


def used(sort: Sequence[Sort]) -> tuple[Sort, ...]:
    """Without _score, which this store does not rank by, and what follows a key that is unique."""
    kept = []
    for key in sort:
        if key.kind != "score":
            kept.append(key)
        if key.kind == "id" and not key.via:
            break
    return tuple(kept)


def key(connection: sqlite3.Connection, names: Names, sort: Sort, type: str, resource: str, name: str) -> Key:
    """The sort key of the resource with alias `resource`; name: an alias to use."""
    return Key(_value(connection, names, sort, type, resource, name), sort.descending)


def _value(connection: sqlite3.Connection, names: Names, sort: Sort, type: str, resource: str, k: str) -> str:
    if sort.via:
        return _chained(connection, names, sort, type, resource, k)
    if sort.kind == "last_updated":
        return f"{resource}.last_updated"
    if sort.kind == "id":
        return f"{resource}.id"
    pid = names.pid(connection, type, sort.param)
    if pid is None:
        return "NULL"
    pick = "max" if sort.descending else "min"
    mine = f"{k}.rid = {resource}.rid AND {k}.pid = {pid}"
    if sort.kind == "reference":
        return (
            f"(SELECT {pick}(CASE WHEN {k}t.tid = 0 THEN {k}r.id ELSE {k}t.name || '/' || {k}r.id END) "
            f"FROM ref {k} INDEXED BY ref_rid CROSS JOIN resource {k}r ON {k}r.rid = {k}.target "
            f"CROSS JOIN type {k}t ON {k}t.tid = {k}r.tid WHERE {mine})"
        )
    if sort.kind == "uri":
        return (
            f"(SELECT {pick}({k}s.uri) FROM uri {k} INDEXED BY uri_rid "
            f"CROSS JOIN system {k}s ON {k}s.sid = {k}.sid WHERE {mine})"
        )
    table, column = sort.kind, _COLUMNS[sort.kind]
    only = ""
    if sort.kind == "token":
        only = f" AND {k}.code <> ''"
    elif sort.kind == "quantity":
        only = f" AND {k}.sid IS NOT (SELECT sid FROM system WHERE uri = '{CANONICAL_UCUM}')"
    return f"(SELECT {pick}({k}.{column}) FROM {table} {k} INDEXED BY {table}_rid WHERE {mine}{only})"


def _chained(connection: sqlite3.Connection, names: Names, sort: Sort, type: str, resource: str, k: str) -> str:
    """The value of what the first reference of `via` leads to."""
    (param, targets), *rest = sort.via
    pid = names.pid(connection, type, param)
    if pid is None:
        return "NULL"
    inner = replace(sort, via=tuple(rest))
    cases = []
    for target in targets:
        tid = names.tid(connection, target)
        if tid is not None:
            cases.append(f"WHEN {tid} THEN {_value(connection, names, inner, target, f'{k}r', f'{k}n')}")
    if not cases:
        return "NULL"
    pick = "max" if sort.descending else "min"
    return (
        f"(SELECT {pick}(CASE {k}r.tid {' '.join(cases)} END) FROM ref {k} INDEXED BY ref_rid "
        f"CROSS JOIN resource {k}r ON {k}r.rid = {k}.target AND {k}r.live = 1 "
        f"WHERE {k}.rid = {resource}.rid AND {k}.pid = {pid})"
    )


def walk(connection: sqlite3.Connection, names: Names, sort: Sort, type: str) -> Walk | None:
    """None when no index has the values in their order."""
    tid = names.tid(connection, type)
    if tid is None:
        return None
    if sort.via:
        return None
    of_type = f"k.tid = {tid} AND k.live = 1"
    if sort.kind == "last_updated":
        return Walk("resource k INDEXED BY resource_updated", "k.rid", "k.last_updated", of_type, "")
    if sort.kind == "id":
        return Walk("resource k INDEXED BY sqlite_autoindex_resource_1", "k.rid", "k.id", of_type, "")
    pid = names.pid(connection, type, sort.param)
    if pid is None or sort.kind not in _TIES:
        return None
    only = ""
    where = f"k.pid = {pid}"
    if sort.kind == "token":
        sids = connection.execute("SELECT sid FROM param_system WHERE pid = ? LIMIT 2", (pid,)).fetchall()
        if len(sids) != 1:
            return None
        only = " AND {0}.code <> ''"
        where += f" AND k.sid = {sids[0][0]}" + only.format("k")
    table, column = sort.kind, _COLUMNS[sort.kind]
    tie, el = _TIES[table]
    earlier = ">" if sort.descending else "<"
    where += (
        f" AND NOT EXISTS (SELECT 1 FROM {table} y INDEXED BY {table}_rid WHERE y.rid = k.rid AND y.pid = {pid}"
        f"{only.format('y')} AND (y.{column} {earlier} k.{column} OR (y.{column} = k.{column} "
        f"AND (y.{tie}, y.{el}) < (k.{tie}, k.{el}))))"
    )
    missing = (
        f"NOT EXISTS (SELECT 1 FROM {table} y INDEXED BY {table}_rid WHERE y.rid = {{rid}} AND y.pid = {pid}"
        f"{only.format('y')})"
    )
    return Walk(f"{table} k NOT INDEXED", "k.rid", f"k.{column}", where, missing)


def beyond(columns: Sequence[tuple[str, bool]], rid: str, cursor: Cursor, backwards: bool) -> Sql:
    """Strictly after the cursor in the order of (columns: (SQL name, descending), rid), or strictly before it."""
    if not columns:
        return Sql(f"{rid} {'<' if backwards else '>'} ?", (cursor[-1],))
    (column, descending), value = columns[0], cursor[0]
    rest = beyond(columns[1:], rid, cursor[1:], backwards)
    if value is None:
        if backwards:
            return Sql(f"({column} IS NOT NULL OR {rest.text})", rest.args)
        return Sql(f"({column} IS NULL AND {rest.text})", rest.args)
    further = "<" if descending != backwards else ">"
    absent = "" if backwards else f"{column} IS NULL OR "
    return Sql(
        f"({absent}{column} {further} ? OR ({column} = ? AND {rest.text}))",
        (value, value, *rest.args),
    )


def order(columns: Sequence[tuple[str, bool]], rid: str, backwards: bool) -> str:
    parts = [
        f"{column} {'DESC' if descending != backwards else 'ASC'} NULLS {'FIRST' if backwards else 'LAST'}"
        for column, descending in columns
    ]
    return ", ".join((*parts, f"{rid} DESC" if backwards else rid))


def in_order(rows: list[tuple[Cursor, Any]], descending: Sequence[bool], backwards: bool) -> None:
    """Sorts (cursor, row) pairs of several types as one type's statement would."""

    def compare(left: tuple[Cursor, Any], right: tuple[Cursor, Any]) -> int:
        for one, other, down in zip(left[0], right[0], (*descending, False), strict=True):
            if one == other:
                continue
            if one is None or other is None:
                return 1 if one is None else -1
            return (1 if one > other else -1) * (-1 if down else 1)
        return 0

    rows.sort(key=cmp_to_key(compare), reverse=backwards)
