"""Validation against the base standard, table-driven, all problems at once. R4B 2.1 (resource), 2.24 (data types)."""

from __future__ import annotations

from typing import Any

from fhir_server.r4b.outcome import Issue


def validate(data: dict[str, Any], *, type: str | None = None, id: str | None = None) -> list[Issue]:
    """All problems of a resource, [] when it is valid.

    type and id: what the URL names; a body that says otherwise is a problem (a missing id is one when `id` is given).
    Every Issue has a FHIRPath `expression` such as ``Patient.name[0].given[1]`` and says what to do. Only `error`
    issues make a resource invalid.
    """
    raise NotImplementedError


def check(data: dict[str, Any], *, type: str | None = None, id: str | None = None) -> None:
    """Raises Unprocessable (or BadRequest when type or id differ from the URL) with all problems, if any is an error."""
    raise NotImplementedError
