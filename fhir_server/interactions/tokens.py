"""Page tokens: where a set stopped, sealed so that nobody can make one up. They outlive a restart and then expire."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
import zlib
from typing import Any

import msgspec

from fhir_server.r4b.outcome import BadRequest, Gone

_TAG = 16
#: Bytes below which compressing gains nothing.
_SMALL = 512
_LARGEST = 64 * 1024
_ALPHABET = re.compile(r"[A-Za-z0-9_\-]+", re.ASCII)


class Sealer:
    """`seal` and `open` under one secret."""

    def __init__(self, secret: bytes, seconds: int) -> None:
        self._key = hashlib.sha256(b"fhir-server page token\0" + secret).digest()
        self._seconds = seconds

    def seal(self, kind: str, payload: Any) -> str:
        """payload: any JSON value. The text is URL-safe."""
        plain = msgspec.json.encode([kind, int(time.time()) + self._seconds, payload])
        packed = plain if len(plain) < _SMALL else zlib.compress(plain, 1)
        return base64.urlsafe_b64encode(self._tag(packed) + packed).rstrip(b"=").decode()

    def open(self, kind: str, token: str) -> Any:
        """Raises BadRequest for a token that is not ours, Gone for one that has expired."""
        wrong = BadRequest("The page link is not one that this server gave; start the search again.", code="value")
        if not _ALPHABET.fullmatch(token):
            raise wrong
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            raise wrong from None
        packed = raw[_TAG:]
        if len(raw) > _LARGEST or not hmac.compare_digest(raw[:_TAG], self._tag(packed)):
            raise wrong
        found_kind, expires, payload = msgspec.json.decode(packed if packed[:1] == b"[" else zlib.decompress(packed))
        if found_kind != kind:
            raise wrong
        if expires < time.time():
            raise Gone("The page link has expired; start the search again.", code="expired")
        return payload

    def _tag(self, packed: bytes) -> bytes:
        return hmac.digest(self._key, packed, "sha256")[:_TAG]
