"""Structured logs without patient data: one JSON object (or one plain line) per event, on standard error.

Exceptions are told by their class and their stack, never by their text, which may quote a resource. Lines are handed to
a thread: a reader that does not drain its pipe costs lines, never a request.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import traceback
from collections import deque
from functools import lru_cache
from typing import Any, Final

import msgspec

_OWN: Final = ("fhir_server", "mappers", "terminology", "uvicorn", "celery", "py.warnings")
_STANDARD: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_QUEUE_LIMIT: Final = 20_000
_FLUSH_SECONDS: Final = 0.1

encode = msgspec.json.Encoder().encode


class Sink:
    """Lines to a file descriptor, a few times a second, in order. When the reader stalls, old lines are dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque(maxlen=_QUEUE_LIMIT)
        self._lock = threading.Lock()
        self._waiting = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner = 0

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        if not self._waiting.is_set():
            self._waiting.set()
            if self._owner != os.getpid():
                self._start()

    def flush(self, timeout: float = 1.0) -> None:
        """Write what is there, giving up when the reader takes longer than `timeout` seconds."""
        last = threading.Thread(target=self._drain, daemon=True)
        last.start()
        last.join(timeout)

    def _start(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(_FLUSH_SECONDS)
            self._waiting.clear()
            self._drain()

    def _drain(self) -> None:
        with self._lock:
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            text = memoryview(b"".join(lines))
            try:
                while text:
                    text = text[os.write(self._descriptor, text) :]
            except OSError:
                return


class Formatter(logging.Formatter):
    """A record as bytes-ready text: JSON with its `extra` fields, or plain."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._plain = kind == "text"

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return _plain(line) if self._plain else encode(line).decode()


class _Handler(logging.Handler):
    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record).encode() + b"\n")
        except Exception:
            self.handleError(record)


class AccessLog:
    """One line per request, made without the logging machinery because every request pays for it."""

    def __init__(self, sink: Sink, kind: str) -> None:
        self._sink = sink
        self._plain = kind == "text"

    def __call__(self, request_id: str, method: str, route: str, status: int, seconds: float, key_id: str) -> None:
        line = {
            "time": _time(time.time()),
            "level": "info",
            "logger": "fhir_server.access",
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "key": key_id,
        }
        self._sink.write((_plain(line).encode() if self._plain else encode(line)) + b"\n")


def configure(level: str = "info", kind: str = "json", *, descriptor: int = 2) -> Sink:
    """Send every log record of this process to `descriptor`; returns the sink, for an AccessLog."""
    sink = Sink(descriptor)
    handler = _Handler(sink)
    handler.setFormatter(Formatter(kind))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These name addresses (with their queries) at levels that an operator may well ask for.
    for name in ("httpx", "httpcore", "asyncio", "multipart", "python_multipart"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    atexit.register(sink.flush)
    return sink


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _OWN or record.name in _OWN:
        return record.getMessage()
    # Another library's sentence may quote what it was given: its template says enough.
    return str(record.msg).partition("\n")[0] if record.args else "(message withheld)"


def _time(seconds: float) -> str:
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _plain(line: dict[str, Any]) -> str:
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in ("time", "level", "message"))
    return f"{line['time']} {line['level'].upper():7} {line.get('message', '')} {rest}".rstrip()
