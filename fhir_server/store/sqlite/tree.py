"""A query tree as SQL. Every node can be entered in two ways: `arms` starts from it and streams what matches, `test`
asks it about one resource at hand. Chains are joins of integers, entered from whichever end is the smaller."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import isqrt
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
from fhir_server.store.sqlite.conditions import Conditions, last_updated
from fhir_server.store.sqlite.fragments import FALSE, Arm, Sql, all_of, joined
from fhir_server.store.sqlite.leaves import Leaf, ReferenceIn, arms_of


class Tree(Conditions):
    """How criteria are entered. any_order: the first few will do, in whatever order they come."""

    any_order = False

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
                where = all_of((Sql(f"{a}.tid = {tid} AND {a}.live = 1"), last_updated(node, a)))
                arm = Arm(Sql(f"resource {a} INDEXED BY resource_updated"), f"{a}.rid", where, unique=True)
                return self._worth([arm], 0 if self.any_order else cap) if tid is not None else []
            case Text():
                return self._worth([self._text_arm(node, type)], cap)
            case Composite():
                return self._composite_arms(node, type, cap)
            case Chain():
                return self._worth(self._chain_arms(node, type), 0 if self.any_order else cap)
            case Has():
                return self._has_arms(node, type, cap)
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
        arms = arms_of(self.connection, self.names, leaf, pid, self.alias())
        return self._worth(arms, 0 if self.any_order else cap)

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

    def _text_arm(self, node: Text, type: str) -> Arm:
        tid = self.names.tid(self.connection, type)
        a = self.alias()
        # The engine of full text gives its matches in order of rowid.
        source = Sql(f"words {a} CROSS JOIN resource {a}r")
        where = self.text(node, a) + f" AND {a}r.rid = {a}.rowid AND {a}r.tid = {tid} AND {a}r.live = 1"
        return Arm(source, f"{a}.rowid", where if tid is not None else FALSE, ordered=True, unique=True)

    def _composite_arms(self, node: Composite, type: str, cap: int) -> list[Arm] | None:
        """The smallest component leads, the others are tested on the same element."""
        best: list[Arm] | None = None
        chosen, least = 0, (cap or _UNBOUNDED) + 1
        for position, component in enumerate(node.components):
            if isinstance(component, Not) or (isinstance(component, Missing) and component.missing):
                continue
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
            inside = self.contained(node, type, target)
            if inside is not None:
                arms += self._inner(inside, type)
            inner = self._inner(node.node, target)
            few = None if node.canonical else self._few(inner)
            if few is not None:
                arms += [self._referring(pid, rid) for rid in few]
                continue
            for arm in inner:
                a = self.alias()
                if not node.canonical:
                    source = arm.source + f" CROSS JOIN ref {a} NOT INDEXED"
                    where = Sql(f"{a}.pid = {pid} AND {a}.target = {arm.rid}")
                else:
                    url = self.names.pid(self.connection, target, "url")
                    source = arm.source + f" CROSS JOIN uri {a}u INDEXED BY uri_rid CROSS JOIN uri {a} NOT INDEXED"
                    where = Sql(
                        f"{a}u.rid = {arm.rid} AND {a}u.pid = {url or -1} AND {a}.pid = {pid} AND {a}.sid = {a}u.sid"
                        f" AND {self.same_version(target, f'{a}.version', arm.rid)}"
                    )
                arms.append(Arm(source, f"{a}.rid", all_of((arm.where, where))))
        return arms

    def _few(self, inner: Sequence[Arm]) -> list[int] | None:
        """The resources at the far end of a chain when they are a few: what refers to each then comes in order."""
        found = stream(inner)
        rows = self.connection.execute(f"{found.text} LIMIT {_FEW_TARGETS + 1}", found.args).fetchall()
        return [row[0] for row in rows] if len(rows) <= _FEW_TARGETS else None

    def _referring(self, pid: int, rid: int) -> Arm:
        a = self.alias()
        where = Sql(f"{a}.pid = {pid} AND {a}.target = {rid}")
        return Arm(Sql(f"ref {a} NOT INDEXED"), f"{a}.rid", where, f"{a}.el", ordered=True, unique=True)

    def _has_arms(self, node: Has, type: str, cap: int) -> list[Arm] | None:
        pid = self.names.pid(self.connection, node.type, node.param)
        tid = self.names.tid(self.connection, type)
        if pid is None or tid is None:
            return []
        inner = self._inner(node.node, node.type)
        # Counted before the joins, which cost more than it.
        if cap and self.size(inner, enough := max(cap, self._has_cap(node))) >= enough:
            return None
        arms = []
        for arm in inner:
            a = self.alias()
            found = Sql(f"{a}.rid = {arm.rid} AND {a}.pid = {pid}")
            targets = Arm(arm.source + f" CROSS JOIN ref {a} INDEXED BY ref_rid", "", all_of((arm.where, found)))
            each = targets.select(f"DISTINCT {a}.target AS rid")
            source = Sql(f"({each.text}) {a}t CROSS JOIN resource {a}r", each.args)
            where = Sql(f"{a}r.rid = {a}t.rid AND {a}r.tid = {tid} AND {a}r.live = 1")
            arms.append(Arm(source, f"{a}t.rid", where, unique=True))
        return arms

    def _has_cap(self, node: Has) -> int:
        """A walk would ask about everything that refers to each resource, so far more are worth collecting."""
        tid = self.names.tid(self.connection, node.type)
        row = self.connection.execute("SELECT live FROM tally WHERE tid = ?", (tid,)).fetchone()
        return min(_COLLECTED, _REFERRING * isqrt(row[0])) if row else 0

    def _inner(self, node: Node, type: str) -> list[Arm]:
        """Arms for the far end of a chain, which must be complete."""
        arms = self.arms(node, type, 0)
        assert arms is not None
        return arms


_UNBOUNDED: Final = 5_000
_REFERRING: Final = 16
_COLLECTED: Final = 3_000
_FEW_TARGETS: Final = 32
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


def union(arms: Sequence[Arm], *conditions: Callable[[Arm], Sql], order: str = "") -> Sql:
    """SELECT of the distinct rids of all arms; order: ' ORDER BY 1' or ' ORDER BY 1 DESC' or ''."""
    arms = [arm for arm in arms if arm.where.text != "0"]
    distinct = "DISTINCT " if len(arms) == 1 else ""
    parts = [
        arm.select(f"{'' if arm.unique else distinct}{arm.rid} AS rid", *(condition(arm) for condition in conditions))
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


def stream(arms: Sequence[Arm]) -> Sql:
    """As `union`, but the first rids come before the last arm is read: for a LIMIT."""
    arms = [arm for arm in arms if arm.where.text != "0"]
    if not 1 < len(arms) <= _COMPOUND:
        return union(arms)
    parts = [arm.select(f"{arm.rid} AS rid") for arm in arms]
    return Sql("SELECT DISTINCT rid FROM (") + joined(" UNION ALL ", parts) + ")"


_COMPOUND: Final = 400
