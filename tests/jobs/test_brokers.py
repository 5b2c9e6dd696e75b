"""The worker over Redis and over RabbitMQ, where these are installed. Both listen on the loopback address only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port, printed_key, stop, wait_until_ready

from .test_kill import Site

JOBS = 12
RABBIT = "/usr/lib/rabbitmq/bin/rabbitmq-server"


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis", reason="the extra redis is not installed")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running([server, *options], tmp_path_factory.mktemp("redis")):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def rabbit_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not Path(RABBIT).exists():
        pytest.skip("rabbitmq-server is not installed")
    folder = tmp_path_factory.mktemp("rabbit")
    port, mapper = free_port(), free_port()
    (folder / "plugins").write_text("[].\n")
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"t{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
    }
    try:
        with running([RABBIT], folder, environment):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        # the mapper of ports that Erlang starts by itself, on a port of our own
        subprocess.run(["epmd", "-port", str(mapper), "-kill"], capture_output=True, check=False)


def accepts(url: str, seconds: float) -> bool:
    from kombu import Connection

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with Connection(url, connect_timeout=2) as connection:
                connection.connect()
                return True
        except Exception:
            time.sleep(0.3)
    return False


def jobs_are_done_over(url: str, folder: Path) -> None:
    """Submitted before there is a worker and after, and one worker killed in between: each is done once, in order."""
    assert accepts(url, 60), "the broker did not start"
    site = Site(folder)
    site.environment["FHIR_SERVER_BROKER_URL"] = url
    api = site.start("api")
    worker = None
    try:
        root = f"http://127.0.0.1:{site.port}"
        wait_until_ready(f"{root}/health/ready", api, site.log)
        key = printed_key(site.log)
        headers = {"X-API-Key": key, "Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=root, headers=headers, timeout=30) as client:

            def submit() -> str:
                answer = client.post("/generate", json={"note": "gout pain", "specialty": "Any"})
                return str(answer.json()["task_id"])

            def status(id: str) -> str:
                return str(client.get(f"/tasks/{id}").json()["status"])

            ids = [submit() for _ in range(JOBS // 2)]
            worker = site.start("worker")
            deadline = time.monotonic() + 40
            while status(ids[1]) == "PENDING" and time.monotonic() < deadline:
                time.sleep(0.05)
            worker.kill()
            worker.wait()
            worker = site.start("worker")
            ids += [submit() for _ in range(JOBS - len(ids))]
            while any(status(id) == "PENDING" for id in ids) and time.monotonic() < deadline:
                time.sleep(0.05)
            tasks = [client.get(f"/fhir/Task/{id}").json() for id in ids]
            assert {task["status"] for task in tasks} == {"completed"}, site.log.read_text()[-2000:]
            finished = [task["meta"]["lastUpdated"] for task in tasks]
            assert finished == sorted(finished)
            assert client.get("/fhir/Condition/_history", params={"_count": "1"}).json()["total"] == 2 * JOBS
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(20)
        stop(api)


def test_jobs_are_done_once_and_in_order_over_redis(redis_url: str, tmp_path: Path) -> None:
    jobs_are_done_over(redis_url, tmp_path)


def test_jobs_are_done_once_and_in_order_over_rabbitmq(rabbit_url: str, tmp_path: Path) -> None:
    jobs_are_done_over(rabbit_url, tmp_path)
