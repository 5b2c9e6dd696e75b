"""What an operation was asked with: the URL's parameters and a Parameters body, by name (R4B 3.2.0.3)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fhir_server.operations.registry import OperationRequest
from fhir_server.r4b.codec import parse_json
from fhir_server.r4b.outcome import BadRequest

_ALWAYS = frozenset({"_format", "_pretty"})


class Arguments:
    """Values by parameter name, in order. A value is the JSON of ``value[x]``, a resource, or a list of parts."""

    def __init__(self, values: dict[str, list[Any]]) -> None:
        self._values = values

    def all(self, name: str) -> list[Any]:
        return self._values.get(name, [])

    def one(self, name: str) -> Any:
        """The only value, None when there is none; BadRequest for several."""
        values = self.all(name)
        if len(values) > 1:
            raise BadRequest(f"The parameter '{name}' may be given once.")
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        value = self.one(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise BadRequest(f"The parameter '{name}' must be a string that is not empty.")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.one(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return bool(value == "true")
        raise BadRequest(f"The parameter '{name}' must be true or false.")

    def number(self, name: str, *, least: int = 0) -> int | None:
        value = self.one(name)
        if value is None:
            return None
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadRequest(f"The parameter '{name}' must be a whole number, {least} or more.")
        return value

    def resource(self, name: str) -> dict[str, Any] | None:
        value = self.one(name)
        if value is not None and (not isinstance(value, dict) or "resourceType" not in value):
            raise BadRequest(f"The parameter '{name}' must be a resource.")
        return value


def arguments(
    request: OperationRequest, known: Collection[str], *, resource_as: str | None = None, any_name: bool = False
) -> Arguments:
    """The request's parameters. known: their names; any other one is BadRequest unless any_name.

    resource_as: the parameter that a body which is not Parameters stands for.
    """
    values: dict[str, list[Any]] = {}
    for name, text in request.parameters:
        values.setdefault(name, []).append(text)
    if request.body:
        body = parse_json(request.body)
        if not isinstance(body, dict):
            raise BadRequest("The body must be a Parameters resource.")
        if body.get("resourceType") == "Parameters":
            for place, parameter in enumerate(body.get("parameter") or ()):
                name, value = _parameter(parameter, f"Parameters.parameter[{place}]")
                values.setdefault(name, []).append(value)
        elif resource_as is not None and "resourceType" in body:
            values.setdefault(resource_as, []).append(body)
        else:
            raise BadRequest("The body must be a Parameters resource.", expression="resourceType")
    unknown = values.keys() - set(known) - _ALWAYS
    if unknown and not any_name:
        names = ", ".join(sorted(known)) or "none"
        raise BadRequest(f"The operation has no parameter '{min(unknown)}'; it has {names}.", code="not-supported")
    return Arguments(values)


def _parameter(parameter: Any, where: str) -> tuple[str, Any]:
    if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
        raise BadRequest("A parameter must be an object with a name.", expression=where)
    if "resource" in parameter:
        return parameter["name"], parameter["resource"]
    if "part" in parameter:
        return parameter["name"], parameter["part"]
    for key, value in parameter.items():
        if key.startswith("value"):
            return parameter["name"], value
    raise BadRequest("A parameter must have a value, a resource or parts.", expression=where)
