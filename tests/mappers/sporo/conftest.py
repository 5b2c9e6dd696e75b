"""A server of its own for this dialect: without rate limits, and with webhooks to this machine allowed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Server, admin_key, free_port, stop, wait_until_ready


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Server]:
    port, log = free_port(), data_dir / "server.log"
    command = [str(Path(sys.executable).parent / "fhir-server"), "serve", "--port", str(port)]
    environment = {**os.environ, "FHIR_SERVER_DATA_DIR": str(data_dir), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
        yield Server(f"http://127.0.0.1:{port}/fhir", admin_key(data_dir), data_dir)
    finally:
        stop(process)


@pytest.fixture(scope="session")
def sporo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(
        tmp_path_factory.mktemp("sporo"),
        FHIR_SERVER_SPORO_RATE_LIMITS="off",
        FHIR_SERVER_WEBHOOK_ALLOW_PRIVATE="true",
    ) as server:
        yield server


@pytest.fixture(scope="session")
def vendor_key(sporo_server: Server) -> str:
    return new_key(sporo_server, "--dialect", "sporo")


def new_key(server: Server, *options: str) -> str:
    """A key made on the command line."""
    import json

    command = [str(Path(sys.executable).parent / "fhir-server"), "keys", "create", "--name", "tests", "--json"]
    made = subprocess.run(
        [*command, *options, "--data-dir", str(server.data_dir)], capture_output=True, text=True, check=True
    )
    return str(next(value for value in json.loads(made.stdout).values() if str(value).startswith("fsk_")))


@pytest.fixture(scope="session")
def vendor(sporo_server: Server, vendor_key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sporo_server.root, headers={"X-API-KEY": vendor_key}, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def fhir(sporo_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sporo_server.base + "/", headers=sporo_server.headers, timeout=60) as client:
        yield client


def finished(vendor: httpx.Client, path: str, seconds: float = 60) -> dict[str, Any]:
    """The answer of a status route once the job has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        response = vendor.get(path)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        if body["status"] in ("completed", "failed"):
            return body
        time.sleep(0.02)
    pytest.fail(f"{path} did not end")
