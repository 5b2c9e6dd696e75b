"""A folder, an archive or a file with terminology in it, and what was recognised there."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from terminology.building import Builder

#: Called with the bytes read so far and the concepts (or resources) written so far.
Progress = Callable[[int, int], None]


class NothingFound(ValueError):
    """There is nothing in the path that can be loaded; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a source. name: its path inside, with slashes."""

    name: str
    size: int
    lines: Callable[[], Iterator[bytes]]
    content: Callable[[], bytes]

    @property
    def base(self) -> str:
        return self.name.rsplit("/", 1)[-1]


def members(path: Path) -> list[Member]:
    """The files below a folder, in a .zip or .tgz, or the file itself. Raises OSError and NothingFound."""
    if path.is_dir():
        return [_file(one, one.relative_to(path).as_posix()) for one in sorted(path.rglob("*")) if one.is_file()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return [_zipped(path, one) for one in archive.infolist() if not one.is_dir()]
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            found = []
            for one in archive:
                file = archive.extractfile(one) if one.isfile() else None
                if file is not None:
                    found.append(_read(one.name, file.read()))
            return found
    return [_file(path, path.name)]


def _file(path: Path, name: str) -> Member:
    def lines() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from file

    return Member(name, path.stat().st_size, lines, path.read_bytes)


def _zipped(path: Path, info: zipfile.ZipInfo) -> Member:
    def lines() -> Iterator[bytes]:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            yield from file

    def content() -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)

    return Member(info.filename, info.file_size, lines, content)


def _read(name: str, content: bytes) -> Member:
    return Member(name, len(content), lambda: iter(content.splitlines(keepends=True)), lambda: content)


class Release(ABC):
    """Something recognised in a source. name: of what it is a release; version: which one; size: bytes to be read."""

    name: str
    version: str
    size: int

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}".strip()

    @abstractmethod
    def files(self) -> list[Member]:
        """What it is read from."""

    @abstractmethod
    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        """Everything into an index file. stage: a folder for what does not fit into memory."""

    def fingerprint(self) -> str:
        """The same for the same files."""
        told = "\n".join(sorted(f"{one.name} {one.size}" for one in self.files()))
        return hashlib.sha256(f"{self.title}\n{told}".encode()).hexdigest()[:12]


def table(member: Member, separator: str) -> Iterator[list[str]]:
    """Rows of a text table without quoting, its heading first."""
    for line in member.lines():
        yield line.decode("utf-8-sig").rstrip("\r\n").split(separator)
