"""Criteria as conditions on one resource that is at hand: each is asked through the resource's own index rows."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.search.contained import marker, on_contained
from fhir_server.search.query import (
    And,
    Chain,
    Composite,
    Everything,
    Has,
    Id,
    LastUpdated,
    Missing,
    Node,
    Not,
    Nothing,
    Or,
    Reference,
    Text,
    Token,
    TokenIn,
)
from fhir_server.store.protocol import NotIndexed, StoreError
from fhir_server.store.sqlite.fragments import FALSE, TRUE, Sql, all_of, any_of, exists, negated
from fhir_server.store.sqlite.leaves import Leaf, ReferenceIn, condition, table_of, targets
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.schema import FULL_TEXT_INCOMPLETE

Element = str
"""SQL for the element ordinal on which a composite's components must meet; '' for none."""

_MANY: Final = 8
"""From so many values of one parameter on, a list is looked up instead of a stream for each."""


class Conditions:
    """Compiles criteria for one connection; aliases are never given twice."""

    def __init__(self, connection: sqlite3.Connection, names: Names, *, full_text: bool) -> None:
        self.connection = connection
        self.names = names
        self.full_text = full_text
        self._aliases = 0

    def alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def test(self, node: Node | ReferenceIn, type: str, rid: str, el: Element = "") -> Sql:
        """A condition on the resource `rid`, which is a current one of this type."""
        match node:
            case Nothing():
                return FALSE
            case Everything():
                return TRUE
            case And(nodes):
                return all_of([self.test(child, type, rid, el) for child in nodes])
            case Or(nodes):
                return any_of([self.test(child, type, rid, el) for child in self.gathered(nodes)])
            case Not(child):
                return negated(self.test(child, type, rid, el))
            case Id(ids):
                a = self.alias()
                return Sql(
                    f"EXISTS (SELECT 1 FROM resource {a} WHERE {a}.rid = {rid} "
                    f"AND {a}.id IN (SELECT value FROM json_each(?)))",
                    (json.dumps(ids),),
                )
            case LastUpdated():
                return self._exists("resource", lambda a: all_of((Sql(f"{a}.rid = {rid}"), last_updated(node, a))))
            case Text():
                return self._exists("words", lambda a: all_of((self.text(node, a), Sql(f"{a}.rowid = {rid}"))))
            case Composite():
                return self._composite_test(node, type, rid)
            case Chain():
                return self._chain_test(node, type, rid)
            case Has():
                return self._has_test(node, rid)
            case Missing(_, _, True):
                return negated(self._leaf_test(node, type, rid, el, None))
            case _:
                return self._leaf_test(node, type, rid, el, None)

    def _exists(self, table: str, where: Callable[[str], Sql]) -> Sql:
        """table: its name and, after a space, which index to use."""
        a = self.alias()
        name, _, hint = table.partition(" ")
        return exists(f"{name} {a} {hint}", where(a))

    def _leaf_test(self, leaf: Leaf, type: str, rid: str, el: Element, also: Callable[[str], Sql] | None) -> Sql:
        pid = self.names.pid(self.connection, type, leaf.param)
        if pid is None:
            return FALSE

        def where(a: str) -> Sql:
            parts = [Sql(f"{a}.rid = {rid} AND {a}.pid = {pid}"), condition(self.connection, self.names, leaf, pid, a)]
            if el:
                parts.append(Sql(f"{a}.el = {el}"))
            if also is not None:
                parts.append(also(a))
            return all_of(parts)

        table = table_of(leaf)
        return self._exists(f"{table} INDEXED BY {table}_rid", where)

    def _composite_test(self, node: Composite, type: str, rid: str) -> Sql:
        first, *others = node.components

        def meeting(a: str) -> Sql:
            return all_of([self.test(other, type, rid, f"{a}.el") for other in others])

        def of(component: Node) -> Sql:
            match component:
                case Or(nodes):
                    return any_of([of(child) for child in nodes])
                case Nothing():
                    return FALSE
                case And() | Not() | Everything() | Id() | LastUpdated() | Composite() | Chain() | Has() | Text():
                    raise StoreError(f"A component of {node.param} must be a value, not {component}.")
                case _:
                    return self._leaf_test(component, type, rid, "", meeting)

        return of(first)

    def _chain_test(self, node: Chain, type: str, rid: str) -> Sql:
        pid = self.names.pid(self.connection, type, node.param)
        if pid is None:
            return FALSE
        options = []
        for target in node.types:
            inside = self.contained(node, type, target)
            if inside is not None:
                options.append(self.test(inside, type, rid))
            tid = self.names.tid(self.connection, target)
            if tid is None:
                continue
            a = self.alias()
            inner = self.test(node.node, target, f"{a}r.rid")
            if node.canonical:
                url = self.names.pid(self.connection, target, "url")
                source = f"uri {a} INDEXED BY uri_rid CROSS JOIN uri {a}u NOT INDEXED CROSS JOIN resource {a}r"
                where = (
                    f"{a}.rid = {rid} AND {a}.pid = {pid} AND {a}u.pid = {url or -1} AND {a}u.sid = {a}.sid "
                    f"AND {a}r.rid = {a}u.rid AND {self.same_version(target, f'{a}.version', f'{a}r.rid')}"
                )
            else:
                source = f"ref {a} INDEXED BY ref_rid CROSS JOIN resource {a}r"
                where = f"{a}.rid = {rid} AND {a}.pid = {pid} AND {a}r.rid = {a}.target"
            options.append(exists(source, all_of((Sql(f"{where} AND {a}r.tid = {tid} AND {a}r.live = 1"), inner))))
        return any_of(options)

    def _has_test(self, node: Has, rid: str) -> Sql:
        pid = self.names.pid(self.connection, node.type, node.param)
        if pid is None:
            return FALSE
        return self._exists(
            "ref NOT INDEXED",
            lambda a: all_of(
                (Sql(f"{a}.pid = {pid} AND {a}.target = {rid}"), self.test(node.node, node.type, f"{a}.rid"))
            ),
        )

    def contained(self, node: Chain, type: str, target: str) -> Node | None:
        """The chain into contained resources; None when no resource of this type has such."""
        prefix = marker(target, node.param)
        if node.canonical or self.names.pid(self.connection, type, prefix) is None:
            return None
        return on_contained(node.node, prefix)

    def gathered(self, nodes: Sequence[Node]) -> list[Node | ReferenceIn]:
        """Many values of one parameter become one list."""
        if len(nodes) < _MANY:
            return list(nodes)
        rest: list[Node | ReferenceIn] = []
        pairs: dict[str, set[tuple[str, str]]] = {}
        rids: dict[str, list[int]] = {}
        for node in nodes:
            if isinstance(node, Token) and node.system is not None and node.code is not None:
                pairs.setdefault(node.param, set()).add((node.system, node.code))
            elif isinstance(node, Reference):
                rids.setdefault(node.param, []).extend(targets(self.connection, self.names, node))
            else:
                rest.append(node)
        rest += [TokenIn(param, frozenset(found)) for param, found in pairs.items()]
        rest += [ReferenceIn(param, tuple(dict.fromkeys(found))) for param, found in rids.items()]
        return rest

    def text(self, node: Text, a: str) -> Sql:
        if not self.full_text:
            raise NotIndexed(
                "This store keeps no full-text index, so _text and _content cannot be searched. Open it with text=True "
                "and reindex."
            )
        if self.connection.execute("SELECT 1 FROM record WHERE kind = ? AND id = ?", FULL_TEXT_INCOMPLETE).fetchone():
            raise NotIndexed("The full-text index lacks what was written before it was made; reindex the store.")
        wanted = words(node.value)
        if not wanted:
            return FALSE
        expression = " AND ".join('"' + word.replace('"', '""') + '"' for word in wanted)
        # The content of a resource is its narrative and all its other texts.
        columns = "narrative : " if node.where == "narrative" else ""
        return Sql(f"{a}.words MATCH ?", (f"{columns}({expression})",))

    def same_version(self, target: str, version: str, rid: str) -> str:
        pid = self.names.pid(self.connection, target, "version")
        return (
            f"({version} = '' OR EXISTS (SELECT 1 FROM token v INDEXED BY token_rid "
            f"WHERE v.rid = {rid} AND v.pid = {pid or -1} AND v.code = {version}))"
        )


def last_updated(node: LastUpdated, a: str) -> Sql:
    column = f"{a}.last_updated"
    match node.comparison:
        case "eq" | "ap":
            return Sql(f"{column} BETWEEN ? AND ?", (node.lo, node.hi))
        case "ne":
            return Sql(f"{column} NOT BETWEEN ? AND ?", (node.lo, node.hi))
        case "gt" | "sa":
            return Sql(f"{column} > ?", (node.hi,))
        case "lt" | "eb":
            return Sql(f"{column} < ?", (node.lo,))
        case "ge":
            return Sql(f"{column} >= ?", (node.lo,))
        case "le":
            return Sql(f"{column} <= ?", (node.hi,))


def words(text: str) -> list[str]:
    """Words and "quoted phrases"."""
    found: list[str] = []
    for position, part in enumerate(text.split('"')):
        found += ([part] if position % 2 else part.split()) if part.strip() else []
    return [word for word in found if any(char.isalnum() for char in word)]
