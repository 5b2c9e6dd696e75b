"""What Sporo's routes read of a request, and how they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from fhir_server.files import Form

from . import models
from .translate import metadata_text

OWN_FIELDS: Final = frozenset(("files", "extra_information", "webhook_url", "user_input"))
"""Fields with a meaning of their own: every other one is metadata."""


class Answer(JSONResponse):
    """JSON in ASCII: what a client sent comes back even if it is half a character."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def fields(form: Form) -> tuple[dict[str, str | None], dict[str, Any]]:
    """(the route's own fields, metadata) of a form. A field that comes more than once is a list in the metadata."""
    metadata: dict[str, Any] = {}
    for name, value in form.fields:
        if name in OWN_FIELDS:
            continue
        if name not in metadata:
            metadata[name] = value
        elif isinstance(metadata[name], list):
            metadata[name].append(value)
        else:
            metadata[name] = [metadata[name], value]
    return {name: text_of_field(form, name) for name in ("webhook_url", "extra_information")}, metadata


def text_of_field(form: Form, name: str) -> str | None:
    value = form.get(name)
    return models.limited(name, value, models.MAX_EXTRA) if value is not None and value.strip() else None


def within(metadata: Mapping[str, Any]) -> None:
    """Raises HTTPException when the metadata cannot be kept as one string."""
    try:
        size = len(metadata_text(metadata))
    except (ValueError, RecursionError):
        raise HTTPException(422, "The metadata are nested too deeply.") from None
    if size > models.MAX_METADATA:
        raise HTTPException(413, f"The metadata have more than {models.MAX_METADATA:,} characters.")


async def json_of(request: Request) -> dict[str, Any]:
    """The body, read only once the key is known to be good."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not re.fullmatch(r"application/[\w.\-]+\+json", media):
        raise HTTPException(415, "The body must be JSON (Content-Type: application/json).")
    return models.json_object(await request.body())
