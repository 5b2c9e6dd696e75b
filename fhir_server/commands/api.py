"""``fhir-server api``: the HTTP server, in one or several processes that share the port."""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from fhir_server.commands.options import EVERY, settings_options
from fhir_server.processes import CANNOT_START, Child, supervise
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.app import Announce

_WORKER_ONLY = ("job_concurrency", "job_lease_seconds", "job_time_limit")


@click.command(name="api")
@settings_options(*(name for name in EVERY if name not in _WORKER_ONLY))
def command(settings: Settings) -> None:
    """Run the API alone; jobs wait for a worker. `serve` runs both."""
    settings, listener = listen(settings)
    sys.exit(supervise(api_children(settings, listener, banner="FHIR API")))


def listen(settings: Settings) -> tuple[Settings, socket.socket]:
    """A listening socket on the address of the settings, and the settings with the port it got."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # A server that was killed a moment ago may still be on its way out.
    deadline = time.monotonic() + 2.0
    while True:
        try:
            listener.bind((settings.host.strip("[]"), settings.port))
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise click.ClickException(
                    f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
                    "choose another one with --host and --port."
                ) from None
            time.sleep(0.05)
    listener.listen(2048)
    listener.setblocking(False)
    return settings.model_copy(update={"port": listener.getsockname()[1]}), listener


def api_children(
    settings: Settings, listener: socket.socket, *, banner: str, before_ready: Callable[[], None] = lambda: None
) -> list[Child]:
    """One child per API process. The first one prints where to go, once it is ready. before_ready: called before it
    says so and answers."""
    from fhir_server.metrics import prepare

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    prepare(settings.data_dir / "run" / "metrics")

    def announce(settings: Settings, first_key: str | None) -> None:
        before_ready()
        greet(settings, first_key, banner)

    first = Child("api process 1", lambda: _run_api(settings, listener, announce))
    return [
        first,
        *(
            Child(f"api process {number}", lambda: _run_api(settings, listener, _only_a_key))
            for number in range(2, settings.workers + 1)
        ),
    ]


def greet(settings: Settings, first_key: str | None, banner: str) -> None:
    """What a person who starts the server reads on standard output."""
    root = settings.fhir_base.removesuffix("/fhir")
    lines = [
        "",
        f"  {banner} is ready.",
        "",
        f"  FHIR R4B    {settings.fhir_base}        (what it can do: {settings.fhir_base}/metadata)",
        f"  dialects    {root}/docs",
        f"  health      {root}/health/ready",
        f"  data        {settings.data_dir.resolve()}",
    ]
    if first_key is not None:
        lines += [
            "",
            f"  First key   {first_key}",
            "              It is shown this once. Make more with: fhir-server keys create",
            "",
            "  Try:",
            f"    curl -H 'Authorization: Bearer {first_key}' {settings.fhir_base}/Patient",
        ]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _only_a_key(settings: Settings, first_key: str | None) -> None:
    if first_key is not None:
        sys.stdout.write(f"  First key   {first_key}  (shown this once)\n")
        sys.stdout.flush()


def _run_api(settings: Settings, listener: socket.socket, announce: Announce) -> int:
    import uvicorn

    from fhir_server.app import build
    from fhir_server.logs import AccessLog, configure

    sink = configure(settings.log_level, settings.log_format)
    app = build(
        settings, access_log=AccessLog(sink, settings.log_format) if settings.access_log else None, announce=announce
    )
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        backlog=2048,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    sink.flush()
    return 0 if server.started else CANNOT_START
