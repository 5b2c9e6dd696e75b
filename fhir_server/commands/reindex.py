"""``fhir-server reindex``: the index again, from the resources."""

from __future__ import annotations

import asyncio
import time

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.commands.progress import progress
from fhir_server.opening import open_hub
from fhir_server.settings import Settings


@click.command(name="reindex")
@click.option(
    "--type",
    "types",
    multiple=True,
    envvar=environment("reindex_type"),
    show_envvar=True,
    help="Only this resource type; may be repeated.",
)
@settings_options(*DATA, "base_url", "host", "port")
def command(settings: Settings, types: tuple[str, ...]) -> None:
    """Rebuild the search index from the resources. A server on the same store may go on working."""
    from fhir_server.commands.indexing import extractor
    from fhir_server.r4b.definitions import definitions

    for type in types:
        if not definitions().is_resource(type):
            raise click.BadParameter(f"{type} is not a FHIR R4B resource type.", param_hint="--type")

    async def run() -> int:
        async with open_hub(settings) as opened:
            with progress("Reindexing", "resources") as shown:
                return await opened.store.reindex(
                    extractor(opened.hub),
                    types=types,
                    progress=lambda done, total: shown.show(done=done, total=total, count=done),
                )

    started = time.monotonic()
    count = asyncio.run(run())
    taken = max(time.monotonic() - started, 1e-9)
    click.echo(f"Reindexed {count:,} resources in {taken:.1f} s ({count / taken:,.0f}/s).")
