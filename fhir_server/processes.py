"""Running several processes as one: started by fork, started again when they die, stopped together.

The parent stays without threads and without an event loop, so that a fork at any time is safe.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

#: How a child says that it cannot start at all; starting it again would not help.
CANNOT_START: Final = 3
_STOP_SECONDS: Final = 20.0
_LONGEST_PAUSE: Final = 30.0
_WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Child:
    """name: for messages. run: what the process does; its result is the exit status."""

    name: str
    run: Callable[[], int]
    pid: int = 0
    started: float = 0.0
    starts: int = 0
    #: When to start it again, on the clock of time.monotonic; 0 when it runs.
    due: float = field(default=0.0)


def supervise(children: Sequence[Child]) -> int:
    """Run the children until SIGTERM, SIGINT or SIGHUP, or until one says CANNOT_START at its first start.

    Returns the exit status: 0 after a signal, CANNOT_START otherwise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        for child in children:
            _start(child, before)
        while True:
            due = [child.due for child in children if child.due]
            pause = max(0.0, min(due) - time.monotonic()) if due else 3600.0
            info = signal.sigtimedwait(_WATCHED, pause)
            if info is not None and info.si_signo != signal.SIGCHLD:
                return 0
            for child, status in _ended(children):
                if status == CANNOT_START and child.starts == 1:
                    return CANNOT_START
                _schedule(child, status)
            for child in children:
                if child.due and child.due <= time.monotonic():
                    _start(child, before)
    finally:
        _stop(children)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def collect_rarely() -> None:
    """Have Python look for cycles of garbage less often: what is loaded now stays, and a parsed resource has none.

    It is a fifth of the time that a large Bundle takes."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _start(child: Child, mask: set[int | signal.Signals]) -> None:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        child.pid, child.started, child.due = pid, time.monotonic(), 0.0
        child.starts += 1
        return
    status = 1
    try:
        # Its own group: Ctrl-C in a terminal reaches the parent alone, which stops everything in order.
        os.setpgid(0, 0)
        _die_with(parent)
        for number in _WATCHED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = child.run()
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)


def _leave(status: int) -> None:
    import atexit

    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however it dies: no orphan keeps the port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _ended(children: Sequence[Child]) -> list[tuple[Child, int]]:
    found = []
    for child in children:
        if child.pid:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                found.append((child, os.waitstatus_to_exitcode(status)))
    return found


def _schedule(child: Child, status: int) -> None:
    lived = time.monotonic() - child.started
    pause = 0.0 if lived > 10 else min(_LONGEST_PAUSE, 0.5 * 2 ** min(child.starts - 1, 10))
    if lived > 10:
        child.starts = 1
    if status in (-signal.SIGKILL, -signal.SIGTERM):
        # ended from outside (out of memory, an operator): no sign that it cannot run
        pause = min(pause, 0.5)
    child.due = time.monotonic() + max(pause, 0.01)
    sys.stderr.write(f"fhir-server: {child.name} ended with status {status}; it starts again in {pause:.1f} s\n")
    sys.stderr.flush()


def _stop(children: Sequence[Child]) -> None:
    for child in children:
        if child.pid:
            os.kill(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(child.pid for child in children) and time.monotonic() < deadline:
        _ended(children)
        if any(child.pid for child in children):
            signal.sigtimedwait((signal.SIGCHLD,), min(0.2, max(0.0, deadline - time.monotonic())))
    for child in children:
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            child.pid = 0
