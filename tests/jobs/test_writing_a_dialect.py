"""The worked example of docs/dialects/writing-a-dialect.md, as it stands there, on a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import free_port, printed_key, stop, wait_until_ready

PAGE = Path(__file__).parents[2] / "docs" / "dialects" / "writing-a-dialect.md"
NOTE = {"text": "Assessment: type 2 diabetes mellitus. Essential hypertension. No fever."}


def install(folder: Path) -> None:
    """The page's files, and what pip would make of its pyproject.toml."""
    page = PAGE.read_text()
    for path, code in re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.S):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    toml = re.search(r"```toml\n# pyproject.toml\n(.*?)```", page, re.S)
    assert toml
    entry = re.search(r'\[project.entry-points."(\S+)"\]\n(\w+) = "(\S+)"', toml[1])
    assert entry
    about = folder / "acme_fhir-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-fhir\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")


@dataclass
class Acme:
    vendor: httpx.Client
    fhir: httpx.Client

    def done(self, id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            shown: dict[str, Any] = self.vendor.get(f"/acme/notes/{id}").json()
            if shown["state"] != "waiting":
                return shown
            time.sleep(0.05)
        pytest.fail("the note is still waiting")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    folder = tmp_path_factory.mktemp("acme")
    install(folder)
    program, port, log = str(Path(sys.executable).parent / "fhir-server"), free_port(), folder / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "FHIR_SERVER_DATA_DIR": str(folder / "data"),
        "NO_COLOR": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
        arguments = ["keys", "create", "--name", "acme", "--dialect", "acme", "--json"]
        made = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, env=environment)
        root, own = f"http://127.0.0.1:{port}", {"X-API-Key": json.loads(made.stdout)["key"]}
        bearer = {"Authorization": f"Bearer {printed_key(log)}"}
        with (
            httpx.Client(base_url=root, headers=own, timeout=30) as vendor,
            httpx.Client(base_url=f"{root}/fhir/", headers=bearer, timeout=30) as fhir,
        ):
            yield Acme(vendor, fhir)
    finally:
        stop(process)


def test_a_note_goes_the_whole_way(acme: Acme) -> None:
    response = acme.vendor.post("/acme/notes", json=NOTE)
    assert response.status_code == 202
    assert response.json().keys() == {"id", "state", "problems"}
    shown = acme.done(response.json()["id"])
    assert shown["state"] == "done"
    assert {"E11.9", "I10"} <= {problem["code"] for problem in shown["problems"]}
    assert all(problem["quote"] in NOTE["text"] for problem in shown["problems"])


def test_what_a_fhir_client_refutes_is_gone_from_the_vendors_answer(acme: Acme) -> None:
    id = acme.vendor.post("/acme/notes", json=NOTE).json()["id"]
    before = acme.done(id)["problems"]
    task = acme.fhir.get(f"Task/{id}").json()
    condition = acme.fhir.get(task["output"][0]["valueReference"]["reference"]).json()
    assert condition["meta"]["security"][0]["code"] == "AIAST"
    condition["verificationStatus"]["coding"][0]["code"] = "refuted"
    assert acme.fhir.put(f"Condition/{condition['id']}", json=condition).status_code == 200
    assert len(acme.vendor.get(f"/acme/notes/{id}").json()["problems"]) == len(before) - 1


def test_a_task_of_a_fhir_client_is_done_too(acme: Acme) -> None:
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"code": "acme-note"}]},
        "input": [{"type": {"text": "note"}, "valueString": NOTE["text"]}],
    }
    assert acme.done(acme.fhir.post("Task", json=task).json()["id"])["problems"]
    without = {name: value for name, value in task.items() if name != "input"}
    assert acme.done(acme.fhir.post("Task", json=without).json()["id"])["state"] == "failed"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/acme/notes", {"json": {}}, 400),
        ("POST", "/acme/notes", {"content": b"x"}, 400),
        ("POST", "/acme/notes", {"content": b" " * (2 << 20)}, 400),
        ("POST", "/acme/notes", {"json": NOTE, "headers": {"X-API-Key": "x"}}, 401),
        ("GET", "/acme/notes/x", {}, 404),
        ("GET", "/acme/zzz", {}, 404),
        ("PUT", "/acme/notes", {}, 405),
    ],
)
def test_errors_have_the_vendors_form(acme: Acme, method: str, path: str, options: Any, status: int) -> None:
    response = acme.vendor.request(method, path, **options)
    assert response.status_code == status
    assert response.json()["error"]["status"] == status
    assert isinstance(response.json()["error"]["message"], str)
