"""``fhir-server worker``: what runs the Tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from fhir_server.commands.options import DATA, LOGS, settings_options
from fhir_server.settings import Settings

_OPTIONS = (
    *DATA,
    "base_url",
    "host",
    "port",
    "job_concurrency",
    "job_lease_seconds",
    "job_time_limit",
    "broker_url",
    "engine",
    *LOGS,
)


@click.command(name="worker")
@settings_options(*_OPTIONS)
def command(settings: Settings) -> None:
    """Run the worker alone, beside one or more `api` on the same store.

    --base-url, or --host and --port, are those of the API: resources that a job makes name it."""
    sys.exit(run_worker(settings))


def run_worker(settings: Settings, ready: Callable[[], None] = lambda: None) -> int:
    """Work until SIGTERM or SIGINT; the exit status. ready: called once the first job would not have to wait."""
    from fhir_server.jobs.worker import main
    from fhir_server.logs import configure

    sink = configure(settings.log_level, settings.log_format)
    try:
        main(settings, ready)
    finally:
        sink.flush()
    return 0
