from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from fhir_server.jobs.liveness import Liveness


def test_a_worker_is_dead_once_its_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from fhir_server.jobs.liveness import Liveness;"
        "print(Liveness(Path(sys.argv[1])).worker, flush=True) or time.sleep(60)"
    )
    code = code.replace("print(Liveness(Path(sys.argv[1])).worker", "it = Liveness(Path(sys.argv[1])); print(it.worker")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = process.stdout.readline().strip()
    mine = Liveness(tmp_path)
    assert not mine.is_dead(worker)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert mine.is_dead(worker)
    mine.close()


def test_nothing_is_said_of_workers_elsewhere(tmp_path: Path) -> None:
    mine = Liveness(tmp_path)
    assert not mine.is_dead("otherhost.1.abc")
    assert not mine.is_dead(mine.worker)
    assert not mine.is_dead(mine.worker + "x")
    assert not mine.is_dead("../../etc/passwd")
    mine.close()
