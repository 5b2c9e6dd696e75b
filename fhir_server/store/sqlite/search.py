"""Answers queries on one connection: which way to go, the statement, the page."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from math import isqrt
from typing import Any, Final, NamedTuple

from fhir_server.search.query import And, Everything, Node, Query
from fhir_server.store.protocol import Cursor, Method, Page, Version
from fhir_server.store.sqlite import sorting
from fhir_server.store.sqlite.fragments import TRUE, Arm, Sql, all_of
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.transaction import METHODS
from fhir_server.store.sqlite.tree import Tree, stream, union

BODY: Final = "r.id, r.version, r.seq, r.last_updated, v.method, v.body"
_IDENTITY: Final = "r.id, r.version, r.seq, r.last_updated, NULL, NULL"
_LEAST: Final = 200
#: A total is counted up to here when it need not be exact.
BOUND: Final = 1_000


def everything(query: Query) -> bool:
    """Whether every resource of the query's types is a match."""
    return isinstance(query.where, Everything) or query.where == And(())


class Statement(NamedTuple):
    """sql gives rows (sort values..., rid, identity and body)."""

    sql: Sql
    strategy: str


class Ask(NamedTuple):
    """One page of one type. keys: sort keys that are used."""

    type: str
    where: Node
    keys: tuple[Any, ...]
    limit: int
    after: Cursor | None
    snapshot: int | None
    backwards: bool
    columns: str

    @property
    def drifting(self) -> bool:
        """Whether an update moves a match to another place: each is then put where it stood at the snapshot."""
        return self.snapshot is not None and bool(self.keys) and self.keys[0].kind == "last_updated"

    @property
    def known(self) -> Sql:
        """The condition on resource x that it belongs to the pages from the first one on; ' AND' stands before it."""
        if self.snapshot is None:
            return Sql("")
        return Sql(f" AND x.{'seq' if self.drifting else 'born'} <= ?", (self.snapshot,))


