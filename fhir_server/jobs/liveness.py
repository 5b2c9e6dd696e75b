"""Which workers live: each holds a lock on a file of its own, which the kernel lets go when it dies, however it dies.

A lease says until when to wait for a worker of which nothing is known (on another machine); for one on this machine
that has died there is nothing to wait for.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from pathlib import Path


class Liveness:
    """This worker's lock, and what can be said of the others that share `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        host = "".join(char if char.isalnum() or char == "-" else "-" for char in socket.gethostname())[:40]
        self._host = host
        self.worker = f"{host}.{os.getpid()}.{secrets.token_hex(4)}"
        self._handle = os.open(folder / self.worker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._dead: set[str] = set()

    def is_dead(self, worker: str) -> bool:
        """True only when `worker` ran on this machine, under this folder, and is no more."""
        if worker == self.worker or not worker.startswith(f"{self._host}."):
            return False
        if worker in self._dead:
            return True
        path = self._folder / worker
        try:
            if path.parent != self._folder or not _is_free(path):
                return False
        except OSError:
            return False
        self._dead.add(worker)
        return True

    def forget(self, older_than: float) -> None:
        """Remove files of workers that died more than `older_than` seconds ago: no lease of theirs can be left."""
        limit = time.time() - older_than
        for path in self._folder.iterdir():
            try:
                if path.name != self.worker and path.stat().st_mtime < limit and _is_free(path):
                    path.unlink()
            except OSError:
                continue

    def close(self) -> None:
        (self._folder / self.worker).unlink(missing_ok=True)
        os.close(self._handle)


def _is_free(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
