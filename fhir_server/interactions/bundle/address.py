"""Bundle.entry.request: method and url as an interaction. R4B 3.1.0.2, 3.1.0.11."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, NotFound

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_OPERATION: Final = re.compile(r"\$[A-Za-z][A-Za-z0-9\-_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """interaction: create, update, patch, delete, conditional-update, conditional-patch, conditional-delete, read,
    vread, search, compartment, history, operation, metadata. of: the type searched in a compartment."""

    interaction: str
    type: str = ""
    id: str = ""
    version: str = ""
    operation: str = ""
    of: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


def parse(method: str, url: str, base_urls: Sequence[str]) -> Address:
    """Raises BadRequest for what is no interaction of FHIR, NotFound for an unknown type."""
    for base in base_urls:
        if url.startswith(base + "/"):
            url = url[len(base) + 1 :]
            break
    return _parse(method, url)


@lru_cache(maxsize=1024)
def _parse(method: str, url: str) -> Address:
    path, _, query = url.partition("?")
    if "://" in path:
        raise BadRequest(f"request.url must be relative to this server's base, not {url[:120]!r}.", code="value")
    try:
        parameters = tuple(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1000))
        segments = [unquote(part, errors="strict") for part in path.strip("/").split("/")] if path.strip("/") else []
    except ValueError:
        raise BadRequest("request.url is not UTF-8 after percent-decoding.", code="value") from None
    address = _address(method, segments, parameters)
    if address is None:
        raise BadRequest(f"{method} {url[:120]!r} is not an interaction of FHIR.", code="not-supported")
    return address


def _address(method: str, path: list[str], query: tuple[tuple[str, str], ...]) -> Address | None:
    if method == "HEAD":
        method = "GET"
    if path and path[-1].startswith("$") and _OPERATION.fullmatch(path[-1]) and method in ("GET", "POST"):
        return _operation(path, query)
    if not path:
        return Address("search", parameters=query) if method == "GET" else None
    if path[0].startswith("_") or path[0] == "metadata":
        return _whole(method, path, query)
    type = path[0]
    if not definitions().is_resource(type):
        raise NotFound(f"{type[:64]!r} is not a resource type of FHIR R4B.", code="not-supported")
    if len(path) == 1:
        return _on_type(method, type, query)
    if path[1] == "_history" and len(path) == 2 and method == "GET":
        return Address("history", type, parameters=query)
    if path[1] == "_search" and len(path) == 2 and method == "POST":
        return Address("search", type, parameters=query)
    if not _ID.fullmatch(path[1]):
        raise BadRequest("A resource id is 1 to 64 characters out of A-Z, a-z, 0-9, '-' and '.'.", code="value")
    return _on_instance(method, path, query)


def _operation(path: list[str], query: tuple[tuple[str, str], ...]) -> Address | None:
    name = path[-1][1:]
    where = path[:-1]
    if len(where) > 2 or (where and not definitions().is_resource(where[0])):
        return None
    if len(where) == 2 and not _ID.fullmatch(where[1]):
        return None
    type = where[0] if where else ""
    return Address("operation", type, where[1] if len(where) == 2 else "", operation=name, parameters=query)


def _whole(method: str, path: list[str], query: tuple[tuple[str, str], ...]) -> Address | None:
    if len(path) != 1:
        return None
    if path[0] == "metadata" and method == "GET":
        return Address("metadata", parameters=query)
    if path[0] == "_history" and method == "GET":
        return Address("history", parameters=query)
    if path[0] == "_search" and method == "POST":
        return Address("search", parameters=query)
    return None


def _on_type(method: str, type: str, query: tuple[tuple[str, str], ...]) -> Address | None:
    interaction = {
        "GET": "search",
        "POST": "create",
        "PUT": "conditional-update",
        "PATCH": "conditional-patch",
        "DELETE": "conditional-delete",
    }.get(method)
    return Address(interaction, type, parameters=query) if interaction else None


def _on_instance(method: str, path: list[str], query: tuple[tuple[str, str], ...]) -> Address | None:
    type, id = path[0], path[1]
    if len(path) == 2:
        interaction = {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method)
        return Address(interaction, type, id, parameters=query) if interaction else None
    if method != "GET":
        return None
    if path[2] == "_history":
        if len(path) == 3:
            return Address("history", type, id, parameters=query)
        return Address("vread", type, id, version=path[3], parameters=query) if len(path) == 4 else None
    if len(path) == 3 and (path[2] == "*" or definitions().is_resource(path[2])):
        return Address("compartment", type, id, of=path[2], parameters=query)
    return None
