"""Every option of the server, in one place.

Each field is a variable ``FHIR_SERVER_<NAME>`` in the environment; those that the command line shows as ``--name`` take
their help from the description here, and docs/settings.md is tested to name them all.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "FHIR_SERVER_"


class Settings(BaseSettings):
    """Immutable once read. Raises pydantic.ValidationError for a value out of range or a combination that is unsafe."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    data_dir: Path = Field(
        Path("data"), description="Directory for the embedded store, blobs, the job queue and the key pepper."
    )
    store: str = Field(
        "sqlite", description="Store: 'sqlite' (embedded, in the data directory) or the URL of a registered store."
    )
    auth: Literal["keys", "none"] = Field(
        "keys", description="'keys' asks for a key on every request; 'none' is allowed on a loopback host only."
    )
    workers: int = Field(1, ge=1, le=64, description="Number of API processes that share the port.")
    base_url: str | None = Field(
        None,
        description="Public URL of the FHIR base, e.g. https://example.org/fhir; by default http://HOST:PORT/fhir.",
    )
    pepper: SecretStr | None = Field(
        None, description="Secret mixed into the hashes of keys; by default a file made in the data directory."
    )

    update_create: bool = Field(True, description="Whether PUT to an id that does not exist creates the resource.")
    max_body_bytes: int = Field(
        64 * 2**20, ge=1024, description="Largest request body accepted, in bytes; more is refused with 413."
    )
    max_depth: int = Field(64, ge=10, le=400, description="Deepest nesting of a resource's JSON; more is refused.")
    integrity: Literal["off", "warn", "enforce"] = Field(
        "off", description="What a reference to a resource that is not here means: nothing, a warning, or a refusal."
    )
    required_profiles: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Profiles that every write must keep: Type=URL, separated by commas; a type may occur again."
    )
    binary_threshold: int = Field(
        256 * 1024, ge=0, description="Size in bytes above which the content of a Binary is kept as a blob."
    )
    default_count: int = Field(20, ge=1, le=10_000, description="Page size of a search or history without _count.")
    max_count: int = Field(1000, ge=1, le=10_000, description="Largest page that _count may ask for.")
    full_text: bool = Field(
        True, description="Whether _text and _content can be searched; it takes a full-text index, once made kept."
    )
    search_timeout: float = Field(10.0, gt=0, description="Seconds after which a search is refused as too costly.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="Origins that browsers may call from, separated by commas; '*' is any, empty is none."
    )

    job_concurrency: int = Field(2, ge=1, le=64, description="Number of jobs that the worker runs at the same time.")
    job_lease_seconds: float = Field(
        60.0, gt=0, description="Seconds after which a job whose worker has died is given to another one."
    )
    job_time_limit: float = Field(
        900.0, ge=0, description="Seconds that one attempt at a job may take before the job is failed; 0 is any time."
    )
    job_queue_limit: int = Field(
        1000, ge=0, description="Jobs of one key that may wait or run at once; more are refused with 429; 0 is any."
    )
    broker_url: str | None = Field(
        None, description="Celery broker that wakes workers; by default files in the data directory."
    )
    healthsage_token_limit: int = Field(
        1_000_000, ge=0, description="Output tokens that a HealthSage key may use when it has no limit of its own."
    )
    sporo_rate_limits: str = Field(
        "on",
        description="Rate limits of Sporo's routes, per key: 'on' is upload=10/hour,text=10/hour,status=5/minute; "
        "'off' is none; or other figures in the same form.",
    )
    webhook_allow_private: bool = Field(
        False,
        description="Whether webhooks may go to this machine and private networks; else to public addresses only.",
    )
    webhook_allow_http: bool = Field(
        False, description="Whether webhooks may go over plain http to other machines; else https only."
    )
    medmitra_jwt_secret: SecretStr | None = Field(
        None, description="Secret of MedMitra's HS256 tokens; by default one derived from the pepper."
    )
    medmitra_jwks: str | None = Field(
        None,
        description="File or URL of a JWK Set with the public keys of further MedMitra tokens (RS, PS, ES, EdDSA).",
    )
    medmitra_jwt_audience: str = Field(
        "authenticated", description="Audience ('aud') that a MedMitra token must be meant for."
    )
    medmitra_jwt_issuer: str | None = Field(
        None, description="Issuer ('iss') that a MedMitra token must be from; by default any whose key is known."
    )
    medmitra_lab_bytes: int = Field(
        10 * 2**20, ge=1, description="Largest laboratory file of a MedMitra case, in bytes."
    )
    medmitra_radiology_bytes: int = Field(
        50 * 2**20, ge=1, description="Largest radiology file of a MedMitra case, in bytes."
    )
    engine: str = Field("rules", description="Extraction engine, by its name in the entry points fhir_server.engines.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line to log.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or plain text for people.")
    access_log: bool = Field(True, description="Whether each request is logged (never its query, body or ids).")

    @field_validator("cors_origins", "required_profiles", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("required_profiles")
    @classmethod
    def _typed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            type, sign, url = each.partition("=")
            if not sign or not type[:1].isupper() or not url:
                raise ValueError(
                    f"'{each}' is not Type=URL, such as Patient=http://example.org/StructureDefinition/mine"
                )
        return value

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be an absolute http or https URL")
        return value.rstrip("/") if value else None

    @field_validator("sporo_rate_limits")
    @classmethod
    def _figures(cls, value: str) -> str:
        parse_rates(value)
        return value

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if self.auth == "none" and not is_loopback(self.host):
            raise ValueError(
                f"--auth none is refused on {self.host}: without keys the server listens on a loopback address only"
            )
        if self.default_count > self.max_count:
            raise ValueError("default_count must not be greater than max_count")
        return self

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL as clients see it, without a slash at the end."""
        if self.base_url:
            return self.base_url
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/fhir"


_RATE = re.compile(r"([a-z]+)=([1-9][0-9]{0,8})/(second|minute|hour|day)")
SPORO_RATES = "upload=10/hour,text=10/hour,status=5/minute"


def parse_rates(text: str) -> dict[str, tuple[int, str]]:
    """``upload=10/hour,status=5/minute`` -> {"upload": (10, "hour"), ...}; 'on' is SPORO_RATES, 'off' is {}.

    Raises ValueError for anything else."""
    if text == "off":
        return {}
    found: dict[str, tuple[int, str]] = {}
    for part in (SPORO_RATES if text == "on" else text).split(","):
        rate = _RATE.fullmatch(part.strip())
        if rate is None or rate[1] not in ("upload", "text", "status"):
            raise ValueError(f"must be 'on', 'off', or figures like {SPORO_RATES}")
        found[rate[1]] = (int(rate[2]), rate[3])
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host` (a name or an address)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load(**given: Any) -> Settings:
    """Settings from the environment, overridden by the `given` ones that are not None.

    Raises SettingsError whose message names each bad option and its variable."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from None


class SettingsError(ValueError):
    """An option has a value that cannot be; str() is for people."""


def _sentence(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where} ({PREFIX}{where.upper()}): {message}" if where else message
