"""Who asks, and whose cases he sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.dialects import Dialect, DialectContext, authenticated
from fhir_server.r4b.outcome import Forbidden, Unauthorized

from .reading import owner_of

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller


@dataclass(frozen=True, slots=True)
class Asker:
    """user: whose cases alone may be seen; None for a key that may read every Task over FHIR anyway."""

    caller: Caller
    user: str | None

    async def owner_if_seen(self, hub: Hub, task: Mapping[str, Any]) -> tuple[bool, str | None]:
        """(whether the case may be seen, whose it is)."""
        owner = await owner_of(hub, task)
        return self.user is None or owner == self.user, owner


async def asker(context: DialectContext, dialect: Dialect, secret: str | None) -> Asker:
    """The user of a JSON Web Token, or the holder of a key. Raises Unauthorized."""
    if secret and secret.count(".") == 2 and context.tokens is not None and not secret.startswith("fsk_"):
        caller = await context.tokens.authenticate(secret)
        return Asker(caller, caller.subject)
    try:
        caller = await authenticated(context, dialect, secret)
    except Forbidden as error:
        raise Unauthorized(str(error)) from None
    except Unauthorized:
        raise Unauthorized(
            "Invalid authentication token."
            if secret
            else "Missing authentication token: send Authorization: Bearer <token>."
        ) from None
    if caller.dialect == dialect.name:
        return Asker(caller, caller.subject or f"key/{caller.key_id}")
    return Asker(caller, None)
