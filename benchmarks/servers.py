"""The server under measurement, as a user starts it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "fhir-server")


@dataclass(slots=True)
class Running:
    """A server process (with its children) that answers on a port of this machine."""

    process: subprocess.Popen[bytes]
    port: int
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """One request -> (status, body)."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=body or None, method=method, headers={**self.headers, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path: str) -> dict:
        status, body = self.ask("GET", path)
        assert status == 200, (status, path, body[:500])
        return json.loads(body)

    def processes(self) -> list[int]:
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            try:
                left += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except OSError:
                continue
        return found

    def cpu_seconds(self) -> float:
        """CPU time of the server and its children so far: immune to a noisy neighbour."""
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[int, float]:
        """Resident megabytes by process."""
        found = {}
        for pid in self.processes():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[pid] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 30.0) -> float:
    """Seconds until `url` answers with 200."""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return time.perf_counter() - started
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"{url} does not answer")


@contextmanager
def fhir_server(data_dir: Path, *, cpu: int | None, workers: int = 1) -> Iterator[tuple[Running, float]]:
    """`fhir-server serve` with keys, on a free port -> (it, seconds from start to ready)."""
    made = subprocess.run(
        [COMMAND, "keys", "create", "--name", "bench", "--json", "--data-dir", str(data_dir)],
        capture_output=True,
        check=True,
    )
    port = free_port()
    pin = ["taskset", "-c", str(cpu)] if cpu is not None and shutil.which("taskset") else []
    command = [*pin, COMMAND, "serve", "--port", str(port), "--data-dir", str(data_dir), "--workers", str(workers)]
    with (data_dir / "bench.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        seconds = wait_for(f"http://127.0.0.1:{port}/health/ready", process)
        yield Running(process, port, json.loads(made.stdout)["key"]), seconds
    finally:
        process.terminate()
        process.wait(30)


def run_command(*arguments: str, data_dir: Path) -> tuple[float, str]:
    """(seconds, standard output) of one `fhir-server` command."""
    started = time.perf_counter()
    done = subprocess.run([COMMAND, *arguments, "--data-dir", str(data_dir)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started, done.stdout
