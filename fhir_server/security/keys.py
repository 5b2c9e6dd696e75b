"""Keys: made at random, shown once, kept as HMAC-SHA-256 under the server's pepper.

A key's text is ``fsk_<id>_<secret>``: the id is public (it is in lists and logs), the secret has 256 random bits.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from fhir_server.r4b.outcome import Forbidden
from fhir_server.requests import in_flight
from fhir_server.security.caller import Caller
from fhir_server.security.scopes import parse_scopes
from fhir_server.store.protocol import Record, Store

KIND: Final = "key"
PREFIX: Final = "fsk"
DIALECTS: Final = ("fhir", "sporo", "healthsage", "autoscribe", "medmitra")
PRIORITIES: Final = ("routine", "urgent", "asap", "stat")
"""Task.priority of the jobs that a key asks for (http://hl7.org/fhir/request-priority)."""
#: Seconds for which a process may go on believing what it read, when it does not see the marker file change.
TTL: Final = 1.0
#: Seconds between two looks at the marker file.
_LOOK: Final = 0.01
_CACHE_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; never its secret. created and expires: seconds since 1970."""

    id: str
    name: str
    dialect: str
    scopes: tuple[str, ...]
    subject: str | None
    token_limit: int | None
    created: float
    expires: float | None
    active: bool
    priority: str | None = None

    def usable(self, now: float) -> bool:
        return self.active and (self.expires is None or now < self.expires)

    def as_caller(self) -> Caller:
        scopes, admin = parse_scopes(self.scopes)
        return Caller(self.id, self.name, self.dialect, scopes, self.subject, admin, self.token_limit, self.priority)


class Keys:
    """The keys of one store, for one event loop.

    marker: a file touched at every change, so that other processes on this machine see it at once; a process that does
    not share it sees a change within TTL seconds."""

    def __init__(self, store: Store, pepper: bytes, *, marker: Path | None = None) -> None:
        self._store = store
        self._pepper = pepper
        self._marker = os.fspath(marker) if marker is not None else None
        self._stamp = self._read_stamp()
        self._look_again = 0.0
        self._cache: dict[bytes, tuple[float, Key, Caller]] = {}

    async def create(
        self,
        *,
        name: str,
        dialect: str = "fhir",
        scopes: Sequence[str] = (),
        subject: str | None = None,
        token_limit: int | None = None,
        expires: float | None = None,
        active: bool = True,
        priority: str | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which cannot be had again. No scopes: everything for the fhir dialect, and nothing on
        /fhir for the others. priority: one of PRIORITIES. Raises BadScope, or ValueError for an unknown dialect."""
        if dialect not in dialect_names():
            raise ValueError(f"'{dialect}' is not a dialect; choose one of {', '.join(dialect_names())}.")
        if not scopes and dialect == "fhir":
            scopes = ("system/*.cruds",)
        parse_scopes(scopes)
        id = secrets.token_hex(6)
        text = f"{PREFIX}_{id}_{secrets.token_urlsafe(32)}"
        key = Key(id, name, dialect, tuple(scopes), subject, token_limit, time.time(), expires, active, priority)
        await self._store.put_record(KIND, id, {**_as_data(key), "hash": self._hash(text).hex()}, expect=0)
        self._touch()
        return key, text

    async def find(self, text: str) -> Key | None:
        """The key with this text, be it usable or not; None when there is none."""
        entry = await self._look_up(text)
        return entry[1] if entry is not None else None

    async def authenticate(self, text: str) -> Caller | None:
        """The caller whose key this is; None when there is no such key. Raises Forbidden for one that is inactive or
        expired."""
        entry = await self._look_up(text)
        if entry is None:
            return None
        if not entry[1].usable(time.time()):
            raise Forbidden("This key is not active or has expired.")
        request = in_flight.get()
        if request is not None:
            request.key_id = entry[1].id
        return entry[2]

    async def list(self) -> list[Key]:
        """All keys, oldest first."""
        return sorted(
            (_from_record(record) for record in await self._store.list_records(KIND)), key=lambda key: key.created
        )

    async def get(self, id: str) -> Key | None:
        record = await self._store.get_record(KIND, id)
        return _from_record(record) if record is not None else None

    async def revoke(self, id: str) -> Key | None:
        """Make the key inactive for good; None when there is no such key."""
        record = await self._store.get_record(KIND, id)
        if record is None:
            return None
        changed = await self._store.put_record(KIND, id, {**record.data, "active": False}, expect=record.revision)
        self._touch()
        return _from_record(changed)

    async def _look_up(self, text: str) -> tuple[float, Key, Caller] | None:
        digest = self._hash(text)
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + _LOOK
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._cache.clear()
                self._stamp = stamp
        entry = self._cache.get(digest)
        if entry is not None and now < entry[0]:
            return entry
        id = _id_of(text)
        record = await self._store.get_record(KIND, id) if id else None
        if record is None or not hmac.compare_digest(bytes.fromhex(record.data["hash"]), digest):
            self._cache.pop(digest, None)
            return None
        key = _from_record(record)
        entry = (now + TTL, key, key.as_caller())
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[digest] = entry
        return entry

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._pepper, text.encode("utf-8", "surrogateescape"), "sha256")

    def _read_stamp(self) -> int:
        try:
            return os.stat(self._marker).st_mtime_ns if self._marker is not None else 0
        except FileNotFoundError:
            return 0

    def _touch(self) -> None:
        self._cache.clear()
        if self._marker is not None:
            Path(self._marker).touch()


def dialect_names() -> tuple[str, ...]:
    """What a key can be for: FHIR, and every dialect, those of other packages too."""
    return tuple(dict.fromkeys((*DIALECTS, *(point.name for point in entry_points(group="fhir_server.dialects")))))


def load_pepper(data_dir: Path, given: str | None = None) -> bytes:
    """The pepper: `given` (a setting), or the file ``data_dir/pepper`` with mode 0600, made on first use."""
    if given:
        return given.encode()
    path = data_dir / "pepper"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Written aside and linked into place, so that two first starts at once agree on one pepper.
        aside = data_dir / f".pepper-{os.getpid()}-{secrets.token_hex(4)}"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, secrets.token_hex(32).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_bytes().strip()


def _id_of(text: str) -> str:
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else ""


def _as_data(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "dialect": key.dialect,
        "scopes": list(key.scopes),
        "subject": key.subject,
        "token_limit": key.token_limit,
        "created": key.created,
        "expires": key.expires,
        "active": key.active,
        "priority": key.priority,
    }


def _from_record(record: Record) -> Key:
    data = record.data
    return Key(
        record.id,
        data["name"],
        data["dialect"],
        tuple(data["scopes"]),
        data["subject"],
        data["token_limit"],
        data["created"],
        data["expires"],
        data["active"],
        data.get("priority"),
    )
