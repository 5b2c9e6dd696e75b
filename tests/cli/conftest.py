"""The real command, in a process of its own, on a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "fhir-server")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fhir_server(tmp_path: Path) -> Run:
    """``fhir_server("keys", "list")`` -> the finished process; its data are in tmp_path/data."""

    def run(*arguments: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_SERVER_")}
        done = subprocess.run(
            [COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**kept, "FHIR_SERVER_DATA_DIR": str(tmp_path / "data"), **environment},
        )
        assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
