"""``fhir-server worker``: what runs the Tasks."""

from __future__ import annotations

import sys

import click

from fhir_server.commands.options import DATA, LOGS, settings_options
from fhir_server.settings import Settings

_OPTIONS = (*DATA, "base_url", "host", "port", "job_concurrency", "job_lease_seconds", "broker_url", "engine", *LOGS)


@click.command(name="worker")
@settings_options(*_OPTIONS)
def command(settings: Settings) -> None:
    """Run the worker alone, beside one or more `api` on the same store.

    --base-url, or --host and --port, are those of the API: resources that a job makes name it."""
    sys.exit(run_worker(settings))


def run_worker(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; the exit status."""
    from fhir_server.jobs.worker import main
    from fhir_server.logs import configure

    sink = configure(settings.log_level, settings.log_format)
    try:
        main(settings)
    finally:
        sink.flush()
    return 0
