"""The embedded store: one SQLite file (WAL, synchronous=FULL), one writer thread per process, blobs as files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from fhir_server.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "open_store"]


async def open_store(
    url: str = "sqlite",
    *,
    data_dir: Path,
    text: bool = False,
    inline_seconds: float = 0.003,
    search_seconds: float = 10.0,
    threads: int = 3,
    busy_seconds: float = 30.0,
) -> SqliteStore:
    """Opens (and where needed creates or migrates) the file.

    text: keep a full-text index, for _text and _content; once made it stays. inline_seconds: how long a search may hold
    the event loop before it moves to a thread. search_seconds: its budget there, then SearchTooCostly. threads: for
    such searches. busy_seconds: how long a write waits for another process.
    """
    path = unquote(urlsplit(url).path) if ":" in url else ""
    return await SqliteStore.open(
        Path(path) if path else data_dir / "fhir.sqlite",
        blobs=data_dir / "blobs",
        text=text,
        inline_seconds=inline_seconds,
        search_seconds=search_seconds,
        threads=threads,
        busy_seconds=busy_seconds,
    )