class Search:
    """For one connection; not for two threads at once."""

    def __init__(self, connection: sqlite3.Connection, names: Names, *, full_text: bool) -> None:
        self.connection = connection
        self.names = names
        self.full_text = full_text

    def _tree(self) -> Tree:
        return Tree(self.connection, self.names, full_text=self.full_text)

    def last_seq(self) -> int:
        return int(self.connection.execute("SELECT seq FROM clock").fetchone()[0])

    def types(self, query: Query) -> Sequence[str]:
        return query.types or self.names.all_types(self.connection)

    # -- pages ----------------------------------------------------------------------------------------------------

    def page(
        self,
        query: Query,
        *,
        limit: int,
        after: Cursor | None = None,
        snapshot: int | None = None,
        backwards: bool = False,
    ) -> Page:
        """As Store.search, without a total."""
        # Read before the search: what is created in between is then left out of the later pages, never shown twice.
        point = self.last_seq() if snapshot is None else snapshot
        keys = sorting.used(query.sort)
        types = self.types(query)
        columns = BODY if len(types) == 1 else _IDENTITY
        found: list[tuple[Cursor, Version]] = []
        wanted = limit + 1
        width = len(keys) + 1
        for type in types:
            ask = Ask(type, query.where, keys, wanted, after, snapshot, backwards, columns)
            rows = self.rows(ask)
            if ask.drifting:
                rows = self._merged(ask, rows)
            for row in rows:
                _, version, seq, last_updated, method, body = row[width:]
                name: Method = METHODS[method] if method is not None else "PUT"
                found.append((row[:width], Version(type, row[width], version, seq, last_updated, name, body)))
        if len(types) > 1:
            sorting.in_order(found, [key.descending for key in keys], backwards)
            found = self._with_bodies(found[:wanted])
        more = len(found) > limit
        found = found[:limit]
        last = found[-1][0] if found else None
        if backwards:
            found.reverse()
        return Page(
            matches=[version for _, version in found],
            next=last if more else None,
            snapshot=point,
            start=found[0][0] if found else None,
            end=found[-1][0] if found else None,
        )

    def rows(self, ask: Ask) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        if ask.limit <= 0:
            return rows
        for statement in self.statements(ask):
            text, args = statement.sql
            rows += self.connection.execute(text, (*args, ask.limit - len(rows))).fetchall()
            if len(rows) >= ask.limit:
                break
        return rows

    def _merged(self, ask: Ask, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows together with those of resources that were updated since the snapshot, in order."""
        text, args = self._changed(ask)
        width = len(ask.keys) + 1
        pairs = [(row[:width], row) for row in (*rows, *self.connection.execute(text, (*args, ask.limit)))]
        sorting.in_order(pairs, [key.descending for key in ask.keys], ask.backwards)
        return [row for _, row in pairs[: ask.limit]]

    def _changed(self, ask: Ask) -> Sql:
        tree = self._tree()
        columns = [("v0", ask.keys[0].descending)]
        values = (
            ", (SELECT y.last_updated FROM version y INDEXED BY version_rid WHERE y.rid = x.rid AND y.seq <= ? "
            "ORDER BY y.version DESC LIMIT 1) AS v0"
        )
        for position, (value, descending) in enumerate(self._further_columns(ask), 1):
            values += f", {value} AS v{position}"
            columns.append((f"v{position}", descending))
        criteria = tree.test(ask.where, ask.type, "x.rid")
        window = sorting.beyond(columns, "rid", ask.after, ask.backwards) if ask.after is not None else TRUE
        text = (
            f"SELECT {self._values(columns, 'd')}, {ask.columns} FROM (SELECT * FROM ("
            f"SELECT x.rid AS rid{values} FROM resource x INDEXED BY resource_updated "
            f"WHERE x.tid = ? AND x.live = 1 AND x.last_updated >= "
            f"(SELECT coalesce(max(z.last_updated), 0) FROM version z WHERE z.seq = ?) "
            f"AND x.seq > ? AND x.born <= ? AND {criteria.text} LIMIT -1"
            f") WHERE {window.text} ORDER BY {sorting.order(columns, 'rid', ask.backwards)} LIMIT ?) d "
            "CROSS JOIN resource r CROSS JOIN version v WHERE r.rid = d.rid AND v.seq = r.seq"
        )
        point = ask.snapshot
        tid = self.names.tid(self.connection, ask.type)
        return Sql(text, (point, tid, point, point, point, *criteria.args, *window.args))

    def statements(self, ask: Ask) -> list[Statement]:
        """To be run in turn until the page is full; the last argument of each is the number of rows."""
        tree = self._tree()
        cap = self.cap(ask.type, ask.limit)
        arms = tree.arms(ask.where, ask.type, cap)
        if not ask.keys:
            return [self._streamed(ask, arms if arms is not None else [tree.walk(ask.type, ask.where)], arms is None)]
        if arms is None or tree.size(arms, cap) >= cap:
            walk = sorting.walk(self.connection, self.names, ask.keys[0], ask.type)
            if walk is not None:
                return self._walked(ask, tree, walk)
        return [self._collected(ask, arms if arms is not None else [tree.walk(ask.type, ask.where)])]

    def cap(self, type: str, limit: int) -> int:
        """How many rows are still worth collecting. Beyond it the type is walked in order, which finds a page of
        `limit` after about limit * live / matches steps: fewer than `matches` when that is over the root."""
        tid = self.names.tid(self.connection, type)
        row = self.connection.execute("SELECT live FROM tally WHERE tid = ?", (tid,)).fetchone()
        return max(_LEAST, isqrt(limit * row[0])) if row else _LEAST

    def _streamed(self, ask: Ask, arms: Sequence[Arm], walking: bool) -> Statement:
        """In order of rid."""
        arms = [arm for arm in arms if arm.where.text != "0"]
        direction = " DESC" if ask.backwards else ""
        after = () if ask.after is None else (ask.after[-1],)
        bound = f" {'<' if ask.backwards else '>'} ?"
        born, snapshot = ("", ()) if ask.snapshot is None else (" AND r.born <= ?", (ask.snapshot,))
        if len(arms) == 1 and arms[0].ordered and arms[0].unique:
            arm = arms[0]
            window = f" AND {arm.rid}{bound}" if after else ""
            text = (
                f"SELECT {arm.rid}, {ask.columns} FROM {arm.source.text} CROSS JOIN resource r CROSS JOIN version v "
                f"WHERE {arm.where.text}{window} AND r.rid = {arm.rid} AND v.seq = r.seq{born} "
                f"ORDER BY {arm.rid}{direction} LIMIT ?"
            )
            args = arm.source.args + arm.where.args + after + snapshot
            return Statement(Sql(text, args), "walk" if walking else "stream")
        window_of = (lambda arm: Sql(f"{arm.rid}{bound}", after),) if after else ()
        inner = union(arms, *window_of, order=f" ORDER BY 1{direction}")
        # LIMIT -1 keeps SQLite from dropping the order of the inner statement, which the outer one follows.
        text = (
            f"SELECT d.rid, {ask.columns} FROM ({inner.text} LIMIT -1) d CROSS JOIN resource r CROSS JOIN version v "
            f"WHERE r.rid = d.rid AND v.seq = r.seq{born} LIMIT ?"
        )
        streaming = all(arm.ordered for arm in arms)
        return Statement(Sql(text, inner.args + snapshot), "merge" if streaming else "collect")

    def _collected(self, ask: Ask, arms: Sequence[Arm]) -> Statement:
        """Every match with its sort values, then the first of them."""
        inner = union(arms)
        keys = [
            sorting.key(self.connection, self.names, key, ask.type, "x", f"k{position}")
            for position, key in enumerate(ask.keys)
        ]
        values = "".join(f", {key.value} AS v{position}" for position, key in enumerate(keys))
        born, snapshot = ask.known
        columns = [(f"v{position}", key.descending) for position, key in enumerate(keys)]
        window = sorting.beyond(columns, "rid", ask.after, ask.backwards) if ask.after is not None else TRUE
        text = (
            f"SELECT {self._values(columns, 'd')}, {ask.columns} FROM (SELECT * FROM ("
            f"SELECT x.rid AS rid{values} FROM ({inner.text}) m CROSS JOIN resource x "
            f"WHERE x.rid = m.rid{born} LIMIT -1"
            f") WHERE {window.text} ORDER BY {sorting.order(columns, 'rid', ask.backwards)} LIMIT ?) d "
            "CROSS JOIN resource r CROSS JOIN version v WHERE r.rid = d.rid AND v.seq = r.seq"
        )
        return Statement(Sql(text, inner.args + snapshot + window.args), "collect and sort")

    def _values(self, columns: Sequence[tuple[str, bool]], alias: str) -> str:
        return ", ".join((*(f"{alias}.{name}" for name, _ in columns), f"{alias}.rid"))

    def _walked(self, ask: Ask, tree: Tree, walk: sorting.Walk) -> list[Statement]:
        """The first key's index in order, then (before, when going backwards) what has no value."""
        at_value = ask.after is not None and ask.after[0] is not None
        at_missing = ask.after is not None and ask.after[0] is None
        phases = []
        if not at_missing or ask.backwards:
            phases.append(self._walk_values(ask, tree, walk, ask.after if at_value else None))
        if walk.missing and not (at_value and ask.backwards):
            phases.append(self._walk_missing(ask, tree, walk, ask.after if at_missing else None))
        return phases[::-1] if ask.backwards else phases

    def _walk_values(self, ask: Ask, tree: Tree, walk: sorting.Walk, after: Cursor | None) -> Statement:
        columns = [(walk.value, ask.keys[0].descending), *self._further_columns(ask)]
        window = TRUE
        if after is not None:
            further = "<=" if ask.keys[0].descending != ask.backwards else ">="
            # The first part is for the index to start at, the second is exact.
            window = Sql(f"{walk.value} {further} ? AND ", (after[0],))
            window += sorting.beyond(columns, walk.rid, after, ask.backwards)
        where = all_of((Sql(walk.where), window))
        return self._walk(ask, tree, Sql(walk.source), walk.rid, where, columns, "sorted walk")

    def _walk_missing(self, ask: Ask, tree: Tree, walk: sorting.Walk, after: Cursor | None) -> Statement:
        arm = tree.walk(ask.type)
        columns = [("NULL", False), *self._further_columns(ask)]
        window = TRUE if after is None else sorting.beyond(columns[1:], arm.rid, after[1:], ask.backwards)
        where = all_of((arm.where, Sql(walk.missing.format(rid=arm.rid)), window))
        return self._walk(ask, tree, arm.source, arm.rid, where, columns, "walk of those without a value")

    def _further_columns(self, ask: Ask) -> list[tuple[str, bool]]:
        keys = (
            sorting.key(self.connection, self.names, key, ask.type, "x", f"k{position}")
            for position, key in enumerate(ask.keys[1:], 1)
        )
        return [(key.value, key.descending) for key in keys]

    def _walk(
        self,
        ask: Ask,
        tree: Tree,
        source: Sql,
        rid: str,
        where: Sql,
        columns: Sequence[tuple[str, bool]],
        strategy: str,
    ) -> Statement:
        values = ", ".join(f"{name} AS v{position}" for position, (name, _) in enumerate(columns))
        criteria = all_of((where, tree.test(ask.where, ask.type, rid)))
        if criteria.text == "0":
            return Statement(Sql("SELECT 1 WHERE 0 LIMIT ?"), "nothing")
        born, snapshot = ask.known
        ordered = [column for column in columns if column[0] != "NULL"]
        text = (
            f"SELECT {', '.join(f'd.v{position}' for position in range(len(columns)))}, d.rid, {ask.columns} "
            f"FROM (SELECT {values}, {rid} AS rid FROM {source.text} CROSS JOIN resource x "
            f"WHERE x.rid = {rid}{born} AND {criteria.text} "
            f"ORDER BY {sorting.order(ordered, rid, ask.backwards)} LIMIT ?) d "
            "CROSS JOIN resource r CROSS JOIN version v WHERE r.rid = d.rid AND v.seq = r.seq"
        )
        return Statement(Sql(text, source.args + snapshot + criteria.args), strategy)

    def _with_bodies(self, found: list[tuple[Cursor, Version]]) -> list[tuple[Cursor, Version]]:
        full = []
        for cursor, version in found:
            row = self.connection.execute("SELECT method, body FROM version WHERE seq = ?", (version.seq,)).fetchone()
            # A row can be missing only when it was purged between the two statements.
            if row is not None:
                full.append(
                    (
                        cursor,
                        Version(
                            version.type,
                            version.id,
                            version.version,
                            version.seq,
                            version.last_updated,
                            METHODS[row[0]],
                            row[1],
                        ),
                    )
                )
        return full

    # -- counts ---------------------------------------------------------------------------------------------------

    def count(self, query: Query, *, bound: int | None = None) -> int:
        """Number of matches; no further than bound + 1 when there is one."""
        total = 0
        for type in self.types(query):
            if everything(query):
                tid = self.names.tid(self.connection, type)
                row = self.connection.execute("SELECT live FROM tally WHERE tid = ?", (tid,)).fetchone()
                total += row[0] if row else 0
            else:
                statement = self.count_statement(type, query.where, None if bound is None else bound + 1 - total)
                total += self.connection.execute(*statement).fetchone()[0]
            if bound is not None and total > bound:
                return bound + 1
        return total

    def count_statement(self, type: str, where: Node, limit: int | None) -> Sql:
        tree = self._tree()
        tree.any_order = limit is not None
        arms = tree.arms(where, type, self.cap(type, BOUND) if limit is not None else 0)
        if arms is None:
            arms = [tree.walk(type, where)]
        inner = union(arms) if limit is None else stream(arms)
        ending = "" if limit is None else f" LIMIT {limit}"
        return Sql(f"SELECT count(*) FROM ({inner.text}{ending})", inner.args)

    def matches(self, query: Query, limit: int) -> set[tuple[str, str]]:
        """(type, id) of the first matches."""
        found: set[tuple[str, str]] = set()
        for type in self.types(query):
            ask = Ask(type, query.where, (), limit, None, None, False, _IDENTITY)
            found.update((type, row[1]) for row in self.rows(ask))
        return found
