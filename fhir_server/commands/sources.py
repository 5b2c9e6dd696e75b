"""Files to import: which ones, in which order, how they are packed, and the pieces that one process takes at a time."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

#: Names that are looked for inside a folder; a file that is named itself is always taken.
_NAMES: Final = re.compile(r"\.(json|ndjson|jsonl)(\.(gz|bz2))?$", re.IGNORECASE)
_NDJSON: Final = re.compile(r"\.(ndjson|jsonl)(\.(gz|bz2))?$", re.IGNORECASE)
#: What others refer to comes first: Synthea's "0-hospital…", and its older names for the same.
_FIRST: Final = re.compile(r"^(0+[-_. ]|hospitalInformation|practitionerInformation)")
_NOT_DATA: Final = frozenset({"manifest.json", "import-errors.ndjson", "package.json", ".index.json"})
CHUNK_LINES: Final = 400
CHUNK_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """What one process takes at a time: a whole file (lines is None), or some lines of an NDJSON file.

    lines: (line number from 1, content). weight: bytes on disk that it stands for, for the progress. exported: the
    lines are resources as a server held them, so that a Bundle among them is one to keep, not one to carry out."""

    path: Path
    weight: int
    lines: tuple[tuple[int, bytes], ...] | None = None
    exported: bool = False


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files that `paths` (files, folders, globs) name, each once: prerequisites first, then by name.

    Raises FileNotFoundError, whose text names the path, when one of them names nothing."""
    found: dict[Path, Path] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            named = [
                file
                for file in path.rglob("*")
                if file.is_file() and _NAMES.search(file.name) and file.name not in _NOT_DATA
            ]
        elif path.exists():
            named = [path]
        else:
            matched = [Path(name) for name in glob.glob(text, recursive=True)]
            named = [file for file in matched if file.is_file() and file.name not in _NOT_DATA]
        if not named:
            raise FileNotFoundError(f"{text}: no such file, or nothing to import in it")
        for file in named:
            found.setdefault(file.resolve(), file)
    return sorted(found.values(), key=lambda file: (not is_prerequisite(file), _natural(file.name), str(file)))


def is_prerequisite(path: Path) -> bool:
    """Whether other files may refer to what is in this one, by its name."""
    return _FIRST.match(path.name) is not None


def open_file(path: Path) -> IO[bytes]:
    """The file's content, unpacked: gzip and bzip2 are known by their first bytes."""
    raw = path.open("rb")
    magic = raw.read(3)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return cast(IO[bytes], io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 18))
    if magic == b"BZh":
        return cast(IO[bytes], io.BufferedReader(bz2.BZ2File(raw), 1 << 18))
    return raw


def pieces(path: Path) -> Iterator[Piece]:
    """The file in pieces: NDJSON by some hundreds of lines, anything else whole. Raises OSError and EOFError (a broken
    archive)."""
    size = path.stat().st_size
    if not _is_ndjson(path):
        yield Piece(path, size)
        return
    exported = is_exported(path)
    packed = path.open("rb")
    weight_done = 0
    with packed, open_file(path) as file:
        lines: list[tuple[int, bytes]] = []
        length = 0
        read = 0
        for number, line in enumerate(file, 1):
            read += len(line)
            text = line.strip()
            if number == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            if text:
                lines.append((number, text))
                length += len(text)
            if len(lines) >= CHUNK_LINES or length >= CHUNK_BYTES:
                # The size unpacked is not known beforehand: what a packed file weighs is told with its last piece.
                weight = length if file is not None and _is_plain(path) else 0
                weight_done += weight
                yield Piece(path, weight, tuple(lines), exported)
                lines, length = [], 0
        yield Piece(path, max(0, size - weight_done), tuple(lines), exported)


def is_exported(path: Path) -> bool:
    """Whether the manifest of a bulk export, in the same folder, lists this file."""
    try:
        manifest = json.loads((path.parent / "manifest.json").read_bytes())
        return any(Path(item["url"]).name == path.name for item in manifest["output"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_plain(path: Path) -> bool:
    with path.open("rb") as file:
        magic = file.read(3)
    return magic[:2] != b"\x1f\x8b" and magic != b"BZh"


def _is_ndjson(path: Path) -> bool:
    if _NDJSON.search(path.name):
        return True
    with open_file(path) as file:
        first = file.readline(1 << 20).strip()
        if not first.startswith(b"{") or not file.readline(1 << 16).strip().startswith(b"{"):
            return False
    try:
        json.loads(first)
    except ValueError:
        return False
    return True


def _natural(name: str) -> list[tuple[int, int, str]]:
    """``part-2`` before ``part-10``."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", name) if part
    ]
