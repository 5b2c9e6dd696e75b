"""``fhir-server keys create|list|revoke``."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.opening import keys_of, open_store_of, tokens_of
from fhir_server.security.keys import PRIORITIES, Key, dialect_names
from fhir_server.security.scopes import BadScope, parse_scopes, split_scopes
from fhir_server.security.tokens import LIFE_SECONDS, key_id_of
from fhir_server.settings import Settings


@click.group(name="keys")
def command() -> None:
    """Create, list and revoke keys. A running server sees the change at once."""


@command.command()
@click.option("--name", required=True, envvar=environment("keys_name"), show_envvar=True, help="Whose key it is.")
@click.option(
    "--dialect",
    type=click.Choice(dialect_names()),
    default="fhir",
    show_default=True,
    envvar=environment("keys_dialect"),
    show_envvar=True,
    help="The interface it is for.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    envvar=environment("keys_scope"),
    show_envvar=True,
    help="What it may do on /fhir: system/TYPE.LETTERS with letters of cruds, TYPE.read, TYPE.write, or admin. May be "
    "repeated. Without one, a fhir key may do everything and another dialect's key nothing.",
)
@click.option(
    "--subject",
    envvar=environment("keys_subject"),
    show_envvar=True,
    help="Whom the key stands for. A fhir key: a patient (Patient/ID), outside whose compartment it sees nothing. "
    "Another dialect's key: its user or account.",
)
@click.option(
    "--token-limit",
    type=click.IntRange(min=0),
    envvar=environment("keys_token_limit"),
    show_envvar=True,
    help="Output tokens it may use up; no limit without it.",
)
@click.option(
    "--expires",
    metavar="WHEN",
    envvar=environment("keys_expires"),
    show_envvar=True,
    help="When it ends: a date or instant (2027-01-31, 2027-01-31T12:00:00Z), or days from now (30d).",
)
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES),
    envvar=environment("keys_priority"),
    show_envvar=True,
    help="How urgent the jobs are that it asks for; the more urgent ones are done first. Default: routine.",
)
@click.option(
    "--inactive", is_flag=True, envvar=environment("keys_inactive"), show_envvar=True, help="Make it switched off."
)
@click.option(
    "--json", "as_json", is_flag=True, envvar=environment("keys_json"), show_envvar=True, help="Print one JSON object."
)
@settings_options(*DATA)
def create(
    settings: Settings,
    name: str,
    dialect: str,
    scopes: tuple[str, ...],
    subject: str | None,
    token_limit: int | None,
    expires: str | None,
    priority: str | None,
    inactive: bool,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown this once; the server keeps a hash."""
    try:
        wanted = split_scopes(scopes)
        parse_scopes(wanted, _is_resource_type if wanted else None)
        ends = _moment(expires) if expires else None
    except BadScope as error:
        raise click.BadParameter(str(error), param_hint="--scope") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from None

    if dialect == "medmitra":
        if not subject:
            raise click.BadParameter("a MedMitra key is a token of one user: name him.", param_hint="--subject")
        ends = ends if ends is not None else datetime.now(UTC).timestamp() + LIFE_SECONDS

    async def run() -> tuple[Key, str]:
        async with open_store_of(settings) as store:
            key, text = await keys_of(settings, store).create(
                name=name,
                dialect=dialect,
                scopes=wanted,
                subject=subject,
                token_limit=token_limit,
                expires=ends,
                active=not inactive,
                priority=priority,
            )

            if dialect == "medmitra" and subject and ends is not None:
                text = tokens_of(settings).mint(subject, id=key.id, expires=ends, now=key.created)
            return key, text

    key, text = asyncio.run(run())
    if as_json:
        click.echo(json.dumps({"id": key.id, "key": text, **_shown(key)}))
    else:
        header = "X-API-Key: " if dialect in ("sporo", "healthsage") else "Authorization: Bearer "
        click.echo(f"{text}\n\nKey {key.id} ({dialect}). It is shown this once. Send it as '{header}{text}'.")


@command.command(name="list")
@click.option(
    "--json", "as_json", is_flag=True, envvar=environment("keys_json"), show_envvar=True, help="One JSON object a line."
)
@settings_options(*DATA)
def list_(settings: Settings, as_json: bool) -> None:
    """Show all keys, oldest first; never their secrets."""

    async def run() -> list[Key]:
        async with open_store_of(settings) as store:
            return await keys_of(settings, store).list()

    found = asyncio.run(run())
    if as_json:
        for key in found:
            click.echo(json.dumps({"id": key.id, **_shown(key)}))
        return
    rows = [("ID", "NAME", "DIALECT", "STATE", "SCOPES", "CREATED", "EXPIRES")]
    now = datetime.now(UTC).timestamp()
    for key in found:
        state = "inactive" if not key.active else "active" if key.usable(now) else "expired"
        rows.append(
            (
                key.id,
                key.name,
                key.dialect,
                state,
                " ".join(key.scopes) or "-",
                _instant(key.created) or "",
                _instant(key.expires) or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@settings_options(*DATA)
def revoke(settings: Settings, ids: tuple[str, ...]) -> None:
    """Switch keys off for good, by id (or by the key itself)."""

    async def run() -> list[str]:
        unknown = []
        async with open_store_of(settings) as store:
            keys = keys_of(settings, store)
            for given in ids:
                id = key_id_of(given) if given.count(".") == 2 else given
                key = await keys.find(given) if given.startswith("fsk_") else await keys.get(id or "")
                if key is None or await keys.revoke(key.id) is None:
                    unknown.append(given)
                else:
                    click.echo(f"Revoked {key.id} ({key.name}).")
        return unknown

    unknown = asyncio.run(run())
    for given in unknown:
        click.echo(f"There is no key {given}.", err=True)
    if unknown:
        sys.exit(1)


def _shown(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "dialect": key.dialect,
        "scopes": list(key.scopes),
        "subject": key.subject,
        "token_limit": key.token_limit,
        "created": _instant(key.created),
        "expires": _instant(key.expires),
        "active": key.active,
        "priority": key.priority,
    }


def _instant(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(text: str) -> float:
    if text.endswith("d") and text[:-1].isdigit():
        return (datetime.now(UTC) + timedelta(days=int(text[:-1]))).timestamp()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"'{text}' is neither a date or instant like 2027-01-31T12:00:00Z nor days like 30d."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_resource_type(name: str) -> bool:
    from fhir_server.r4b.definitions import definitions

    return definitions().is_resource(name)
