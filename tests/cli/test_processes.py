"""Several processes as one: started again when they die, stopped together, never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PROGRAM = """
    import os, signal, sys, time
    from fhir_server.processes import CANNOT_START, Child, supervise

    def note(text):
        with open(sys.argv[1], "a") as file:
            file.write(text + "\\n")

    def stays():
        note(f"stays {os.getpid()}")
        signal.signal(signal.SIGTERM, lambda *_: (note("stopped"), sys.exit(0)))
        while True:
            time.sleep(0.05)

    def cannot():
        return CANNOT_START
"""


def run(tmp_path: Path, last_line: str) -> tuple[subprocess.Popen[bytes], Path]:
    notes = tmp_path / "notes"
    notes.touch()
    program = textwrap.dedent(PROGRAM) + last_line
    return subprocess.Popen([sys.executable, "-c", program, str(notes)]), notes


def wait_for(notes: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = notes.read_text().splitlines()
        if len(lines) >= count:
            return lines
        time.sleep(0.02)
    pytest.fail(f"only {notes.read_text()!r}")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    process, notes = run(tmp_path, "sys.exit(supervise([Child('one', stays)]))")
    first = int(wait_for(notes, 1)[0].split()[1])
    os.kill(first, signal.SIGKILL)
    second = int(wait_for(notes, 2)[1].split()[1])
    assert second != first
    process.terminate()
    assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_child_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, notes = run(tmp_path, "sys.exit(supervise([Child('one', stays), Child('two', stays)]))")
    wait_for(notes, 2)
    process.send_signal(number)
    assert process.wait(10) == 0
    assert notes.read_text().count("stopped") == 2


def test_a_parent_that_is_killed_takes_its_children_along(tmp_path: Path) -> None:
    process, notes = run(tmp_path, "sys.exit(supervise([Child('one', stays)]))")
    child = int(wait_for(notes, 1)[0].split()[1])
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def test_a_child_that_cannot_start_stops_everything(tmp_path: Path) -> None:
    process, _ = run(tmp_path, "sys.exit(supervise([Child('one', stays), Child('two', cannot)]))")
    assert process.wait(10) == 3
