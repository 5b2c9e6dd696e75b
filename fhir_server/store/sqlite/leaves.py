"""Single criteria as SQL: how each finds its resources through the clustered index (arms), and how it is tested on a
resource that is at hand (conditions). R4B 3.1.1.4."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from fhir_server.search.entries import CANONICAL_UCUM
from fhir_server.search.fold import fold
from fhir_server.search.query import Date, Missing, Number, Quantity, Reference, String, Token, TokenIn, Uri
from fhir_server.store.sqlite.fragments import FALSE, TRUE, Arm, Sql, all_of, any_of
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.schema import DAY


class ReferenceIn(NamedTuple):
    """Any of many references, already resolved to identities."""

    param: str
    rids: tuple[int, ...]


Leaf = Token | TokenIn | String | Date | Number | Quantity | Reference | ReferenceIn | Uri | Missing

_TABLES: Final = {
    Token: "token",
    TokenIn: "token",
    String: "string",
    Date: "date",
    Number: "number",
    Quantity: "quantity",
    Reference: "ref",
    ReferenceIn: "ref",
    Uri: "uri",
}
_STREAMS: Final = 4
"""A code without a system is looked up under each system of its parameter: one ordered stream each, up to so many."""


def table_of(leaf: Leaf) -> str:
    if isinstance(leaf, Missing):
        return "ref" if leaf.kind == "reference" else leaf.kind
    return _TABLES[type(leaf)]


def arms_of(connection: sqlite3.Connection, names: Names, leaf: Leaf, pid: int, alias: str) -> list[Arm]:
    """Together they give every resource that matches (Missing: that has a value)."""
    table = table_of(leaf)

    def arm(condition: Sql, *, ordered: bool = False, unique: bool = False, index: str = "NOT INDEXED") -> Arm:
        where = all_of((Sql(f"{alias}.pid = {pid}"), condition))
        return Arm(Sql(f"{table} {alias} {index}"), f"{alias}.rid", where, f"{alias}.el", ordered, unique)

    if isinstance(leaf, Token):
        return _token_arms(connection, names, leaf, pid, alias, arm)
    if isinstance(leaf, TokenIn):
        pairs = _pairs(connection, names, leaf)
        source = Sql(f"json_each(?) {alias}j CROSS JOIN token {alias} NOT INDEXED", (pairs,))
        where = Sql(
            f"{alias}.pid = {pid} AND {alias}.sid = json_extract({alias}j.value, '$[0]') "
            f"AND {alias}.code = json_extract({alias}j.value, '$[1]')"
        )
        return [Arm(source, f"{alias}.rid", where, f"{alias}.el")]
    if isinstance(leaf, ReferenceIn):
        source = Sql(f"json_each(?) {alias}j CROSS JOIN ref {alias} NOT INDEXED", (json.dumps(leaf.rids),))
        where = Sql(f"{alias}.pid = {pid} AND {alias}.target = {alias}j.value")
        return [Arm(source, f"{alias}.rid", where, f"{alias}.el")]
    if isinstance(leaf, Reference):
        return [
            arm(Sql(f"{alias}.target = ?", (rid,)), ordered=True, unique="$" not in leaf.param)
            for rid in targets(connection, names, leaf)
        ]
    if isinstance(leaf, Uri) and leaf.match == "exact":
        version = TRUE if leaf.version is None else Sql(f"{alias}.version = ?", (leaf.version,))
        sid = Sql(f"{alias}.sid = (SELECT sid FROM system WHERE uri = ?)", (leaf.value,))
        return [arm(all_of((sid, version)), ordered=True, unique=leaf.version is not None and "$" not in leaf.param)]
    if isinstance(leaf, String) and leaf.match == "exact":
        return [arm(condition(connection, names, leaf, pid, alias), ordered=True, unique="$" not in leaf.param)]
    if isinstance(leaf, Date):
        return [arm(narrow) for narrow in _date_narrow(leaf, alias)] + [
            arm(wide, index="INDEXED BY date_wide") for wide in _date_wide(leaf, alias)
        ]
    if isinstance(leaf, Number):
        return [arm(narrow) for narrow in _number_narrow(leaf, alias)] + [
            arm(wide, index="INDEXED BY number_wide") for wide in _number_wide(leaf, alias)
        ]
    if isinstance(leaf, Quantity):
        return _quantity_arms(leaf, pid, alias)
    return [arm(condition(connection, names, leaf, pid, alias))]


def condition(connection: sqlite3.Connection, names: Names, leaf: Leaf, pid: int, alias: str) -> Sql:
    """What a row of the leaf's table must satisfy (beside pid)."""
    a = alias
    if isinstance(leaf, Token):
        system = (
            TRUE if leaf.system is None else Sql(f"{a}.sid = (SELECT sid FROM system WHERE uri = ?)", (leaf.system,))
        )
        code = TRUE if leaf.code is None else Sql(f"{a}.code = ?", (leaf.code,))
        return all_of((system, code))
    if isinstance(leaf, TokenIn):
        return Sql(
            f"({a}.sid, {a}.code) IN "
            "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))",
            (_pairs(connection, names, leaf),),
        )
    if isinstance(leaf, String):
        return _string(leaf, a)
    if isinstance(leaf, Date):
        return _date(leaf, a)
    if isinstance(leaf, Number):
        return _number(leaf, a)
    if isinstance(leaf, Quantity):
        return all_of((_unit(leaf, a), _number(leaf, a)))
    if isinstance(leaf, Reference):
        found = targets(connection, names, leaf)
        return any_of([Sql(f"{a}.target = ?", (rid,)) for rid in found])
    if isinstance(leaf, ReferenceIn):
        return Sql(f"{a}.target IN (SELECT value FROM json_each(?))", (json.dumps(leaf.rids),))
    if isinstance(leaf, Uri):
        return _uri(leaf, a)
    return TRUE


