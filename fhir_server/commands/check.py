"""``fhir-server check``: is the index what the resources say?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.opening import open_hub
from fhir_server.settings import Settings
from fhir_server.store.protocol import Problem


@click.command(name="check")
@click.option(
    "--json", "as_json", is_flag=True, envvar=environment("check_json"), show_envvar=True, help="A JSON object a line."
)
@settings_options(*DATA, "base_url", "host", "port")
def command(settings: Settings, as_json: bool) -> None:
    """Compare the search index with the resources, and look at the store's own rules.

    Exit status: 0 all is well, 1 problems were found (they are printed)."""
    from fhir_server.commands.indexing import extractor

    async def run() -> tuple[Sequence[Problem], int]:
        async with open_hub(settings) as opened:
            problems = await opened.store.check(extractor(opened.hub))
            return problems, sum((await opened.store.type_counts()).values())

    problems, count = asyncio.run(run())
    for problem in problems:
        if as_json:
            shown = {"type": problem.type, "id": problem.id, "what": problem.what, "details": dict(problem.details)}
            click.echo(json.dumps(shown, default=str))
        else:
            details = ", ".join(f"{name}: {value}" for name, value in problem.details.items())
            where = f"{problem.type}/{problem.id}".strip("/") or "store"
            click.echo(f"{where}: {problem.what}{f' ({details})' if details else ''}")
    if problems:
        click.echo(
            f"{len(problems)} problems in {count:,} resources. `fhir-server reindex` rebuilds the index.", err=True
        )
        sys.exit(1)
    if not as_json:
        click.echo(f"All is well: {count:,} resources and their index agree.")
