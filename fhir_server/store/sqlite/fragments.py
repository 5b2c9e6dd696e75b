"""Pieces of SQL text with their arguments, and the arms that a search is put together from."""

# Text put into statements is this package's own: table names, aliases, integers. Values are always arguments.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Sql(NamedTuple):
    """text with one ``?`` for each of args, in their order."""

    text: str
    args: tuple[Any, ...] = ()

    def __add__(self, other: object) -> Sql:
        if isinstance(other, str):
            return Sql(self.text + other, self.args)
        assert isinstance(other, Sql)
        return Sql(self.text + other.text, self.args + other.args)


TRUE = Sql("1")
FALSE = Sql("0")


def joined(glue: str, parts: Sequence[Sql]) -> Sql:
    if len(parts) == 1:
        return parts[0]
    return Sql(glue.join(part.text for part in parts), tuple(arg for part in parts for arg in part.args))


def all_of(parts: Iterable[Sql]) -> Sql:
    """Nothing but FALSE when one part is: SQLite finds no way for INDEXED BY where a constant decides."""
    kept = []
    for part in parts:
        if part.text == "0":
            return FALSE
        if part.text != "1":
            kept.append(part)
    return joined(" AND ", kept) if kept else TRUE


def negated(part: Sql) -> Sql:
    if part.text in ("0", "1"):
        return TRUE if part.text == "0" else FALSE
    return Sql(f"NOT ({part.text})", part.args)


def exists(source: str, where: Sql) -> Sql:
    if where.text == "0":
        return FALSE
    return Sql(f"EXISTS (SELECT 1 FROM {source} WHERE {where.text})", where.args)


def any_of(parts: Sequence[Sql]) -> Sql:
    """Balanced, because SQLite limits the depth of an expression."""
    kept = [part for part in parts if part.text != "0"]
    if not kept:
        return FALSE
    if any(part.text == "1" for part in kept):
        return TRUE
    if len(kept) == 1:
        return kept[0]
    half = len(kept) // 2
    left, right = any_of(kept[:half]), any_of(kept[half:])
    return Sql(f"({left.text} OR {right.text})", left.args + right.args)


class Arm(NamedTuple):
    """One stream of resources: SELECT rid FROM source WHERE where.

    ordered: by index alone it comes in order of rid. unique: no rid twice. el: the element ordinal, '' where there is
    none. Every rid is a current resource of the type in question."""

    source: Sql
    rid: str
    where: Sql
    el: str = ""
    ordered: bool = False
    unique: bool = False

    def narrowed(self, *conditions: Sql) -> Arm:
        return self._replace(where=all_of((self.where, *conditions)))

    def select(self, columns: str, *conditions: Sql) -> Sql:
        where = all_of((self.where, *conditions))
        return Sql(
            f"SELECT {columns} FROM {self.source.text} WHERE {where.text}",
            self.source.args + where.args,
        )
