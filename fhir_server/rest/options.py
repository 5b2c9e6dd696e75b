"""What the operator may choose about FHIR over HTTP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestOptions:
    """prefix: the path the application is mounted at, without a trailing slash.

    Sizes are in bytes: max_body of a request as sent and, when it is compressed, max_inflated of what it becomes;
    gzip_from is the least answer that is worth compressing; max_url counts path and query.
    cors_origins: origins that browsers may call from, ("*",) for all, () for none.
    """

    prefix: str = "/fhir"
    max_body: int = 64 * 1024 * 1024
    max_inflated: int = 256 * 1024 * 1024
    max_url: int = 32 * 1024
    max_parameters: int = 1000
    gzip_from: int = 2048
    gzip_level: int = 1
    cors_origins: tuple[str, ...] = ("*",)
    server_name: str = "fhir-server"
    server_version: str = ""