def targets(connection: sqlite3.Connection, names: Names, leaf: Reference) -> list[int]:
    """The identities that a reference criterion can mean."""
    if leaf.type is not None:
        tid = names.tid(connection, leaf.type)
        rows = connection.execute("SELECT rid FROM resource WHERE tid = ? AND id = ?", (tid, leaf.id))
    else:
        rows = connection.execute(
            "SELECT r.rid FROM type t CROSS JOIN resource r ON r.tid = t.tid AND r.id = ? WHERE t.tid > 0", (leaf.id,)
        )
    return [row[0] for row in rows]


def _pairs(connection: sqlite3.Connection, names: Names, leaf: TokenIn) -> str:
    known = ((names.sid(connection, system), code) for system, code in sorted(leaf.pairs))
    return json.dumps([(sid, code) for sid, code in known if sid is not None])


def _token_arms(
    connection: sqlite3.Connection, names: Names, leaf: Token, pid: int, alias: str, arm: object
) -> list[Arm]:
    assert callable(arm)
    single = "$" not in leaf.param
    if leaf.system is not None:
        sid = names.sid(connection, leaf.system)
        if sid is None:
            return []
        if leaf.code is None:
            return [arm(Sql(f"{alias}.sid = {sid}"))]
        return [arm(Sql(f"{alias}.sid = {sid} AND {alias}.code = ?", (leaf.code,)), ordered=True, unique=single)]
    if leaf.code is None:
        return [arm(TRUE)]
    sids = [row[0] for row in connection.execute("SELECT sid FROM param_system WHERE pid = ?", (pid,))]
    if len(sids) <= _STREAMS:
        return [
            arm(Sql(f"{alias}.sid = {sid} AND {alias}.code = ?", (leaf.code,)), ordered=True, unique=single)
            for sid in sids
        ]
    source = Sql(f"param_system {alias}s CROSS JOIN token {alias} NOT INDEXED")
    where = Sql(
        f"{alias}s.pid = {pid} AND {alias}.pid = {pid} AND {alias}.sid = {alias}s.sid AND {alias}.code = ?",
        (leaf.code,),
    )
    return [Arm(source, f"{alias}.rid", where, f"{alias}.el")]


