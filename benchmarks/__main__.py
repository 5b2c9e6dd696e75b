"""``python -m benchmarks``: every workload, its floor in the same run, and the ratio between the two."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks import workloads
from benchmarks.data import write_small_set
from benchmarks.floors import bare_starlette, sqlite_commits
from benchmarks.further import more_workloads
from benchmarks.loader import Result, raw_request, run
from benchmarks.sample import take
from benchmarks.servers import Running, fhir_server, run_command

SYNTHEA = Path(__file__).resolve().parents[2] / "shared" / "data" / "synthea"
BASELINE = Path(__file__).with_name("baseline.json")
#: How much more CPU per request than the baseline fails the quick gate.
TOLERANCE = 1.25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, default=SYNTHEA if SYNTHEA.exists() else None, help="files to import")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each level is measured, each time")
    parser.add_argument("--repetitions", type=int, default=3, help="how often; the median is what counts")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds before that which do not count")
    parser.add_argument("--only", default="", help="ids of workloads to run, by prefix, separated by commas")
    parser.add_argument("--unpinned", action="store_true", help="two-core: do not pin the server to one core")
    parser.add_argument("--quick", action="store_true", help="the regression gate: small data, CPU per request")
    parser.add_argument("--save-baseline", action="store_true", help="with --quick: store the result as the baseline")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="folder for the report")
    options = parser.parse_args()
    pinned = (os.cpu_count() or 1) >= 2 and not options.unpinned and shutil.which("taskset") is not None
    report = Report(server_cpu=0 if pinned else None, load_cpu=1 if pinned else None)
    with tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder:
        status = quick(report, options, Path(folder)) if options.quick else full(report, options, Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    name = time.strftime("quick-%Y%m%d-%H%M%S.json" if options.quick else "bench-%Y%m%d-%H%M%S.json")
    (options.out / name).write_text(json.dumps(report.rows, indent=1))
    print(f"\nWritten to {options.out / name}.")
    return status


class Report:
    """Prints each row as it comes, and keeps it."""

    def __init__(self, server_cpu: int | None, load_cpu: int | None) -> None:
        self.server_cpu, self.load_cpu = server_cpu, load_cpu
        self.rows: list[dict[str, object]] = []
        how = "server on core 0, load on core 1" if server_cpu is not None else "unpinned"
        loader = "wrk" if shutil.which("wrk") else "asyncio client"
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        print(f"Topology: {how}. Load: {loader}, closed model. SQLite: WAL, synchronous=FULL. Keys are checked.\n")

    def title(self) -> None:
        """`+-` is the spread of the repetitions' rates. `of cpu` is the bare route's CPU time per request as a share of
        the server's: no neighbour disturbs it."""
        print(f"{'id':16} {'what':36} {'n':>3} {'per s':>9} {'+-':>7} {'floor':>9} {'ratio':>7} {'aim':>5} "
              f"{'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'cpu ms':>7} {'of cpu':>7}")  # fmt: skip

    def row(self, work: workloads.Workload, clients: int, found: Measured) -> None:
        result = found.result
        p95 = f"{result.p95:8.2f}" if result.requests >= 200 else f"{'-':>8}"
        p99 = f"{result.p99:8.2f}" if result.requests >= 1000 else f"{'-':>8}"
        wrong = f"  {result.errors} ERRORS" if result.errors > result.requests / 1000 else ""
        aim = f"{work.target:.0%}" if work.target else ""
        print(
            f"{work.id:16} {work.what[:36]:36} {clients:3} {result.rate:9,.0f} {found.spread:7.0%} "
            f"{found.floor[0]:9,.0f} {found.ratio:7.1%} {aim:>5} {result.p50:8.2f} {p95} {p99} "
            f"{found.cpu:7.3f} {found.of_cpu:7.1%}{wrong}",
            flush=True,
        )
        self.rows.append(
            {"id": work.id, "what": work.what, "clients": clients, "rate": result.rate, "spread": found.spread,
             "floor": found.floor[0], "ratio": found.ratio, "aim": work.target, "cpu_ms": found.cpu,
             "floor_cpu_ms": found.floor[1], "of_cpu": found.of_cpu,
             "p50": result.p50, "p95": result.p95, "p99": result.p99, "errors": result.errors}
        )  # fmt: skip

    def figure(self, id: str, what: str, value: float, unit: str, floor: float = 0.0, aim: float | None = None) -> None:
        ratio = f"{value / floor:7.1%} of {floor:,.0f}" if floor else ""
        print(
            f"{id:16} {what[:48]:48} {value:12,.1f} {unit:12} {ratio} {f'(aim {aim:.0%})' if aim else ''}", flush=True
        )
        self.rows.append({"id": id, "what": what, "value": value, "unit": unit, "floor": floor, "aim": aim})


