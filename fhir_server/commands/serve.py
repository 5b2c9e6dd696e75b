"""``fhir-server serve``: the API and the worker in one command."""

from __future__ import annotations

import sys

import click

from fhir_server.commands.api import api_children, listen
from fhir_server.commands.options import EVERY, settings_options
from fhir_server.commands.worker import run_worker
from fhir_server.processes import Child, supervise
from fhir_server.settings import Settings


@click.command(name="serve")
@settings_options(*EVERY)
def command(settings: Settings) -> None:
    """Run the API and the worker. Ctrl-C, or SIGTERM, stops both in order."""
    settings, listener = listen(settings)

    def worker() -> int:
        listener.close()
        return run_worker(settings)

    sys.exit(supervise([*api_children(settings, listener, banner="fhir-server"), Child("worker", worker)]))
