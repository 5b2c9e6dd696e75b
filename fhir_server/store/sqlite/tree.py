"""A query tree as SQL. Every node can be entered in two ways: `arms` starts from it and streams what matches, `test`
asks it about one resource at hand. Chains are joins of integers, entered from whichever end is the smaller."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.search.query import (
    And,
    Chain,
    Composite,
    Date,
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
from fhir_server.store.protocol import StoreError
from fhir_server.store.sqlite.fragments import FALSE, TRUE, Arm, Sql, all_of, any_of, exists, joined, negated
from fhir_server.store.sqlite.leaves import Leaf, ReferenceIn, arms_of, condition, table_of, targets
from fhir_server.store.sqlite.names import Names

Element = str
"""SQL for the element ordinal on which a composite's components must meet; '' for none."""

_MANY: Final = 8
"""From so many values of one parameter on, a list is looked up instead of a stream for each."""


class Tree:
    """Compiles criteria for one connection; aliases are never given twice."""

    def __init__(self, connection: sqlite3.Connection, names: Names, *, full_text: bool) -> None:
        self.connection = connection
        self.names = names
        self.full_text = full_text
        self._aliases = 0

    def alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    # -- arms -----------------------------------------------------------------------------------------------------

    def arms(self, node: Node | ReferenceIn, type: str, cap: int) -> list[Arm] | None:
        """Streams that together give what matches, in the cheapest way that is known.

        cap: a node with at least so many matches is not worth starting from. None: walk over the whole type and test,
        because nothing narrows it down well. With cap 0 the answer is a list (if need be, of the whole type)."""
        match node:
            case Nothing():
                return []
            case And(nodes):
                return self._and_arms(nodes, type, cap)
            case Or(nodes):
                return self._or_arms(nodes, type, cap)
            case Id(ids):
                tid = self.names.tid(self.connection, type)
                a = self.alias()
                source = Sql(f"json_each(?) {a}j CROSS JOIN resource {a}", (json.dumps(ids),))
                where = Sql(f"{a}.tid = {tid} AND {a}.id = {a}j.value AND {a}.live = 1")
                return [Arm(source, f"{a}.rid", where)] if tid is not None else []
            case LastUpdated():
                tid = self.names.tid(self.connection, type)
                a = self.alias()
                where = all_of((Sql(f"{a}.tid = {tid} AND {a}.live = 1"), _last_updated(node, a)))
                arm = Arm(Sql(f"resource {a} INDEXED BY resource_updated"), f"{a}.rid", where, unique=True)
                return self._worth([arm], cap) if tid is not None else []
            case Text():
                return self._worth([self._text_arm(node, type)], cap)
            case Composite():
                return self._composite_arms(node, type, cap)
            case Chain():
                return self._worth(self._chain_arms(node, type), cap)
            case Has():
                return self._worth(self._has_arms(node, type), cap)
            case Everything() | Not() | Missing(_, _, True):
                return None if cap else [self.walk(type, node)]
            case _:
                return self._leaf_arms(node, type, cap)

    def walk(self, type: str, *nodes: Node) -> Arm:
        """Every current resource of the type, in order, each asked about `nodes`."""
        tid = self.names.tid(self.connection, type)
        a = self.alias()
        where = Sql(f"{a}.tid = {-1 if tid is None else tid} AND {a}.live = 1")
        arm = Arm(Sql(f"resource {a} INDEXED BY resource_live"), f"{a}.rid", where, ordered=True, unique=True)
        return arm.narrowed(*(self.test(node, type, arm.rid) for node in nodes))

    def _leaf_arms(self, leaf: Leaf, type: str, cap: int) -> list[Arm] | None:
        pid = self.names.pid(self.connection, type, leaf.param)
        if pid is None:
            return []
        return self._worth(arms_of(self.connection, self.names, leaf, pid, self.alias()), cap)

    def _worth(self, arms: list[Arm], cap: int) -> list[Arm] | None:
        """Ordered streams always are: they stop as soon as a page is full."""
        if not cap or all(arm.ordered for arm in arms) or self.size(arms, cap) < cap:
            return arms
        return None

    def size(self, arms: Sequence[Arm], cap: int) -> int:
        """Number of rows, counted no further than cap."""
        found = 0
        for arm in arms:
            if arm.where.text == "0":
                continue
            statement = arm.select("1")
            row = self.connection.execute(
                f"SELECT count(*) FROM ({statement.text} LIMIT {cap - found})",
                statement.args,
            ).fetchone()
            found += row[0]
            if found >= cap:
                return cap
        return found

    def _and_arms(self, nodes: Sequence[Node], type: str, cap: int) -> list[Arm] | None:
        nodes = [node for node in nodes if not isinstance(node, Everything)]
        if not nodes:
            return self.arms(Everything(), type, cap)
        if len(nodes) == 1:
            return self.arms(nodes[0], type, cap)
        best: list[Arm] | None = None
        chosen = -1
        limit = cap or _UNBOUNDED
        least = limit + 1
        for position in sorted(range(len(nodes)), key=lambda position: _rank(nodes[position])):
            if _rank(nodes[position]) >= _COSTLY and least < _FEW:
                break
            arms = self.arms(nodes[position], type, cap)
            if arms is None:
                continue
            size = self.size(arms, min(least, limit)) if arms else 0
            if size < least:
                least, best, chosen = size, arms, position
            if least <= 1:
                break
        if best is None:
            return None if cap else [self.walk(type, *nodes)]
        return [
            arm.narrowed(*(self.test(node, type, arm.rid) for position, node in enumerate(nodes) if position != chosen))
            for arm in best
        ]

    def _or_arms(self, nodes: Sequence[Node], type: str, cap: int) -> list[Arm] | None:
        arms: list[Arm] = []
        for node in self.gathered(nodes):
            found = self.arms(node, type, cap)
            if found is None:
                return None
            arms += found
        return arms

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

    def _text_arm(self, node: Text, type: str) -> Arm:
        tid = self.names.tid(self.connection, type)
        a = self.alias()
        source = Sql(f"words {a} CROSS JOIN resource {a}r")
        where = self._text(node, a) + f" AND {a}r.rid = {a}.rowid AND {a}r.tid = {tid} AND {a}r.live = 1"
        return Arm(source, f"{a}.rowid", where if tid is not None else FALSE, unique=True)

    def _text(self, node: Text, a: str) -> Sql:
        if not self.full_text:
            raise StoreError(
                "This store keeps no full-text index, so _text and _content cannot be searched. Open it with text=True "
                "and reindex."
            )
        wanted = words(node.value)
        if not wanted:
            return FALSE
        expression = " AND ".join('"' + word.replace('"', '""') + '"' for word in wanted)
        return Sql(f"{a}.words MATCH ?", (f"{node.where} : ({expression})",))

    def _composite_arms(self, node: Composite, type: str, cap: int) -> list[Arm] | None:
        """The smallest component leads, the others are tested on the same element."""
        best: list[Arm] | None = None
        chosen, least = 0, (cap or _UNBOUNDED) + 1
        for position, component in enumerate(node.components):
            arms = self.arms(component, type, cap)
            if arms is None:
                continue
            size = self.size(arms, least) if arms else 0
            if size < least:
                best, chosen, least = arms, position, size
        if best is None:
            return None
        return [
            arm.narrowed(
                *(
                    self.test(component, type, arm.rid, arm.el)
                    for position, component in enumerate(node.components)
                    if position != chosen
                )
            )._replace(unique=False)
            for arm in best
        ]

    def _chain_arms(self, node: Chain, type: str) -> list[Arm]:
        pid = self.names.pid(self.connection, type, node.param)
        if pid is None:
            return []
        arms: list[Arm] = []
        for target in node.types:
            for arm in self._inner(node.node, target):
                a = self.alias()
                if not node.canonical:
                    source = arm.source + f" CROSS JOIN ref {a} NOT INDEXED"
                    where = Sql(f"{a}.pid = {pid} AND {a}.target = {arm.rid}")
                else:
                    url = self.names.pid(self.connection, target, "url")
                    source = arm.source + f" CROSS JOIN uri {a}u INDEXED BY uri_rid CROSS JOIN uri {a} NOT INDEXED"
                    where = Sql(
                        f"{a}u.rid = {arm.rid} AND {a}u.pid = {url or -1} AND {a}.pid = {pid} AND {a}.sid = {a}u.sid"
                        f" AND {self._same_version(target, f'{a}.version', arm.rid)}"
                    )
                arms.append(Arm(source, f"{a}.rid", all_of((arm.where, where))))
        return arms

    def _same_version(self, target: str, version: str, rid: str) -> str:
        pid = self.names.pid(self.connection, target, "version")
        return (
            f"({version} = '' OR EXISTS (SELECT 1 FROM token v INDEXED BY token_rid "
            f"WHERE v.rid = {rid} AND v.pid = {pid or -1} AND v.code = {version}))"
        )

    def _has_arms(self, node: Has, type: str) -> list[Arm]:
        pid = self.names.pid(self.connection, node.type, node.param)
        tid = self.names.tid(self.connection, type)
        if pid is None or tid is None:
            return []
        arms = []
        for arm in self._inner(node.node, node.type):
            a = self.alias()
            source = arm.source + f" CROSS JOIN ref {a} INDEXED BY ref_rid CROSS JOIN resource {a}r"
            where = Sql(
                f"{a}.rid = {arm.rid} AND {a}.pid = {pid} AND {a}r.rid = {a}.target AND {a}r.tid = {tid} "
                f"AND {a}r.live = 1"
            )
            arms.append(Arm(source, f"{a}.target", all_of((arm.where, where))))
        return arms

    def _inner(self, node: Node, type: str) -> list[Arm]:
        """Arms for the far end of a chain, which must be complete."""
        arms = self.arms(node, type, 0)
        assert arms is not None
        return arms

    # -- tests ----------------------------------------------------------------------------------------------------

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
                return self._exists("resource", lambda a: all_of((Sql(f"{a}.rid = {rid}"), _last_updated(node, a))))
            case Text():
                return self._exists("words", lambda a: all_of((self._text(node, a), Sql(f"{a}.rowid = {rid}"))))
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
                    raise StoreError(f"A component of {node.param} must be a value, not {type_name(component)}.")
                case _:
                    return self._leaf_test(component, type, rid, "", meeting)

        return of(first)

    def _chain_test(self, node: Chain, type: str, rid: str) -> Sql:
        pid = self.names.pid(self.connection, type, node.param)
        if pid is None:
            return FALSE
        options = []
        for target in node.types:
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
                    f"AND {a}r.rid = {a}u.rid AND {self._same_version(target, f'{a}.version', f'{a}r.rid')}"
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


