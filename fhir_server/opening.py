"""What every command that touches data opens: the store, its keys and the hub, by the settings."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fhir_server.security.keys import Keys, load_pepper
from fhir_server.security.tokens import Tokens, medmitra_tokens
from fhir_server.settings import Settings
from fhir_server.store.protocol import Store, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_FIRST_KEY: Final = "first-key"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store and what works on it."""

    settings: Settings
    store: Store
    keys: Keys
    hub: Hub

    async def first_key(self) -> str | None:
        """A key for everything, made once in the life of a store that has none; its text, or None when it is not the
        first time. Of several processes that start at once exactly one makes it."""
        if await self.keys.list():
            return None
        try:
            await self.store.put_record("once", _FIRST_KEY, {"at": time.time()}, expect=0)
        except VersionMismatch:
            return None
        _, text = await self.keys.create(name="first key", dialect="fhir", scopes=("system/*.cruds", "admin"))
        return text


@asynccontextmanager
async def open_store_of(settings: Settings) -> AsyncIterator[Store]:
    """The store alone, closed at the end."""
    from fhir_server.store import open_store

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = await open_store(
        settings.store, data_dir=settings.data_dir, text=settings.full_text, search_seconds=settings.search_timeout
    )
    try:
        yield store
    finally:
        await store.close()


def keys_of(settings: Settings, store: Store) -> Keys:
    return Keys(store, _pepper(settings), marker=settings.data_dir / "keys.changed")


def tokens_of(settings: Settings, keys: Keys | None = None) -> Tokens:
    """MedMitra's tokens. keys: where those that were minted here are looked up; without, they can only be minted."""
    return medmitra_tokens(settings, _pepper(settings), keys)


@asynccontextmanager
async def open_hub(settings: Settings) -> AsyncIterator[Opened]:
    """Store, keys and hub. Raises what opening a store raises (no such scheme, not writable, a newer schema)."""
    from fhir_server.hub import Hub
    from fhir_server.interactions.values import HubOptions
    from fhir_server.r4b.codec import DEFAULT_LIMITS
    from fhir_server.search.registry import Registry
    from terminology.service import Terminology

    async with open_store_of(settings) as store:
        options = HubOptions(
            secret=hmac.digest(_pepper(settings), b"page links", "sha256"),
            update_as_create=settings.update_create,
            integrity=settings.integrity,
            required_profiles=_by_type(settings.required_profiles),
            default_count=settings.default_count,
            max_count=settings.max_count,
            full_text=settings.full_text,
            binary_threshold=settings.binary_threshold,
            limits=replace(DEFAULT_LIMITS, size=settings.max_body_bytes, depth=settings.max_depth),
        )
        hub = Hub(
            store,
            base_url=settings.fhir_base,
            registry=Registry(),
            terminology=Terminology(settings.data_dir / "terminology"),
            options=options,
        )
        await hub.start()
        try:
            yield Opened(settings, store, keys_of(settings, store), hub)
        finally:
            await hub.stop()


def _by_type(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``Type=URL`` texts as type -> URLs."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        type, _, url = pair.partition("=")
        found[type] = (*found.get(type, ()), url)
    return found


def _pepper(settings: Settings) -> bytes:
    return load_pepper(settings.data_dir, settings.pepper.get_secret_value() if settings.pepper is not None else None)
