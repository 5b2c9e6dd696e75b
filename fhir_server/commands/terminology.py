"""``fhir-server terminology``: load what an operator is licensed for, and see what is loaded."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_server.commands.options import DATA, settings_options
from fhir_server.commands.progress import progress
from fhir_server.settings import Settings


@click.group(name="terminology")
def command() -> None:
    """Load code systems, value sets and concept maps."""


@command.command(name="load")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--again", is_flag=True, help="Also what was loaded from the same files before.")
@settings_options(*DATA)
def load_command(settings: Settings, paths: tuple[Path, ...], again: bool) -> None:
    """Load PATHS: a FHIR package, CodeSystem, ValueSet and ConceptMap files, LOINC (Loinc.csv), a SNOMED CT RF2
    snapshot, RxNorm (RRF), or ICD-10 in ClaML; folders, .zip and .tgz.

    A server that runs goes on with the old release until the new one is whole, and notices it within a second. After
    an interruption the same command goes on: what is whole is not loaded again."""
    from terminology.loaded import Loaded
    from terminology.loading.load import load, recognise
    from terminology.loading.source import NothingFound

    loaded = Loaded(settings.data_dir / "terminology")
    failed = False
    for path in paths:
        try:
            releases = recognise(path)
        except (NothingFound, ValueError, KeyError) as error:
            click.echo(f"{path}: {error}", err=True)
            failed = True
            continue
        for release in releases:
            with progress(f"Loading {release.title}", "concepts") as shown:
                size = release.size

                def tell(done: int, count: int, size: int = size) -> None:
                    shown.show(done=min(done, size), total=size, count=count)

                done = load(release, loaded, tell, again=again)
            if not done.fresh:
                click.echo(f"{done.title} is loaded already.")
                continue
            parts = [
                f"{done.systems:,} code systems with {done.concepts:,} concepts" if done.systems else "",
                f"{done.value_sets:,} value sets" if done.value_sets else "",
                f"{done.maps:,} concept maps" if done.maps else "",
            ]
            click.echo(f"{done.title}: {', '.join(part for part in parts if part) or 'nothing'}.")
    if failed:
        raise click.exceptions.Exit(1)


@command.command(name="list")
@settings_options(*DATA)
def list_command(settings: Settings) -> None:
    """What is loaded, beside what is shipped."""
    from terminology.loaded import Loaded

    releases = Loaded(settings.data_dir / "terminology").releases()
    for release in releases:
        click.echo(release.title)
    if not releases:
        click.echo("Nothing is loaded; the shipped content is in use.")


@command.command(name="remove")
@click.argument("name")
@settings_options(*DATA)
def remove_command(settings: Settings, name: str) -> None:
    """Take a release out of use, by its NAME or title as `list` shows it."""
    from terminology.loaded import Loaded

    loaded = Loaded(settings.data_dir / "terminology")
    chosen = next((one for one in loaded.releases() if name in (one.name, one.title)), None)
    if chosen is None:
        raise click.ClickException(f"'{name}' is not loaded.")
    for path in loaded.remove(chosen.name):
        path.unlink(missing_ok=True)
    click.echo(f"{chosen.title} was removed.")