_UNBOUNDED: Final = 5_000
_FEW: Final = 50
_COSTLY: Final = 6
_RANKS: Final[dict[object, int]] = {
    Nothing: 0,
    Id: 0,
    Reference: 1,
    Token: 2,
    TokenIn: 3,
    Or: 3,
    Composite: 4,
    Date: 5,
    Text: _COSTLY,
    Chain: 7,
    Has: 7,
    Not: 8,
}


def _rank(node: Node) -> int:
    """In which order to ask how many match: what is usually few first."""
    return _RANKS.get(type(node), 4)


def type_name(node: object) -> str:
    return type(node).__name__


def _last_updated(node: LastUpdated, a: str) -> Sql:
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


def union(arms: Sequence[Arm], *conditions: Callable[[Arm], Sql], order: str = "") -> Sql:
    """SELECT of the distinct rids of all arms; order: ' ORDER BY 1' or ' ORDER BY 1 DESC' or ''."""
    arms = [arm for arm in arms if arm.where.text != "0"]
    parts = [
        arm.select(f"{'' if arm.unique or len(arms) > 1 else 'DISTINCT '}{arm.rid} AS rid", *(c(arm) for c in conditions))
        for arm in arms
    ]
    if not parts:
        return Sql("SELECT 0 AS rid WHERE 0")
    while len(parts) > _COMPOUND:
        parts = [
            Sql("SELECT rid FROM (") + joined(" UNION ", parts[start : start + _COMPOUND]) + ")"
            for start in range(0, len(parts), _COMPOUND)
        ]
    return joined(" UNION ", parts) + order


_COMPOUND: Final = 400
