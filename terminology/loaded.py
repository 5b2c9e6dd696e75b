"""The index files of what an operator loaded, and the list of those that are in use.

``loaded.json`` names the files; it is replaced in one step when a new file is whole, so that a reader sees the old
release until the new one is complete, and processes that run notice within a second.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.index import Index

_LIST = "loaded.json"
_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Release:
    """One loaded file. name: what it is a release of (a newer one takes its place); title: for people."""

    name: str
    title: str
    file: str


class Loaded:
    """The releases below a folder. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "loaded"
        self._lock = threading.Lock()
        self._checked = -_SECONDS
        self._stamp: tuple[int, int] | None = None
        self._indexes: list[Index] = []
        self._generation = 0
        self._seen = 0

    @property
    def folder(self) -> Path:
        return self._folder

    def releases(self) -> list[Release]:
        """What the list names, the newest first."""
        try:
            listed: list[dict[str, Any]] = json.loads((self._folder / _LIST).read_text())
        except FileNotFoundError:
            return []
        return [Release(one["name"], one["title"], one["file"]) for one in listed]

    def indexes(self) -> list[Index]:
        """The files in use, opened."""
        self._check()
        return self._indexes

    def renewed(self) -> bool:
        """True once after the list has changed."""
        self._check()
        with self._lock:
            changed = self._generation != self._seen
            self._seen = self._generation
            return changed

    def _check(self) -> None:
        now = time.monotonic()
        if now - self._checked < _SECONDS:
            return
        with self._lock:
            self._checked = now
            try:
                status = (self._folder / _LIST).stat()
            except FileNotFoundError:
                stamp = None
            else:
                stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            known = {index.path.name: index for index in self._indexes}
            fresh = []
            for one in self.releases():
                path = self._folder / one.file
                if path.exists():
                    fresh.append(known.get(one.file) or Index(path))
            self._indexes = fresh
            self._generation += 1

    def install(self, release: Release) -> list[Path]:
        """Put a whole file (in `folder` already) into use, in place of older releases of the same name; these."""
        kept: list[Release] = []
        gone: list[Release] = []
        for one in self.releases():
            (gone if one.name == release.name and one.file != release.file else kept).append(one)
        kept = [release, *(one for one in kept if one.file != release.file)]
        self._write(kept)
        return [self._folder / one.file for one in gone]

    def remove(self, name: str) -> list[Path]:
        """Take releases of a name out of use; their files."""
        releases = self.releases()
        self._write([one for one in releases if one.name != name])
        return [self._folder / one.file for one in releases if one.name == name]

    def _write(self, releases: list[Release]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([{"name": one.name, "title": one.title, "file": one.file} for one in releases], indent=1)
        handle, temporary = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(self._folder / _LIST)
