"""From method and path to an interaction: pure, and cheap for the paths that are asked most.

R4B 3.1.0.2 and the summary table of 3.1.0.13: every URL shape of the RESTful API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fhir_server.r4b.outcome import BadRequest, Issue, MethodNotAllowed, NotFound

_ID: Final = re.compile(r"[A-Za-z0-9.\-]{1,64}\Z")
_OPERATION: Final = re.compile(r"\$[A-Za-z][A-Za-z0-9\-_]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Route:
    """One interaction on one address.

    interaction: read, vread, update, patch, delete, create, search, history, bundle, metadata, operation, async-status,
    async-cancel, or the conditional forms ``conditional-update``, ``conditional-patch``, ``conditional-delete``.
    `of` is set for a compartment search (`type`/`id` is the compartment, `of` the type searched, ``*`` for all). `form`
    says that search parameters also come in the body (POST _search).
    """

    interaction: str
    type: str = ""
    id: str = ""
    version: str = ""
    operation: str = ""
    of: str = ""
    form: bool = False


class Router:
    """`find` for one set of resource type names."""

    def __init__(self, types: frozenset[str]) -> None:
        self.types = types

    def find(self, method: str, path: str) -> Route:
        """The route of `path` (below the base, decoded, with or without a leading slash).

        HEAD counts as GET. Raises NotFound for an address that is none, MethodNotAllowed (with Allow) for the wrong
        method, BadRequest for an id that cannot be one.
        """
        methods = self.methods(path)
        if method == "HEAD":
            method = "GET"
        route = methods.get(method)
        if route is None:
            allow = allow_header(methods)
            raise MethodNotAllowed(
                f"{method} is not allowed on this address; allowed: {allow}.", headers={"Allow": allow}
            )
        return route

    def methods(self, path: str) -> dict[str, Route]:
        """Every method that `path` answers to, with its route. Raises NotFound and BadRequest."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        if len(path) > 1 and "//" in path:
            raise NotFound("There is no such address on this server: it has an empty path segment.")
        count = len(segments)
        if count == 0:
            return {"GET": Route("search"), "POST": Route("bundle")}
        first = segments[0]
        if first not in self.types:
            if count == 1:
                return self._system(first)
            if count == 2 and first == "_async" and _ID.match(second := segments[1]):
                return {"GET": Route("async-status", id=second), "DELETE": Route("async-cancel", id=second)}
            raise self._unknown_type(first)
        if count == 1:
            return {
                "GET": Route("search", first),
                "POST": Route("create", first),
                "PUT": Route("conditional-update", first),
                "PATCH": Route("conditional-patch", first),
                "DELETE": Route("conditional-delete", first),
            }
        second = segments[1]
        if count == 2 and second[:1] in ("$", "_"):
            return self._type_level(first, second)
        if not _ID.match(second):
            if second[:1] in ("$", "_"):
                raise NotFound("There is no such address on this server.")
            raise BadRequest(
                issues=[
                    Issue(
                        "error",
                        "value",
                        "A resource id is 1 to 64 characters out of A-Z, a-z, 0-9, '-' and '.'.",
                    )
                ]
            )
        if count == 2:
            return {
                "GET": Route("read", first, second),
                "PUT": Route("update", first, second),
                "PATCH": Route("patch", first, second),
                "DELETE": Route("delete", first, second),
            }
        return self._instance(first, second, segments[2:])

    def _system(self, first: str) -> dict[str, Route]:
        if first == "metadata":
            return {"GET": Route("metadata")}
        if first == "_history":
            return {"GET": Route("history")}
        if first == "_search":
            return {"POST": Route("search", form=True)}
        if _OPERATION.match(first):
            return _operation(Route("operation", operation=first[1:]))
        raise self._unknown_type(first)

    def _type_level(self, type: str, second: str) -> dict[str, Route]:
        if second == "_search":
            return {"POST": Route("search", type, form=True)}
        if second == "_history":
            return {"GET": Route("history", type)}
        if _OPERATION.match(second):
            return _operation(Route("operation", type, operation=second[1:]))
        raise NotFound("There is no such address on this server.")

    def _instance(self, type: str, id: str, rest: list[str]) -> dict[str, Route]:
        head, count = rest[0], len(rest)
        if head == "_history":
            if count == 1:
                return {"GET": Route("history", type, id)}
            if count == 2:
                return {"GET": Route("vread", type, id, rest[1])}
            if count == 3 and _OPERATION.match(rest[2]):
                return _operation(Route("operation", type, id, rest[1], rest[2][1:]))
        elif head[:1] == "$":
            if count == 1 and _OPERATION.match(head):
                return _operation(Route("operation", type, id, operation=head[1:]))
        elif head in self.types or head == "*":
            if count == 1:
                return {"GET": Route("search", type, id, of=head)}
            if count == 2 and rest[1] == "_search":
                return {"POST": Route("search", type, id, of=head, form=True)}
        elif count == 1 and head[:1].isupper():
            raise self._unknown_type(head)
        raise NotFound("There is no such address on this server.")

    def _unknown_type(self, name: str) -> NotFound:
        shown = name if name.isascii() and name.isalnum() and len(name) <= 64 else "The first path segment"
        return NotFound(f"{shown} is not a resource type of FHIR R4B.", code="not-supported")


def _operation(route: Route) -> dict[str, Route]:
    return {"GET": route, "POST": route}


def allow_header(methods: dict[str, Route]) -> str:
    """The value of Allow: what the address answers to, HEAD and OPTIONS included."""
    names = list(methods)
    if "GET" in methods:
        names.insert(names.index("GET") + 1, "HEAD")
    return ", ".join([*names, "OPTIONS"])
