"""What the handlers of the routes share: who asks, in which spelling, and how a body is read and answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from fhir_server.dialects import sentences
from fhir_server.security.caller import SYSTEM, Caller

from . import spelling
from .ids import USER, Index
from .reading import Reader
from .writing import Writer

if TYPE_CHECKING:
    from fhir_server.dialects import DialectContext

DEFAULT_USER: Final = "autoscribe-default"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Desk:
    """One for the whole life of the routes."""

    context: DialectContext
    index: Index

    def reader(self, key: Caller) -> Reader:
        """A key for FHIR sees what its scopes let it see; the dialect's own keys see what the dialect shows."""
        default = str(getattr(self.context.settings, "autoscribe_practitioner", None) or DEFAULT_USER)
        caller = key if key.dialect == "fhir" else SYSTEM
        return Reader(self.context.hub, caller, self.index, USER.of_id(default))

    def writer(self, key: Caller, reader: Reader | None = None) -> Writer:
        return Writer(self.context, reader or self.reader(key), key)


class Query:
    """The query string, its names in either spelling. Raises 400 for names that mean nothing here."""

    def __init__(self, request: Request, *known: str) -> None:
        given = request.query_params
        self._known = known
        self.snake = spelling.is_snake(given)
        self._values: dict[str, str] = {}
        for name, value in given.multi_items():
            name = spelling.camel(name)
            if name not in known:
                raise HTTPException(400, f"Unknown query parameter: {name[:100]}.")
            if name in self._values and self._values[name] != value:
                if name != "studyReportStatus":
                    raise HTTPException(400, f"The query parameter {name} was given more than once.")
                value = f"{self._values[name]},{value}"
            self._values[name] = value

    def get(self, name: str) -> str | None:
        """None when it was not given, or given empty."""
        return self._values.get(name) or None

    def takes(self, name: str) -> bool:
        """Whether the route knows this parameter."""
        return name in self._known

    def has(self, name: str) -> bool:
        return name in self._values


async def body_of(request: Request, model: type[Model]) -> tuple[Model, bool]:
    """The JSON body, and whether it was spelled in snake_case. 415 for another type, 400 with a sentence for each thing
    that is wrong."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise HTTPException(415, "The body must be JSON (Content-Type: application/json).")
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON.") from None
    if not isinstance(given, Mapping):
        raise HTTPException(400, "The body must be a JSON object.")
    snake = spelling.is_snake(given)
    try:
        return model.model_validate(spelling.cameled(given)), snake
    except ValidationError as error:
        raise HTTPException(400, f"Invalid request: {'; '.join(sentences(error.errors()))}.") from None


def answer(value: Any, *, snake: bool = False, status: int = 200) -> JSONResponse:
    return JSONResponse(spelling.snaked(value) if snake else value, status)
