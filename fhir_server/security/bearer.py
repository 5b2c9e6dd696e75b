"""Who sends a request to /fhir, by its headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fhir_server.r4b.outcome import Forbidden, Unauthorized
from fhir_server.security.caller import ANONYMOUS, Caller
from fhir_server.security.keys import Keys

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="fhir-server"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="fhir-server", error="invalid_token"'}


def header_authenticator(keys: Keys) -> Callable[[Mapping[bytes, bytes]], Awaitable[Caller]]:
    """From a request's headers to the caller: ``Authorization: Bearer <key>``, or ``X-API-Key: <key>``.

    Raises Unauthorized without a usable key. RFC 6750, section 3."""

    async def authenticate(headers: Mapping[bytes, bytes]) -> Caller:
        text = _key_text(headers)
        if not text:
            raise Unauthorized("Send a key in the header 'Authorization: Bearer <key>'.", headers=_CHALLENGE)
        try:
            caller = await keys.authenticate(text)
        except Forbidden:
            caller = None
        if caller is None:
            raise Unauthorized("The key is not known, not active or expired.", headers=_INVALID)
        return caller

    return authenticate


def anonymous(headers: Mapping[bytes, bytes]) -> Caller:
    """Everyone is the same caller, under --auth none."""
    return ANONYMOUS


def _key_text(headers: Mapping[bytes, bytes]) -> str:
    value = headers.get(b"authorization")
    if value is None:
        return headers.get(b"x-api-key", b"").decode("latin-1").strip()
    scheme, _, text = value.decode("latin-1").strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
