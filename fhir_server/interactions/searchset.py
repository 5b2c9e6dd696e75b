"""Bundles put together from stored bytes, without reading them. R4B 3.1.1.2 (response), Bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fhir_server.r4b.codec import instant
from fhir_server.r4b.outcome import Issue, operation_outcome
from fhir_server.store.protocol import Version

_encode = msgspec.json.encode


def entry(base: bytes, version: Version, mode: bytes) -> bytes:
    """One searchset entry. base: ``http://host/fhir/`` as bytes; mode: match or include."""
    return b'{"fullUrl":"%s%s/%s","resource":%s,"search":{"mode":"%s"}}' % (
        base,
        version.type.encode(),
        version.id.encode(),
        version.body,
        mode,
    )


def entries(base: str, matches: Iterable[Version], included: Iterable[Version] = ()) -> list[bytes]:
    at = base.encode() + b"/"
    parts = [entry(at, version, b"match") for version in matches]
    parts += [entry(at, version, b"include") for version in included]
    return parts


def outcome_entry(issues: Sequence[Issue]) -> bytes:
    return b'{"resource":%s,"search":{"mode":"outcome"}}' % _encode(operation_outcome(issues))


def links_json(links: Mapping[str, str]) -> bytes:
    return _encode([{"relation": relation, "url": url} for relation, url in links.items()])


def bundle(
    kind: bytes, parts: Sequence[bytes], *, now: int, total: int | None = None, links: Mapping[str, str] | None = None
) -> bytes:
    """kind: searchset, history ... parts: entries as JSON. now: microseconds since 1970 UTC."""
    head = b'{"resourceType":"Bundle","meta":{"lastUpdated":"%s"},"type":"%s"' % (instant(now).encode(), kind)
    if total is not None:
        head += b',"total":%d' % total
    if links:
        head += b',"link":' + links_json(links)
    if not parts:
        return head + b"}"
    return b"".join((head, b',"entry":[', b",".join(parts), b"]}"))


def history_entry(base: str, version: Version) -> bytes:
    """One history entry with its request and response. R4B 3.1.0.13."""
    method = version.method
    url = version.type if method == "POST" else f"{version.type}/{version.id}"
    came = method == "POST" or version.version == 1
    status = "204" if method == "DELETE" else "201" if came else "200"
    resource = b"" if version.body is None else b',"resource":%s' % version.body
    return (
        b'{"fullUrl":"%s/%s/%s"%s,"request":{"method":"%s","url":"%s"},'
        b'"response":{"status":"%s","etag":"W/\\"%d\\"","lastModified":"%s"}}'
        % (
            base.encode(),
            version.type.encode(),
            version.id.encode(),
            resource,
            method.encode(),
            url.encode(),
            status.encode(),
            version.version,
            instant(version.last_updated).encode(),
        )
    )
