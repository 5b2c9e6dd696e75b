"""What the hub takes and gives: small typed values, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fhir_server.r4b.codec import DEFAULT_LIMITS, Limits
from fhir_server.r4b.outcome import Issue
from fhir_server.store.protocol import Version

Prefer = Literal["minimal", "representation", "OperationOutcome"]
Integrity = Literal["off", "warn", "enforce"]
Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HubOptions:
    """What the operator may choose about FHIR's rules.

    secret: signs page tokens; keep it over restarts. update_as_create: PUT to an id that does not exist creates it.
    integrity: what a reference to a resource that is not here means (off | warn | enforce). Counts are resources,
    binary_threshold bytes (content of a Binary above it lives in the blob store), token_seconds the life of a page
    link, delete_cap how many resources one conditional delete may remove, retries how often a write that lost a race
    is decided anew. full_text: index for _text and _content. base_urls: further URLs under which
    clients know this server. required_profiles: resource type -> canonical URLs of profiles that each write must keep.
    """

    secret: bytes = b""
    update_as_create: bool = True
    integrity: Integrity = "off"
    default_count: int = 20
    max_count: int = 1000
    max_includes: int = 1000
    max_entries: int = 50_000
    delete_cap: int = 1000
    binary_threshold: int = 256 * 1024
    token_seconds: int = 7 * 24 * 3600
    retries: int = 20
    full_text: bool = False
    required_profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base_urls: tuple[str, ...] = ()
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Written:
    """A create, update or patch that was done, or that had nothing to do.

    created: a resource came into being (HTTP 201). changed False: a conditional create found `version` there already,
    or an update or patch changed nothing. issues: warnings and information for the client.
    """

    version: Version
    created: bool
    changed: bool = True
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """versions: the deletions that were made; () when there was nothing to delete. issues: information."""

    versions: tuple[Version, ...] = ()
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchSet:
    """A searchset or history Bundle. body: the Bundle's JSON. matches and included: what is in it, in order.

    links: relation -> absolute URL. total: None when it was not counted. issues: what the outcome entry says.
    """

    body: bytes
    matches: Sequence[Version] = ()
    included: Sequence[Version] = ()
    total: int | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One entry of a batch or transaction. url: relative to the base (``Patient``, ``Patient/1``, ``Patient?a=b``).

    resource: JSON bytes, or None. The conditions are the header values of the same names; if_none_exist is a query
    string. problems: what is wrong with the entry itself, in a batch. FHIR R4B Bundle.entry.request.
    """

    method: str
    url: str
    resource: bytes | None = None
    full_url: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None
    problems: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryResult:
    """What became of one BundleEntry, in the request's order. status: HTTP status, e.g. 201. version: the resource's
    version written (a deletion too) or found; body: a searchset or other answer of a GET; issues: warnings or, in a
    batch, what went wrong."""

    status: int
    version: Version | None = None
    body: bytes | None = None
    issues: tuple[Issue, ...] = ()
