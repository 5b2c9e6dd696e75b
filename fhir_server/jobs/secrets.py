"""Secrets that webhooks are signed with: one for each API key, and one of the server's own.

A secret is made from the server's pepper, so that none is kept; only its number is. After a rotation the one before
signs too, for a week.
"""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from fhir_server.security.keys import load_pepper

if TYPE_CHECKING:
    from fhir_server.settings import Settings
    from fhir_server.store.protocol import Store

KIND: Final = "webhook-secret"
OVERLAP: Final = timedelta(days=7)


class Secrets:
    """Webhook secrets under one pepper, in the form of Standard Webhooks: ``whsec_`` and base64 of 32 bytes."""

    def __init__(self, store: Store, pepper: bytes) -> None:
        self._store, self._pepper = store, pepper

    async def of(self, key_id: str, now: datetime) -> list[str]:
        """The secrets that sign for a key ('' is the server's own), the present one first."""
        record = await self._store.get_record(KIND, key_id or "server")
        if record is None:
            return [self._secret(key_id, 1)]
        number = int(record.data["number"])
        rotated = datetime.fromtimestamp(float(record.data["rotated"]), UTC)
        found = [self._secret(key_id, number)]
        if number > 1 and now - rotated < OVERLAP:
            found.append(self._secret(key_id, number - 1))
        return found

    async def rotate(self, key_id: str, now: datetime) -> str:
        """A new secret; the one before goes on for a week. Raises VersionMismatch when two do it at once."""
        record = await self._store.get_record(KIND, key_id or "server")
        number = (int(record.data["number"]) if record else 1) + 1
        data = {"number": number, "rotated": now.timestamp()}
        await self._store.put_record(KIND, key_id or "server", data, expect=record.revision if record else 0)
        return self._secret(key_id, number)

    def _secret(self, key_id: str, number: int) -> str:
        digest = hmac.digest(self._pepper, f"webhook/{key_id}/{number}".encode(), "sha256")
        return f"whsec_{base64.b64encode(digest).decode('ascii')}"


def secrets_of(settings: Settings, store: Store) -> Secrets:
    """The secrets of a store, under the settings' pepper."""
    pepper = load_pepper(settings.data_dir, settings.pepper.get_secret_value() if settings.pepper is not None else None)
    return Secrets(store, pepper)