def _string(leaf: String, a: str) -> Sql:
    if leaf.match == "starts":
        if not leaf.value:
            return TRUE
        return Sql(f"{a}.folded >= ? AND {a}.folded < ?", (leaf.value, leaf.value + "\U0010ffff"))
    if leaf.match == "contains":
        return Sql(f"instr({a}.folded, ?) > 0", (leaf.value,))
    if leaf.match == "equals":
        return Sql(f"{a}.folded = ?", (leaf.value,))
    if leaf.match == "ends":
        return Sql(f"substr({a}.folded, -length(?)) = ?", (leaf.value, leaf.value)) if leaf.value else TRUE
    return Sql(f"{a}.folded = ? AND {a}.original = ?", (fold(leaf.value), leaf.value))


def _date(leaf: Date, a: str) -> Sql:
    lo, hi = leaf.lo, leaf.hi
    match leaf.comparison:
        case "eq":
            return Sql(f"{a}.lo BETWEEN ? AND ? AND {a}.hi <= ?", (lo, hi, hi))
        case "ne":
            return Sql(f"({a}.lo < ? OR {a}.hi > ?)", (lo, hi))
        case "gt":
            return Sql(f"{a}.hi > ?", (hi,))
        case "lt":
            return Sql(f"{a}.lo < ?", (lo,))
        case "ge":
            return Sql(f"({a}.hi > ? OR {a}.lo >= ?)", (hi, lo))
        case "le":
            return Sql(f"({a}.lo < ? OR {a}.hi <= ?)", (lo, hi))
        case "sa":
            return Sql(f"{a}.lo > ?", (hi,))
        case "eb":
            return Sql(f"{a}.hi < ?", (lo,))
        case "ap":
            return Sql(f"{a}.lo <= ? AND {a}.hi >= ?", (hi, lo))


def _date_narrow(leaf: Date, a: str) -> list[Sql]:
    """For what spans at most a day (or, where the start decides, for all)."""
    lo, hi = leaf.lo, leaf.hi
    test = _date(leaf, a)
    narrow = Sql(f"{a}.hi - {a}.lo <= {DAY}")
    match leaf.comparison:
        case "gt":
            return [all_of((Sql(f"{a}.lo > ?", (hi - DAY,)), test, narrow))]
        case "ge":
            return [all_of((Sql(f"{a}.lo >= ?", (min(lo, hi - DAY),)), test, narrow))]
        case "le":
            return [all_of((Sql(f"{a}.lo <= ?", (hi,)), test))]
        case "eb":
            return [all_of((Sql(f"{a}.lo < ?", (lo,)), test))]
        case "ap":
            return [all_of((Sql(f"{a}.lo >= ?", (lo - DAY,)), test, narrow))]
        case _:
            return [test]


def _date_wide(leaf: Date, a: str) -> list[Sql]:
    wide = Sql(f"{a}.hi - {a}.lo > {DAY}")
    if leaf.comparison in ("gt", "ap"):
        return [all_of((wide, _date(leaf, a)))]
    if leaf.comparison == "ge":
        return [all_of((wide, Sql(f"{a}.hi >= ?", (leaf.lo,)), _date(leaf, a)))]
    return []


def _number(leaf: Number | Quantity, a: str) -> Sql:
    """hi is '' where it equals lo, which is less than any number."""
    lo, hi = leaf.lo, leaf.hi
    match leaf.comparison:
        case "eq":
            return Sql(f"{a}.lo >= ? AND {a}.lo < ? AND {a}.hi < ?", (lo, hi, hi))
        case "ne":
            return Sql(f"({a}.lo < ? OR {a}.lo >= ? OR {a}.hi >= ?)", (lo, hi, hi))
        case "gt":
            return Sql(f"({a}.lo > ? OR {a}.hi > ?)", (lo, lo))
        case "lt":
            return Sql(f"{a}.lo < ?", (lo,))
        case "ge":
            return Sql(f"({a}.lo >= ? OR {a}.hi >= ?)", (lo, lo))
        case "le":
            return Sql(f"{a}.lo <= ?", (lo,))
        case "sa":
            return Sql(f"{a}.lo > ?", (lo,))
        case "eb":
            return Sql(f"{a}.lo < ? AND {a}.hi < ?", (lo, lo))
        case "ap":
            return Sql(f"{a}.lo < ? AND ({a}.lo >= ? OR {a}.hi >= ?)", (hi, lo, lo))


