"""A Celery broker made of files in one folder: one small file a message, nothing to install.

kombu's own filesystem transport writes a message in place, so that a consumer may read half of one (and then stops),
and it keeps its bindings in files that a killed process leaves half written. Here a message appears by a rename, and
belongs to the consumer whose removal of it succeeds. A file that is no message is removed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from queue import Empty
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, virtual

SCHEME: Final = "fhir-server-files"
_SUFFIX: Final = ".msg"
_numbers = itertools.count()


class Channel(virtual.Channel):
    """The transport option `folder` says where. Oldest message first."""

    do_restore = False  # the Task in the store is the truth: a message that was not acknowledged need not come back

    @property
    def _folder(self) -> str:
        return str(self.connection.client.transport_options["folder"])

    def _messages(self, queue: str) -> list[str]:
        end = f".{queue}{_SUFFIX}"
        return sorted(name for name in os.listdir(self._folder) if name.endswith(end))

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        name = f"{time.time_ns():020d}-{next(_numbers):08d}-{os.getpid()}.{queue}{_SUFFIX}"
        aside = os.path.join(self._folder, f"{name}.part")
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(message, file)
        os.rename(aside, os.path.join(self._folder, name))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for name in self._messages(queue):
            path = os.path.join(self._folder, name)
            try:
                with open(path, "rb") as file:
                    text = file.read()
                os.unlink(path)
            except FileNotFoundError:  # another consumer's
                continue
            with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
                return json.loads(text)
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._messages(queue))

    def _purge(self, queue: str) -> int:
        names = self._messages(queue)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, name))
        return len(names)


class Transport(virtual.Transport):
    """kombu's virtual transport over `Channel`; bindings live in each process."""

    Channel = Channel
    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(["direct"]), heartbeats=False
    )
    driver_type = SCHEME
    driver_name = SCHEME

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)  # type: ignore[no-untyped-call]
        self.state = virtual.BrokerState()  # type: ignore[no-untyped-call]
        self.polling_interval = client.transport_options.get("polling_interval", 0.02)

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> Any:
        # between two of these the worker sees that it is to stop
        return super().drain_events(connection, timeout=min(timeout or 0.2, 0.2))  # type: ignore[no-untyped-call]

    def driver_version(self) -> str:
        return "1"


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
