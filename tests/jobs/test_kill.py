"""A worker killed in the middle of its work loses nothing and does nothing twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port, printed_key, stop, wait_until_ready

JOBS, KILLS = int(os.environ.get("TEST_JOBS", "24")), int(os.environ.get("TEST_KILLS", "6"))
ENGINE = """
import time
from fhir_server.processing.engines import ExtractResult, Mention

class Slow:
    name, version, capabilities = "slow", "1", frozenset({"extract"})

    def extract(self, request):
        time.sleep(0.1)
        words = [(0, 4), (5, 9)]
        return ExtractResult(tuple(
            Mention(code=str(start), system="http://snomed.info/sct", display="X (disorder)", concept_type="disorder",
                    status="confirmed", source=request.text[start:end], start=start, end=end, concept_start=start,
                    concept_end=end)
            for start, end in words), engine="slow", engine_version="1", snomed_version="2026-01-01")
"""


class Site:
    """An API, and a worker that is started and killed apart from it."""

    def __init__(self, folder: Path) -> None:
        plugin = folder / "plugin"
        (plugin / "slow-1.dist-info").mkdir(parents=True)
        (plugin / "slow_engine.py").write_text(ENGINE)
        (plugin / "slow-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
        (plugin / "slow-1.dist-info" / "entry_points.txt").write_text(
            "[fhir_server.engines]\nslow = slow_engine:Slow\n"
        )
        self.log = folder / "log"
        self.port = free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(plugin),
            "FHIR_SERVER_DATA_DIR": str(folder / "data"),
            "FHIR_SERVER_PORT": str(self.port),
            "FHIR_SERVER_ENGINE": "slow",
            "NO_COLOR": "1",
        }

    def start(self, command: str) -> subprocess.Popen[bytes]:
        program = str(Path(sys.executable).parent / "fhir-server")
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [program, command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    api = site.start("api")
    try:
        wait_until_ready(f"http://127.0.0.1:{site.port}/health/ready", api, site.log)
        yield site
    finally:
        stop(api)


def test_a_killed_worker_loses_no_job_and_does_none_twice(site: Site) -> None:
    key = printed_key(site.log)
    root = f"http://127.0.0.1:{site.port}"
    chance = random.Random(4)
    with httpx.Client(
        base_url=root, headers={"X-API-Key": key, "Authorization": f"Bearer {key}"}, timeout=30
    ) as client:
        worker = site.start("worker")
        try:
            ids = []
            for n in range(JOBS):
                response = client.post("/generate", json={"note": f"gout pain {n}", "specialty": "Any"})
                ids.append(response.json()["task_id"])
            for _ in range(KILLS):
                before = ended(client)
                deadline = time.monotonic() + 15
                while ended(client) == before and before < JOBS and time.monotonic() < deadline:
                    time.sleep(0.02)
                time.sleep(chance.uniform(0, 0.12))
                worker.kill()
                worker.wait()
                worker = site.start("worker")
            deadline = time.monotonic() + 40
            while ended(client) < JOBS and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            worker.terminate()
            worker.wait(20)
        assert ended(client) == JOBS
        tasks = [client.get(f"/fhir/Task/{id}").json() for id in ids]
        assert {task["status"] for task in tasks} == {"completed"}
        arrived = sorted(tasks, key=lambda task: str(task["authoredOn"]))
        finished = [task["meta"]["lastUpdated"] for task in arrived]
        assert finished == sorted(finished)
        named = [
            each["valueReference"]["reference"] for task in tasks for each in task["output"] if "valueReference" in each
        ]
        assert len(named) == len(set(named)) == 2 * JOBS
        assert client.get("/fhir/Condition", params={"_summary": "count"}).json()["total"] == 2 * JOBS
        assert client.get("/fhir/Condition/_history", params={"_count": "1"}).json()["total"] == 2 * JOBS
        assert client.get("/fhir/Provenance", params={"_summary": "count"}).json()["total"] == JOBS
        shown = [client.get(f"/tasks/{id}").json()["usage"]["output_tokens"] for id in ids]
        assert client.get("/auth/usage").json()["tokens_used"] == sum(shown)


def ended(client: httpx.Client) -> int:
    """How many Tasks have ended."""
    answer = client.get("/fhir/Task", params={"status": "completed,failed", "_summary": "count"}).json()
    return int(answer["total"])
