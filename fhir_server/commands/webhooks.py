"""``fhir-server webhooks secret|rotate``: what receivers check signatures with."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.jobs.secrets import OVERLAP, secrets_of
from fhir_server.opening import keys_of, open_store_of
from fhir_server.settings import Settings
from fhir_server.store.protocol import Store

_KEY = click.option(
    "--key",
    "key_id",
    metavar="ID",
    envvar=environment("webhooks_key"),
    show_envvar=True,
    help="Id of the API key whose jobs are told of; without it, of jobs that no API key asked for.",
)


@click.group(name="webhooks")
def command() -> None:
    """Show and change the secrets that webhooks are signed with (Standard Webhooks)."""


@command.command()
@_KEY
@settings_options(*DATA)
def secret(settings: Settings, key_id: str | None) -> None:
    """Print the secrets that sign now, the newest first."""

    async def run() -> list[str]:
        async with open_store_of(settings) as store:
            await _known(settings, store, key_id)
            return await secrets_of(settings, store).of(key_id or "", datetime.now(UTC))

    for each in asyncio.run(run()):
        click.echo(each)


@command.command()
@_KEY
@settings_options(*DATA)
def rotate(settings: Settings, key_id: str | None) -> None:
    """Make a new secret and print it; for a week the one before signs too."""

    async def run() -> str:
        async with open_store_of(settings) as store:
            await _known(settings, store, key_id)
            return await secrets_of(settings, store).rotate(key_id or "", datetime.now(UTC))

    click.echo(asyncio.run(run()))
    click.echo(f"The secret before it signs too for {OVERLAP.days} days.", err=True)


async def _known(settings: Settings, store: Store, key_id: str | None) -> None:
    if key_id and await keys_of(settings, store).get(key_id) is None:
        raise click.BadParameter(f"there is no key {key_id}", param_hint="--key")
