"""Progress for people: a bar on a terminal, a plain line every few seconds elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_LINE_SECONDS: Final = 5.0


class Progress(Protocol):
    """done and total in `unit`s of work (0: not known yet); count: things done, for the rate."""

    def show(self, *, done: int, total: int, count: int) -> None: ...


@contextmanager
def progress(title: str, noun: str) -> Iterator[Progress]:
    """`noun`: what is counted, e.g. "resources"."""
    if sys.stderr.isatty():
        with _bar(title, noun) as bar:
            yield bar
    else:
        yield _Lines(title, noun)


class _Lines:
    def __init__(self, title: str, noun: str) -> None:
        self._title, self._noun = title, noun
        self._started = self._last = time.monotonic()

    def show(self, *, done: int, total: int, count: int) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_SECONDS:
            return
        self._last = now
        taken = now - self._started
        part = done / total if total else 0.0
        left = f", {_duration(taken / part - taken)} left" if part > 0 else ""
        share = f" {part:4.0%}" if total else ""
        sys.stderr.write(f"{self._title}{share} {count:,} {self._noun}, {count / taken:,.0f}/s{left}\n")
        sys.stderr.flush()


@contextmanager
def _bar(title: str, noun: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as shown:
        task = shown.add_task(title, total=None, words="")
        started = time.monotonic()

        class Bar:
            def show(self, *, done: int, total: int, count: int) -> None:
                rate = count / max(time.monotonic() - started, 1e-9)
                shown.update(task, completed=done, total=total or None, words=f"{count:,} {noun}, {rate:,.0f}/s")

        yield Bar()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
