"""A real server for the tests that speak HTTP.

FHIR_SERVER_TEST_URL (the FHIR base, e.g. http://localhost:8080/fhir) and FHIR_SERVER_TEST_KEY point the suite at a
server that runs already; without them each test process starts one of its own on a free port and an empty folder.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


@dataclass(frozen=True)
class Server:
    """base: FHIR base URL without a trailing slash. root: scheme and authority. data_dir: None for a foreign server."""

    base: str
    key: str
    data_dir: Path | None = None

    @property
    def root(self) -> str:
        return self.base.removesuffix("/fhir")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_SECRET = re.compile(r"\b(fsk_[A-Za-z0-9]+_[A-Za-z0-9_\-]{20,})")


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"the server did not become ready; its output:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test, with a key that may do everything."""
    url = os.environ.get("FHIR_SERVER_TEST_URL")
    if url:
        yield Server(url.rstrip("/"), os.environ.get("FHIR_SERVER_TEST_KEY", ""))
        return
    data_dir = tmp_path_factory.mktemp("server")
    port = free_port()
    log = data_dir / "server.log"
    key = os.environ.get("FHIR_SERVER_TEST_KEY", "")
    command = [str(Path(sys.executable).parent / "fhir-server"), "serve", "--port", str(port)]
    environment = {**os.environ, "FHIR_SERVER_DATA_DIR": str(data_dir), "NO_COLOR": "1", "COLUMNS": "200"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
        if not key:
            printed_key(log)
            key = admin_key(data_dir)
        yield Server(f"http://127.0.0.1:{port}/fhir", key, data_dir)
    finally:
        stop(process)


def printed_key(log: Path) -> str:
    """The key that the first start prints, once."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = _SECRET.search(log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"the first start printed no key:\n{log.read_text(errors='replace')[-2000:]}")


def admin_key(data_dir: Path) -> str:
    """A key for everything, the operations for administrators included (the first key is not one of theirs)."""
    command = [str(Path(sys.executable).parent / "fhir-server"), "keys", "create", "--name", "tests", "--json"]
    options = ["--scope", "system/*.cruds", "--scope", "admin", "--data-dir", str(data_dir)]
    made = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return next(value for value in json.loads(made.stdout).values() if _SECRET.match(str(value)))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and every process that it started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


@pytest.fixture(scope="session")
def fhir(server: Server) -> Iterator[httpx.Client]:
    """A client whose relative URLs start at the FHIR base: ``fhir.get("Patient/1")``."""
    with httpx.Client(
        base_url=server.base + "/", headers={**server.headers, "Accept": "application/fhir+json"}, timeout=30
    ) as client:
        yield client


@pytest.fixture
def mark() -> str:
    """Text that no other test uses: for identifiers and tags that fence off a test's own resources."""
    return secrets.token_hex(8)
