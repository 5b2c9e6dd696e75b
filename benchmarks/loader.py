"""Load: closed model, N clients over keep-alive connections, in a process of its own.

`wrk` is used when it is installed (it takes next to nothing of the machine); otherwise a raw asyncio client. Both send
prepared requests, at random, and both only count answers below 400 as good.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LUA = r"""
local file = io.open(os.getenv("BENCH_REQUESTS"), "rb")
local all = file:read("*a")
file:close()
local requests, at = {}, 1
while at <= #all do
  local a, b, c, d = all:byte(at, at + 3)
  local size = ((a * 256 + b) * 256 + c) * 256 + d
  requests[#requests + 1] = all:sub(at + 4, at + 3 + size)
  at = at + 4 + size
end
math.randomseed(7)
local order, next_one = os.getenv("BENCH_ORDER"), 0
request = function()
  if order == "once" then next_one = next_one % #requests + 1 return requests[next_one] end
  return requests[math.random(#requests)]
end
done = function(summary, latency, requests)
  io.write(string.format('{"requests":%d,"seconds":%f,"errors":%d,"p50":%f,"p95":%f,"p99":%f}\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Result:
    """rate: good answers per second; p50, p95, p99: milliseconds; errors: answers that were not good."""

    rate: float
    p50: float
    p95: float
    p99: float
    requests: int
    errors: int


def raw_request(method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """The bytes of one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(
    port: int, requests: Sequence[bytes], *, clients: int, seconds: float, once: bool = False, cpu: int | None = None
) -> Result:
    """Send `requests` for `seconds` from `clients` connections: at random, or each in turn (`once`)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests"
        file.write_bytes(b"".join(struct.pack(">I", len(request)) + request for request in requests))
        order = "once" if once else "random"
        pin = ["taskset", "-c", str(cpu)] if cpu is not None and shutil.which("taskset") else []
        if shutil.which("wrk"):
            script = Path(folder) / "load.lua"
            script.write_text(_LUA)
            command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
            command.append(f"http://127.0.0.1:{port}")
            env = {"BENCH_REQUESTS": str(file), "BENCH_ORDER": order, "PATH": "/usr/bin:/bin:/usr/local/bin"}
        else:
            command = [
                sys.executable,
                "-m",
                "benchmarks.loader",
                str(port),
                str(file),
                str(clients),
                str(seconds),
                order,
            ]
            env = None
        done = subprocess.run([*pin, *command], capture_output=True, text=True, env=env)
        if done.returncode:
            raise RuntimeError(f"the loader ended with status {done.returncode}: {done.stdout} {done.stderr}")
        output = done.stdout
    told = json.loads(re.search(r"^\{.*\}$", output, re.MULTILINE).group(0))  # type: ignore[union-attr]
    good = told["requests"] - told["errors"]
    return Result(
        good / told["seconds"], told["p50"], told["p95"], told["p99"], int(told["requests"]), int(told["errors"])
    )


class _Client(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self.load = load
        self.buffer = b""
        self.need = -1
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.send()

    def send(self) -> None:
        now = time.perf_counter()
        if now >= self.load.end:
            self.transport.close()
            return
        self.started = now
        self.transport.write(self.load.next())

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if self.need < 0:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            top = self.buffer[:head].lower()
            self.status = int(top[9:12])
            length = re.search(rb"content-length: (\d+)", top)
            self.chunked = length is None and b"chunked" in top
            self.need = head + 4 + (int(length[1]) if length else 0)
        if self.chunked:
            if not self.buffer.endswith(b"0\r\n\r\n"):
                return
        elif len(self.buffer) < self.need:
            return
        self.load.times.append(time.perf_counter() - self.started)
        self.load.errors += self.status >= 400
        self.buffer, self.need = b"", -1
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Load:
    def __init__(self, requests: list[bytes], seconds: float, once: bool) -> None:
        self.requests, self.once = requests, once
        self.end = time.perf_counter() + seconds
        self.times: list[float] = []
        self.errors = 0
        self.at = 0
        self.random = random.Random(7)

    def next(self) -> bytes:
        if self.once:
            self.at += 1
            return self.requests[self.at % len(self.requests)]
        return self.requests[int(self.random.random() * len(self.requests))]


def _unpacked(file: Path) -> list[bytes]:
    packed, at = file.read_bytes(), 0
    requests = []
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        requests.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
    return requests


async def _main(port: int, requests: list[bytes], clients: int, seconds: float, order: str) -> None:
    load = _Load(requests, seconds, order == "once")
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Client(load), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.gather(*(client.done for _, client in made))
    taken = time.perf_counter() - started
    times = sorted(load.times) or [0.0]
    told = {"requests": len(load.times), "seconds": taken, "errors": load.errors}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        told[name] = times[min(len(times) - 1, int(len(times) * share))] * 1000
    print(json.dumps(told))


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(int(sys.argv[1]), _unpacked(Path(sys.argv[2])), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
