"""Response Bundles. R4B 3.1.0.11.4, Bundle.entry.response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fhir_server.interactions.bundle.actions import Action
from fhir_server.interactions.values import EntryResult, Prefer
from fhir_server.r4b.codec import instant
from fhir_server.r4b.outcome import Issue, operation_outcome

_REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_FINE: Final = Issue("information", "informational", "Done.")


def response(kind: str, base: str, actions: Sequence[Action], results: Sequence[EntryResult], prefer: Prefer) -> bytes:
    """kind: batch or transaction. One entry for each of the request's, in its order."""
    parts = [_entry(base, action, result, prefer) for action, result in zip(actions, results, strict=True)]
    head = b'{"resourceType":"Bundle","type":"%s-response"' % kind.encode()
    return head + (b',"entry":[' + b",".join(parts) + b"]}" if parts else b"}")


def _entry(base: str, action: Action, result: EntryResult, prefer: Prefer) -> bytes:
    version = result.version
    reason = _REASONS.get(result.status, "")
    parts = [b'"response":{"status":"%d%s"' % (result.status, b" " + reason.encode() if reason else b"")]
    if version is not None:
        if version.body is not None:
            location = f"{version.type}/{version.id}/_history/{version.version}"
            parts.append(b',"location":"%s"' % location.encode())
        parts.append(
            b',"etag":"W/\\"%d\\"","lastModified":"%s"' % (version.version, instant(version.last_updated).encode())
        )
    if result.issues:
        parts.append(b',"outcome":' + msgspec.json.encode(operation_outcome(result.issues)))
    elif prefer == "OperationOutcome" and action.writes:
        parts.append(b',"outcome":' + msgspec.json.encode(operation_outcome((_FINE,))))
    parts.append(b"}")
    body = result.body
    if body is None and prefer == "representation" and action.writes and version is not None:
        body = version.body
    if body is None or result.status == 304 or action.entry.method == "HEAD":
        return b"{%s}" % b"".join(parts)
    url = b""
    if version is not None:
        url = b'"fullUrl":"%s/%s/%s",' % (base.encode(), version.type.encode(), version.id.encode())
    return b'{%s"resource":%s,%s}' % (url, body, b"".join(parts))