class Measured(NamedTuple):
    """The median of the repetitions. floor: (requests per second, CPU milliseconds) of the bare route in the same
    minutes; ratio and of_cpu: medians of each repetition's own; spread: between the best and the worst rate."""

    result: Result
    floor: tuple[float, float]
    cpu: float
    ratio: float
    of_cpu: float
    spread: float


def measure(
    report: Report, server: Running, work: workloads.Workload, clients: int, options: argparse.Namespace
) -> Measured:
    """The work and its floor in turn, `repetitions` times, so that both have the same neighbours."""
    if options.warm_up:
        run(server.port, work.requests, clients=clients, seconds=options.warm_up, once=work.once, cpu=report.load_cpu)
    found = []
    for _ in range(options.repetitions):
        before = server.cpu_seconds()
        result = run(
            server.port, work.requests, clients=clients, seconds=options.seconds, once=work.once, cpu=report.load_cpu
        )
        cpu = (server.cpu_seconds() - before) * 1000 / max(1, result.requests)
        floor = floor_of(report, work, clients, max(1.5, options.seconds / 3))
        found.append((result, floor, cpu))
    rates = sorted(result.rate for result, _, _ in found)
    middle = sorted(found, key=lambda each: each[0].rate)[len(found) // 2][0]
    return Measured(
        replace(middle, errors=max(result.errors for result, _, _ in found)),
        (statistics.median(f[0] for _, f, _ in found), statistics.median(f[1] for _, f, _ in found)),
        statistics.median(cpu for _, _, cpu in found),
        statistics.median(result.rate / f[0] if f[0] else 0.0 for result, f, _ in found),
        statistics.median(f[1] / cpu if cpu else 0.0 for _, f, cpu in found),
        (rates[-1] - rates[0]) / rates[len(rates) // 2] if rates[len(rates) // 2] else 0.0,
    )


def floor_of(report: Report, work: workloads.Workload, clients: int, seconds: float) -> tuple[float, float]:
    """(requests per second, CPU milliseconds per request) of the bare route that is this workload's floor, with as many
    clients."""
    if work.floor == "get":
        requests = [raw_request("GET", f"/{work.size}")]
    else:
        requests = [raw_request("POST", "/", body=b"x" * work.size)]
    with bare_starlette(report.server_cpu) as bare:
        run(bare.port, requests, clients=clients, seconds=1, cpu=report.load_cpu)
        before = bare.cpu_seconds()
        result = run(bare.port, requests, clients=clients, seconds=seconds, cpu=report.load_cpu)
        return result.rate, (bare.cpu_seconds() - before) * 1000 / max(1, result.requests)


def full(report: Report, options: argparse.Namespace, folder: Path) -> int:
    data_dir = folder / "data"
    data = options.data
    if data is None:
        data = folder / "small"
        write_small_set(data, patients=60)
        print("There is no Synthea set beside the checkout (see --data): made-up patients take its place.\n")
    with bare_starlette(report.server_cpu) as bare:
        request = [raw_request("GET", "/1500")]
        run(bare.port, request, clients=16, seconds=1, cpu=report.load_cpu)
        bare_rate = run(bare.port, request, clients=16, seconds=options.seconds, cpu=report.load_cpu).rate
    report.figure("floor", "bare Starlette route, 1.5 kB, one worker", bare_rate, "requests/s")
    storage = sqlite_commits(folder, size=1500, keys=14, group=16, seconds=min(5.0, options.seconds))
    report.figure("floor", "raw SQLite, 1.5 kB and 14 keys, 16 a commit", storage, "resources/s")
    storage_bulk = sqlite_commits(folder, size=1500, keys=14, group=700, seconds=min(5.0, options.seconds))
    report.figure("floor", "raw SQLite, 1.5 kB and 14 keys, 700 a commit", storage_bulk, "resources/s")

    only = tuple(filter(None, options.only.split(",")))
    seconds, said = run_command("import", str(data), data_dir=data_dir)
    count = int(said.split("Imported ")[1].split(" ")[0].replace(",", ""))
    report.figure(
        "W13", f"import, {count:,} resources in {seconds:.1f} s", count / seconds, "resources/s", bare_rate, 0.15
    )
    report.figure("W13", "the same against raw SQLite", count / seconds, "resources/s", storage_bulk)
    size = sum(file.stat().st_size for file in data_dir.rglob("*") if file.is_file())
    seconds, _ = run_command("export", "--out", str(folder / "out"), data_dir=data_dir)
    raw = sum(file.stat().st_size for file in (folder / "out").glob("*.ndjson"))
    report.figure(
        "W12", f"export, {raw / 1e6:,.0f} MB in {seconds:.2f} s", count / seconds, "resources/s", bare_rate, 2.0
    )
    report.figure("disk", "data directory against raw JSON", size / raw, "times")

    with fhir_server(data_dir, cpu=report.server_cpu) as (server, ready):
        report.figure("start", "from start to ready", ready, "s")
        report.figure("memory", "largest process, idle", max(server.memory().values()), "MB")
        sample = take(server)
        print()
        report.title()
        for work in chain(
            workloads.reads(server, sample),
            workloads.searches(server, sample),
            more_workloads(server, sample),
            workloads.writes(server, sample),
            workloads.transactions(server),
        ):
            if only and not work.id.startswith(only):
                continue
            for clients in work.clients:
                report.row(work, clients, measure(report, server, work, clients, options))
        if not only or "W9 pages".startswith(only):
            pages(report, server)
        if not only or "W10c".startswith(only) or "W11".startswith(only):
            print()
            large(report, server, sample, data)
        report.figure("memory", "largest process, at the end", max(server.memory().values()), "MB")
    seconds, _ = run_command("check", data_dir=data_dir)
    report.figure("check", "index agrees with resources, after all this", seconds, "s")
    return 0


def pages(report: Report, server: Running) -> None:
    """W9: fifty pages by their links; the last must cost what the first did."""
    path, times = "/fhir/Observation?category=laboratory&_count=20", []
    for _ in range(50):
        started = time.perf_counter()
        status, body = server.ask("GET", path)
        times.append((time.perf_counter() - started) * 1000)
        assert status == 200, body[:300]
        links = {link["relation"]: link["url"] for link in json.loads(body)["link"]}
        if "next" not in links:
            break
        path = links["next"][links["next"].index("/fhir/") :]
    first, last = statistics.median(times[:10]), statistics.median(times[-10:])
    report.figure("W9 pages", f"median of pages 1 to 10 of {len(times)}", first, "ms")
    report.figure("W9 pages", "median of the last 10", last, "ms")


def large(report: Report, server: Running, sample: object, data: Path) -> None:
    """W10c and d: whole Synthea Bundles over HTTP. W11: $everything."""
    from benchmarks.data import bundles

    total, count, largest, largest_count = 0.0, 0, 0.0, 0
    for body, entries in bundles(data, limit=12):
        started = time.perf_counter()
        status, answer = server.ask(
            "POST", "/fhir", body, **{"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
        )
        taken = time.perf_counter() - started
        assert status == 200, answer[:300]
        total, count = total + taken, count + entries
        if entries > largest_count:
            largest, largest_count = taken, entries
    if count:
        report.figure("W10c", f"transaction Bundles, one client, {count:,} entries", count / total, "resources/s")
        report.figure("W10d", f"the largest, {largest_count:,} entries", largest, "s")
        report.figure("memory", "largest process, after that", max(server.memory().values()), "MB")
    times = []
    sizes = []
    for id in sample.ids["Patient"][:40]:  # type: ignore[attr-defined]
        started = time.perf_counter()
        status, body = server.ask("GET", f"/fhir/Patient/{id}/$everything?_count=1000")
        times.append(time.perf_counter() - started)
        sizes.append(len(json.loads(body).get("entry", ())))
        assert status == 200, body[:300]
    times.sort()
    report.figure("W11", f"$everything, median of {len(times)}", times[len(times) // 2] * 1000, "ms")
    report.figure("W11", f"$everything, {sum(sizes):,} resources", sum(sizes) / sum(times), "resources/s")


def quick(report: Report, options: argparse.Namespace, folder: Path) -> int:
    """W1, W3, W6a and W10a, three times 2 s each, on a small set: CPU per request against the stored baseline."""
    options.seconds, options.warm_up, options.repetitions = 2.0, 1.0, 3
    data_dir = folder / "data"
    write_small_set(folder / "small", patients=20)
    run_command("import", str(folder / "small"), data_dir=data_dir)
    found: dict[str, float] = {}
    with fhir_server(data_dir, cpu=report.server_cpu) as (server, _):
        sample = take(server)
        report.title()
        for work in workloads.all_workloads(server, sample):
            if work.id in ("W1", "W3 minimal", "W6a token", "W10a"):
                measured = measure(report, server, work, 16, options)
                report.row(work, 16, measured)
                # In times of the bare route's, so that a slower machine is not taken for a slower server.
                found[work.id] = 1 / measured.of_cpu
    if options.save_baseline:
        BASELINE.write_text(json.dumps({id: round(value, 3) for id, value in found.items()}, indent=1) + "\n")
        print(f"\nThe baseline is now in {BASELINE}.")
        return 0
    if not BASELINE.exists():
        print(f"\nThere is no {BASELINE}; make it with --save-baseline.")
        return 0
    baseline = json.loads(BASELINE.read_text())
    print("\nCPU per request, in times of the bare route's: now / baseline")
    worse = 0
    for id, value in found.items():
        limit = baseline.get(id, value) * TOLERANCE
        print(f"  {id:12} {value:8.2f} {baseline.get(id, 0):8.2f} {'WORSE' if value > limit else 'ok'}")
        worse += value > limit
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
