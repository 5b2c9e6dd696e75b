"""What the machine gives without a FHIR server: a bare Starlette route, and raw SQLite with grouped commits."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import Running, free_port, wait_for

_APP = """
import os
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

bodies = {}

async def get(request):
    size = int(request.path_params["size"])
    if size not in bodies:
        bodies[size] = b"x" * size
    return Response(bodies[size], media_type="application/fhir+json")

async def post(request):
    body = await request.body()
    return Response(body, status_code=201, media_type="application/fhir+json")

app = Starlette(routes=[Route("/{size:int}", get), Route("/", post, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools", access_log=False,
            log_level="error", ws="none", lifespan="off")
"""


@contextmanager
def bare_starlette(cpu: int | None) -> Iterator[Running]:
    """``GET /{size}`` answers with that many stored bytes; ``POST /`` answers with what was sent. One worker."""
    port = free_port()
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    process = subprocess.Popen([*pin, sys.executable, "-c", _APP], env={**os.environ, "PORT": str(port)})
    try:
        wait_for(f"http://127.0.0.1:{port}/1", process)
        yield Running(process, port, "")
    finally:
        process.terminate()
        process.wait(10)


def sqlite_commits(folder: Path, *, size: int, keys: int, group: int, seconds: float) -> float:
    """Resources per second: a body of `size` bytes and `keys` index rows each, `group` of them per durable commit."""
    path = folder / "floor.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE body (id INTEGER PRIMARY KEY, body BLOB)")
    database.execute(
        "CREATE TABLE key (param INTEGER, value TEXT, id INTEGER, PRIMARY KEY (param, value, id)) WITHOUT ROWID"
    )
    done, started = 0, time.perf_counter()
    content = os.urandom(size)
    while time.perf_counter() - started < seconds:
        database.execute("BEGIN IMMEDIATE")
        for _ in range(group):
            done += 1
            database.execute("INSERT INTO body VALUES (?, ?)", (done, content))
            database.executemany(
                "INSERT INTO key VALUES (?, ?, ?)", [(key, f"value-{done % 977}-{key}", done) for key in range(keys)]
            )
        database.execute("COMMIT")
    rate = done / (time.perf_counter() - started)
    database.close()
    for file in folder.glob("floor.sqlite*"):
        file.unlink()
    return rate
