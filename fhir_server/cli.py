"""The command ``fhir-server``. Each subcommand is a module of fhir_server.commands, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

import fhir_server

#: Subcommand -> what it does, in a few words; the module has the same name (import and export get a trailing verb).
COMMANDS: Final = {
    "serve": ("fhir_server.commands.serve", "Run the API and the worker in one command."),
    "api": ("fhir_server.commands.api", "Run the API alone."),
    "worker": ("fhir_server.commands.worker", "Run the worker alone."),
    "keys": ("fhir_server.commands.keys", "Create, list and revoke keys."),
    "webhooks": ("fhir_server.commands.webhooks", "Show and rotate the secrets that webhooks are signed with."),
    "import": ("fhir_server.commands.importing", "Load Bundles, resources and NDJSON into the store."),
    "export": ("fhir_server.commands.exporting", "Write the store's resources as NDJSON."),
    "dicom": ("fhir_server.commands.dicom", "Link DICOM files and the studies of a PACS."),
    "packages": ("fhir_server.commands.packages", "Install FHIR packages: profiles, value sets, code systems."),
    "terminology": ("fhir_server.commands.terminology", "Load code systems, value sets and concept maps."),
    "reindex": ("fhir_server.commands.reindex", "Rebuild the search index from the resources."),
    "check": ("fhir_server.commands.check", "Compare the search index with the resources."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name][0]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            words = _explained(error)
            if words is None:
                raise
            raise click.ClickException(words) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


def _explained(error: Exception) -> str | None:
    """What to tell instead of a stack, for what an operator can do something about; None for anything else."""
    from fhir_server.r4b.outcome import FhirError
    from fhir_server.store.protocol import StoreError

    if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort | BrokenPipeError):
        return None
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error) if isinstance(error, StoreError | FhirError) else None


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fhir_server.__version__, prog_name="fhir-server")
def main() -> None:
    """A FHIR R4B server that also speaks the dialects of clinical AI products.

    Every option is also a variable FHIR_SERVER_… in the environment."""


if __name__ == "__main__":
    main()
