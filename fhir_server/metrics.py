"""Counts and times in the Prometheus text format, summed over the API processes of one data directory.

Each process counts in plain dicts (well under a microsecond a request) and leaves a snapshot in a file once a second;
whichever process is asked adds the others' snapshots to its own counts.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

#: Upper bounds of the latency histogram, in seconds.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
Labels = tuple[tuple[str, str], ...]


class Snapshot(msgspec.Struct):
    """What one process has counted. Keys are ``interaction|status`` and ``interaction``."""

    requests: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    """Per interaction: one count per bucket, one beyond the last, then the sum of seconds."""


class Metrics:
    """directory: where processes leave their snapshots; None when there is only this one."""

    def __init__(self, directory: Path | None = None) -> None:
        self._own = Snapshot(requests={}, times={})
        self._directory = directory
        self._file = directory / f"{os.getpid()}.json" if directory is not None else None
        self._started = time.time()
        self._saved = -1

    def observe(self, interaction: str, status: int, seconds: float) -> None:
        key = f"{interaction}|{status}"
        requests = self._own.requests
        requests[key] = requests.get(key, 0) + 1
        times = self._own.times.get(interaction)
        if times is None:
            times = self._own.times[interaction] = [0.0] * (len(BUCKETS) + 2)
        times[bisect_left(BUCKETS, seconds)] += 1
        times[-1] += seconds

    def save(self) -> None:
        """Leave a snapshot for the other processes; nothing is written when nothing was counted."""
        count = sum(self._own.requests.values())
        if self._file is None or count == self._saved:
            return
        aside = self._file.with_suffix(".part")
        with contextlib.suppress(OSError):
            aside.write_bytes(msgspec.json.encode(self._own))
            aside.replace(self._file)
            self._saved = count

    def render(self, gauges: Iterable[tuple[str, str, Mapping[Labels, float]]] = ()) -> bytes:
        """The text of /metrics. gauges: (name, help, value by labels) of what is measured when asked."""
        total = self._sum()
        lines = ["# HELP fhir_server_requests_total Requests answered.", "# TYPE fhir_server_requests_total counter"]
        for key, number in sorted(total.requests.items()):
            interaction, _, status = key.rpartition("|")
            lines.append(
                f'fhir_server_requests_total{{interaction="{_escape(interaction)}",status="{status}"}} {number}'
            )
        lines += [
            "# HELP fhir_server_request_seconds Time from the request's arrival to the end of the answer.",
            "# TYPE fhir_server_request_seconds histogram",
        ]
        for interaction, times in sorted(total.times.items()):
            label = f'interaction="{_escape(interaction)}"'
            running = 0.0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), times, strict=False):
                running += count
                lines.append(f'fhir_server_request_seconds_bucket{{{label},le="{bound}"}} {running:.0f}')
            lines.append(f"fhir_server_request_seconds_sum{{{label}}} {times[-1]:.6f}")
            lines.append(f"fhir_server_request_seconds_count{{{label}}} {running:.0f}")
        for name, words, values in (*gauges, *self._process()):
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            for labels, value in values.items():
                shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels)
                lines.append(f"{name}{{{shown}}} {value:.10g}" if shown else f"{name} {value:.10g}")
        return ("\n".join(lines) + "\n").encode()

    def _sum(self) -> Snapshot:
        total = Snapshot(
            requests=dict(self._own.requests), times={name: list(times) for name, times in self._own.times.items()}
        )
        for path in self._directory.glob("*.json") if self._directory is not None else ():
            if path == self._file:
                continue
            try:
                other = msgspec.json.decode(path.read_bytes(), type=Snapshot)
            except (OSError, msgspec.DecodeError):
                continue
            for key, count in other.requests.items():
                total.requests[key] = total.requests.get(key, 0) + count
            for name, times in other.times.items():
                mine = total.times.get(name)
                total.times[name] = [a + b for a, b in zip(mine, times, strict=True)] if mine else list(times)
        return total

    def _process(self) -> Iterable[tuple[str, str, Mapping[Labels, float]]]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield (
            "process_cpu_seconds_total",
            "CPU time of the process that answers.",
            {(): usage.ru_utime + usage.ru_stime},
        )
        yield "process_start_time_seconds", "When it started, in seconds since 1970.", {(): self._started}
        with contextlib.suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            yield "process_resident_memory_bytes", "Its memory.", {(): pages * os.sysconf("SC_PAGE_SIZE")}


def prepare(directory: Path) -> None:
    """Make `directory` and forget the counts of an earlier start. Called once, before the API processes start."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in (*directory.glob("*.json"), *directory.glob("*.part")):
        path.unlink(missing_ok=True)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
