"""``fhir-server serve``: the API and the worker in one command."""

from __future__ import annotations

import mmap
import sys
import time
from importlib import import_module
from typing import Final

import click

from fhir_server.commands.api import api_children, listen
from fhir_server.commands.options import EVERY, settings_options
from fhir_server.commands.worker import run_worker
from fhir_server.processes import Child, supervise
from fhir_server.settings import Settings

#: The API does not wait for a worker that takes longer to start than this; its jobs then wait.
_WAIT_SECONDS: Final = 3.0
#: What every child needs: loaded once, before the fork.
_SHARED: Final = (
    "fhir_server.hub",
    "fhir_server.store.sqlite",
    "fhir_server.search.registry",
    "fhir_server.dialects",
    "fhir_server.conformance",
    "terminology.service",
    "fhir_server.logs",
)


@click.command(name="serve")
@settings_options(*EVERY)
def command(settings: Settings) -> None:
    """Run the API and the worker. Ctrl-C, or SIGTERM, stops both in order."""
    settings, listener = listen(settings)
    for name in _SHARED:
        import_module(name)
    _load_plugins()
    # one byte that all processes see: 1 once the worker has what its first job needs
    warm = mmap.mmap(-1, 1)

    def worker() -> int:
        listener.close()
        return run_worker(settings, ready=lambda: warm.__setitem__(0, 1))

    def wait() -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not warm[0] and time.monotonic() < deadline:
            time.sleep(0.01)

    sys.exit(
        supervise([Child("worker", worker), *api_children(settings, listener, banner="fhir-server", before_ready=wait)])
    )


def _load_plugins() -> None:
    """Operations and dialects, which every child needs too."""
    from fhir_server.dialects import load_dialects
    from fhir_server.operations.registry import load

    load()
    load_dialects()
