"""JSON Web Tokens as keys: who signed, for whom, until when. RFC 7519; JWK Sets: RFC 7517.

HS256 with the server's secret, and the keys of a JWK Set (a file or a URL) for those that an identity provider signs.
A token must say who (`sub`) and until when (`exp`), and be meant for this server (`aud`). One that this server has
minted also names a key's record (`jti`), so that it is listed and can be revoked.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import time
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from fhir_server.r4b.outcome import Unauthorized
from fhir_server.requests import in_flight
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.security.keys import Keys
    from fhir_server.settings import Settings

ISSUER: Final = "fhir-server"
LIFE_SECONDS: Final = 365 * 86400.0
"""Life of a minted token for which no end was asked."""
_HMAC: Final = ("HS256", "HS384", "HS512")
_PUBLIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_FRESH_SECONDS: Final = 600.0
_AGAIN_SECONDS: Final = 10.0
_FETCH_SECONDS: Final = 5.0
_MAX_SET: Final = 1 << 20
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tokens:
    """What is needed to mint and to check tokens. secret: HS256's. issuer: whom a token must be from, None for anyone
    (one that was minted here always passes). jwks: further keys."""

    secret: bytes
    audience: str
    issuer: str | None = None
    jwks: JwkSet | None = None
    keys: Keys | None = None

    def mint(self, subject: str, *, id: str, expires: float, now: float) -> str:
        """A token for `subject` that this server will take until `expires` (seconds since 1970)."""
        import jwt

        claims = {"sub": subject, "aud": self.audience, "iss": ISSUER, "jti": id, "iat": int(now), "exp": int(expires)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how long the secret is, is the operator's choice
            return jwt.encode(claims, self.secret, algorithm="HS256")

    async def authenticate(self, text: str) -> Caller:
        """Whose token it is: `subject` is the user. Raises Unauthorized with a sentence that says what is wrong."""
        claims = await self._claims(text)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject.strip() or len(subject) > 255:
            raise Unauthorized("The token names no user.")
        caller = Caller(key_id=f"user/{subject}", name=subject, dialect="medmitra", subject=subject)
        if claims.get("iss") != ISSUER:
            return caller
        key = await self.keys.get(str(claims.get("jti"))) if self.keys is not None else None
        if key is None or not key.usable(time.time()):
            raise Unauthorized("The token is not active.")
        request = in_flight.get()
        if request is not None:
            request.key_id = key.id
        return replace(caller, name=key.name, token_limit=key.token_limit, priority=key.priority)

    async def _claims(self, text: str) -> Mapping[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(text)
            algorithm = header.get("alg")
            if algorithm in _HMAC:
                return self._decoded(text, self.secret, [algorithm])
            if self.jwks is None or algorithm not in _PUBLIC:
                raise Unauthorized("The token is not signed in a way that is accepted here.")
            key = await self.jwks.key(header.get("kid"), algorithm)
            if key is None:
                raise Unauthorized("The token is signed with a key that is not known.")
            return self._decoded(text, key, [algorithm])
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The token has expired.") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized("The token is not meant for this API.") from None
        except jwt.InvalidIssuerError:
            raise Unauthorized("The token is from an issuer that is not accepted here.") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"The token has no claim '{error.claim}'.") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthorized("The token is not valid.") from None

    def _decoded(self, text: str, key: Any, algorithms: list[str]) -> Mapping[str, Any]:
        import jwt

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            claims: dict[str, Any] = jwt.decode(
                text, key, algorithms=algorithms, audience=self.audience, options={"require": ["exp", "sub", "aud"]}
            )
        own = claims.get("iss") == ISSUER and algorithms[0] in _HMAC
        if self.issuer is not None and claims.get("iss") != self.issuer and not own:
            raise jwt.InvalidIssuerError
        if claims.get("iss") == ISSUER and not own:
            raise jwt.InvalidIssuerError
        return claims


class JwkSet:
    """The public keys at `source`, a path or an http(s) URL: read when needed, again when a key is not among them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_url = source.startswith(("http://", "https://"))
        self._keys: list[Any] = []
        self._read_at = float("-inf")
        self._stamp = 0
        self._lock = asyncio.Lock()

    async def key(self, id: str | None, algorithm: str) -> Any:
        """The key with this `kid` that can be used with `algorithm`; without a `kid`, the only one that can."""
        found = self._find(id, algorithm)
        age = time.monotonic() - self._read_at
        if (found is None and age > _AGAIN_SECONDS) or age > _FRESH_SECONDS or self._changed():
            async with self._lock:
                if time.monotonic() - self._read_at >= age:
                    await self._read()
            found = self._find(id, algorithm)
        return found

    def _find(self, id: str | None, algorithm: str) -> Any:
        usable = [key for key in self._keys if _fits(key, algorithm) and (id is None or key.key_id in (id, None))]
        exact = [key for key in usable if key.key_id == id]
        if exact:
            return exact[0]
        return usable[0] if len(usable) == 1 else None

    def _changed(self) -> bool:
        if self._is_url:
            return False
        try:
            return os.stat(self._source).st_mtime_ns != self._stamp
        except OSError:
            return False

    async def _read(self) -> None:
        import jwt

        try:
            document = json.loads(await asyncio.to_thread(self._load))
            # a key of a kind that is not known here is passed over, as RFC 7517, section 5, says
            found = []
            for each in document["keys"]:
                try:
                    found.append(jwt.PyJWK(each))
                except jwt.PyJWTError:
                    continue
            self._keys = found
        except (OSError, ValueError, KeyError, TypeError) as error:
            # the keys from before are still good
            log.error("the JWK Set cannot be read: %s", type(error).__name__)
        self._read_at = time.monotonic()

    def _load(self) -> bytes:
        if not self._is_url:
            self._stamp = os.stat(self._source).st_mtime_ns
            with open(self._source, "rb") as file:
                return file.read(_MAX_SET)
        request = urllib.request.Request(self._source, headers={"Accept": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_FETCH_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read(_MAX_SET)
            return content


def _fits(key: Any, algorithm: str) -> bool:
    kind = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}[algorithm[:2]]
    named = key._jwk_data.get("alg")
    return key.key_type == kind and named in (None, algorithm) and key.public_key_use in (None, "sig")


def medmitra_tokens(settings: Settings, pepper: bytes, keys: Keys | None = None) -> Tokens:
    """MedMitra's tokens, as the settings say. Without a secret of their own one is derived from the pepper."""
    given = settings.medmitra_jwt_secret
    secret = given.get_secret_value().encode() if given is not None else hmac.digest(pepper, b"medmitra", "sha256")
    return Tokens(
        secret=secret,
        audience=settings.medmitra_jwt_audience,
        issuer=settings.medmitra_jwt_issuer,
        jwks=JwkSet(settings.medmitra_jwks) if settings.medmitra_jwks else None,
        keys=keys,
    )


def key_id_of(text: str) -> str | None:
    """The id of the key's record that a token minted here names, without checking it; None for any other text."""
    import jwt

    try:
        id = jwt.decode(text, options={"verify_signature": False}).get("jti")
    except jwt.PyJWTError:
        return None
    return id if isinstance(id, str) else None
