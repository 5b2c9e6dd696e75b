"""``fhir-server import``: files into the store, by several processes at once, each with a hub of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any, Final

import click
import msgspec

from fhir_server.commands.loading import Failure, Loaded, load_document, load_lines
from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.commands.progress import Progress, progress
from fhir_server.commands.sources import Piece, find_files, is_prerequisite, open_file, pieces
from fhir_server.opening import open_hub
from fhir_server.processes import collect_rarely
from fhir_server.r4b.outcome import FhirError, Issue, operation_outcome
from fhir_server.settings import Settings

_TRIES: Final = 3


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=None,
    envvar=environment("import_jobs"),
    show_envvar=True,
    help="Number of processes; by default one per processor and one more, at most 8.",
)
@click.option(
    "--errors",
    "errors_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("import-errors.ndjson"),
    show_default=True,
    envvar=environment("import_errors"),
    show_envvar=True,
    help="Where to write what could not be imported; no file when all went well.",
)
@settings_options(*DATA, "base_url", "host", "port")
def command(settings: Settings, paths: tuple[str, ...], jobs: int | None, errors_file: Path) -> None:
    """Load Bundles (transaction, batch, collection, document, searchset), single resources and NDJSON: files, folders
    or globs; plain, gzip or bzip2. Transactions and batches are carried out; of the others each resource is put at its
    own id. Files named 0-… come first.

    What is bad is skipped and told in the errors file. Exit status: 0 all went well, 1 something failed."""
    try:
        files = find_files(paths)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from None
    errors_file.unlink(missing_ok=True)
    # One more than there are processors: they take turns at the store, and somebody is to be at work meanwhile.
    workers = min(
        jobs or min((os.cpu_count() or 1) + 1, 8), max(1, sum(file.stat().st_size for file in files) // 50_000)
    )
    started = time.monotonic()
    run = _Run(errors_file, sum(file.stat().st_size for file in files))
    with progress("Importing", "resources") as shown, _Pool(settings, workers) as pool:
        run.shown = shown
        run.go(pool, files)
    taken = max(time.monotonic() - started, 1e-9)
    run.close()
    click.echo(
        f"Imported {run.count:,} resources from {len(files):,} {'file' if len(files) == 1 else 'files'} "
        f"in {taken:.1f} s ({run.count / taken:,.0f}/s)."
    )
    if run.failed:
        click.echo(f"{run.failed:,} could not be imported; see {errors_file}.", err=True)
        sys.exit(1)


@dataclass(slots=True)
class _Run:
    """The state of one import: what is done, what has to be tried again."""

    errors_file: Path
    total: int
    shown: Progress | None = None
    done: int = 0
    count: int = 0
    failed: int = 0
    again: list[tuple[Piece, list[Failure]]] = field(default_factory=list)
    _errors: IO[bytes] | None = None

    def go(self, pool: _Pool, files: list[Path]) -> None:
        for file in files:
            if is_prerequisite(file):
                self._all(pool, [file])
        self._all(pool, [file for file in files if not is_prerequisite(file)])
        # What failed for the want of something that another file brings goes better now.
        for _ in range(_TRIES):
            waiting, self.again = self.again, []
            if not waiting:
                break
            before = self.count
            for piece, loaded in pool.map(piece for piece, _ in waiting):
                self._take(piece, loaded)
            if self.count == before:
                break
        for piece, failures in self.again:
            self._tell(piece.path, failures)

    def _all(self, pool: _Pool, files: list[Path]) -> None:
        for piece, loaded in pool.map(self._pieces(files)):
            self.done += piece.weight
            self._take(piece, loaded)
            if self.shown is not None:
                self.shown.show(done=self.done, total=self.total, count=self.count)

    def _take(self, piece: Piece, loaded: Loaded) -> None:
        self.count += loaded.count
        if loaded.again and loaded.failures:
            self.again.append((piece, loaded.failures))
        else:
            self._tell(piece.path, loaded.failures)

    def _pieces(self, files: list[Path]) -> Iterator[Piece]:
        for file in files:
            try:
                yield from pieces(file)
            except (OSError, EOFError) as error:
                self._tell(file, [Failure(_unreadable(error))])

    def _tell(self, path: Path, failures: list[Failure]) -> None:
        for failure in failures:
            self.failed += 1
            if self._errors is None:
                self._errors = self.errors_file.open("wb")
            where: dict[str, Any] = {"file": str(path)}
            where["line"] = failure.line if failure.line is not None else 1
            if failure.entry is not None:
                where["entry"] = failure.entry
            self._errors.write(msgspec.json.encode({**where, "outcome": failure.outcome}) + b"\n")

    def close(self) -> None:
        if self._errors is not None:
            self._errors.close()


def _unreadable(error: Exception) -> dict[str, Any]:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return operation_outcome([Issue("error", "incomplete", f"The file cannot be read: {words}.")])


class _Pool:
    """Processes that load pieces. The parent opens no store and starts no thread, so that forking is safe."""

    def __init__(self, settings: Settings, size: int) -> None:
        self._settings, self._size = settings, size
        self._context = multiprocessing.get_context("fork")
        self._idle: deque[Connection] = deque()
        self._busy: dict[Connection, Piece] = {}
        self._processes: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> _Pool:
        _preload()
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        for _ in range(self._size):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection, process in self._processes.items():
            with suppress(OSError):
                connection.send(None)
            connection.close()
            process.join(10)
            if process.is_alive():
                process.terminate()

    def map(self, work: Iterable[Piece]) -> Iterator[tuple[Piece, Loaded]]:
        """Load the pieces, as many at a time as there are processes; results as they come."""
        for piece in work:
            while not self._idle:
                yield from self._results()
            connection = self._idle.popleft()
            connection.send(piece)
            self._busy[connection] = piece
        while self._busy:
            yield from self._results()

    def _results(self) -> Iterator[tuple[Piece, Loaded]]:
        for ready in wait(list(self._busy)):
            assert isinstance(ready, Connection)
            piece = self._busy.pop(ready)
            try:
                loaded: Loaded = ready.recv()
                self._idle.append(ready)
            except (EOFError, OSError):
                process = self._processes.pop(ready)
                process.join(5)
                ready.close()
                words = f"The process that loaded this ended with status {process.exitcode}; nothing more is known."
                loaded = Loaded(failures=[Failure(operation_outcome([Issue("fatal", "exception", words)]))])
                self._start()
            yield piece, loaded

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._settings, theirs, ours), daemon=True)
        process.start()
        theirs.close()
        self._processes[ours] = process
        self._idle.append(ours)


def _preload() -> None:
    """What every process needs is imported once, before they are forked."""
    import fhir_server.hub
    import fhir_server.store  # noqa: F401
    from fhir_server.r4b.definitions import definitions

    definitions()


def _work(settings: Settings, connection: Connection, parents_end: Connection) -> None:
    # Ctrl-C is the parent's to handle; without its end of the pipe this process sees that the parent is gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents_end.close()

    async def run() -> None:
        async with open_hub(settings) as opened:
            collect_rarely()
            while True:
                try:
                    piece: Piece | None = connection.recv()
                except EOFError:
                    return
                if piece is None:
                    return
                connection.send(await _load(opened.hub, piece))

    asyncio.run(run())


async def _load(hub: Any, piece: Piece) -> Loaded:
    try:
        if piece.lines is not None:
            return await load_lines(hub, piece.lines, exported=piece.exported)
        with open_file(piece.path) as file:
            raw = file.read()
        return await load_document(hub, raw)
    except (OSError, EOFError) as error:
        return Loaded(failures=[Failure(_unreadable(error))])
    except FhirError as error:
        return Loaded(failures=[Failure(error.outcome())])
    except Exception as error:
        words = f"The server failed on this: {type(error).__name__}. Please report it."
        return Loaded(failures=[Failure(operation_outcome([Issue("fatal", "exception", words)]))])
