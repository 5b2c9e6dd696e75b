"""Command line options made from the settings, so that a name, a default and a help text are written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from fhir_server.settings import PREFIX, Settings, SettingsError, load

F = TypeVar("F", bound=Callable[..., Any])

#: A secret does not belong on a command line, where every user of the machine can read it.
NOT_OPTIONS: Final = frozenset({"pepper", "medmitra_jwt_secret"})
DATA: Final = ("data_dir", "store")
LOGS: Final = ("log_level", "log_format")
EVERY: Final = tuple(name for name in Settings.model_fields if name not in NOT_OPTIONS)


def settings_options(*names: str) -> Callable[[F], F]:
    """Options for these settings; the command gets them as one argument `settings`. Bad values are usage errors."""

    def decorate(function: F) -> F:
        def wrapped(**given: Any) -> Any:
            chosen = {name: given.pop(name) for name in names}
            try:
                settings = load(**chosen)
            except SettingsError as error:
                raise click.UsageError(str(error)) from None
            return function(settings=settings, **given)

        wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
        wrapped.__click_params__ = list(getattr(function, "__click_params__", ()))  # type: ignore[attr-defined]
        for name in reversed(names):
            _option(name, Settings.model_fields[name])(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def environment(name: str) -> str:
    """The variable of an option that is not a setting but belongs to one command, e.g. FHIR_SERVER_IMPORT_JOBS."""
    return PREFIX + name.upper().replace("-", "_")


def _option(name: str, field: FieldInfo) -> Callable[[Any], Any]:
    flag = "--" + name.replace("_", "-")
    help = f"{field.description}  [env: {PREFIX}{name.upper()}{_default(field)}]"
    annotation = field.annotation
    if annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=help)
    kind: Any = str
    metavar = None
    if get_origin(annotation) is Literal:
        kind = click.Choice([str(choice) for choice in get_args(annotation)])
    elif annotation is int or annotation is float:
        kind, metavar = str, "NUMBER"
    elif annotation is Path:
        metavar = "DIR"
    elif isinstance(annotation, UnionType) or annotation is str:
        metavar = "URL" if "URL" in (field.description or "") or name == "broker_url" else "TEXT"
    return click.option(flag, name, type=kind, metavar=metavar, default=None, help=help)


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return ""
    if isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, tuple):
        default = ",".join(default)
    return f"; default: {default}"