def _number_narrow(leaf: Number | Quantity, a: str) -> list[Sql]:
    single = f"{a}.hi = ''"
    match leaf.comparison:
        case "gt":
            return [Sql(f"{a}.lo > ? AND {single}", (leaf.lo,))]
        case "ge":
            return [Sql(f"{a}.lo >= ? AND {single}", (leaf.lo,))]
        case "ap":
            return [Sql(f"{a}.lo >= ? AND {a}.lo < ? AND {single}", (leaf.lo, leaf.hi))]
        case _:
            return [_number(leaf, a)]


def _number_wide(leaf: Number | Quantity, a: str) -> list[Sql]:
    match leaf.comparison:
        case "gt":
            return [Sql(f"{a}.hi <> '' AND {a}.hi > ?", (leaf.lo,))]
        case "ge":
            return [Sql(f"{a}.hi <> '' AND {a}.hi >= ?", (leaf.lo,))]
        case "ap":
            return [Sql(f"{a}.hi <> '' AND {a}.hi >= ? AND {a}.lo < ?", (leaf.lo, leaf.hi))]
        case _:
            return []


_CANONICAL: Final = "(SELECT sid FROM system WHERE uri = ?)"


def _unit(leaf: Quantity, a: str) -> Sql:
    if leaf.system is None:
        # The canonical twin holds the same value again, in another unit.
        system = Sql(f"{a}.sid IS NOT {_CANONICAL}", (CANONICAL_UCUM,))
    else:
        system = Sql(f"{a}.sid = {_CANONICAL}", (leaf.system,))
    return all_of((system, TRUE if leaf.code is None else Sql(f"{a}.code = ?", (leaf.code,))))


def _quantity_arms(leaf: Quantity, pid: int, alias: str) -> list[Arm]:
    """The few units that occur under a parameter lead to the ranges, so that no index by value alone is needed."""
    arms = []
    for index, conditions in (
        ("NOT INDEXED", _number_narrow(leaf, alias)),
        ("INDEXED BY quantity_wide", _number_wide(leaf, alias)),
    ):
        for test in conditions:
            source = Sql(f"param_unit {alias}u CROSS JOIN quantity {alias} {index}")
            where = all_of(
                (
                    Sql(f"{alias}u.pid = {pid}"),
                    _unit(leaf, f"{alias}u"),
                    Sql(f"{alias}.pid = {pid} AND {alias}.sid = {alias}u.sid AND {alias}.code = {alias}u.code"),
                    test,
                )
            )
            arms.append(Arm(source, f"{alias}.rid", where, f"{alias}.el"))
    return arms


def _uri(leaf: Uri, a: str) -> Sql:
    version = TRUE if leaf.version is None else Sql(f"{a}.version = ?", (leaf.version,))
    if leaf.match == "below":
        prefix = leaf.value if leaf.value.endswith("/") else leaf.value + "/"
        known = Sql(
            f"{a}.sid IN (SELECT sid FROM system WHERE uri = ? UNION ALL "
            "SELECT sid FROM system WHERE uri >= ? AND uri < ?)",
            (leaf.value, prefix, prefix + "\U0010ffff"),
        )
    elif leaf.match == "above":
        known = Sql(
            f"{a}.sid IN (SELECT s.sid FROM json_each(?) j CROSS JOIN system s ON s.uri = j.value)",
            (json.dumps(above(leaf.value)),),
        )
    else:
        known = Sql(f"{a}.sid = {_CANONICAL}", (leaf.value,))
    return all_of((known, version))


def above(uri: str) -> Sequence[str]:
    """The uri itself and every shorter path that leads to it, with and without the slash at its end."""
    start = uri.find("://")
    start = start + 3 if start >= 0 else 0
    found = [uri]
    for position, char in enumerate(uri):
        if char == "/" and position >= start:
            found += [uri[:position], uri[: position + 1]]
    return [text for text in dict.fromkeys(found) if text]


__all__ = ["FALSE", "Leaf", "ReferenceIn", "above", "arms_of", "condition", "table_of", "targets"]
