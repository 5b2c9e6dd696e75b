"""Errors as FHIR says them: an exception per outcome, each of which renders as an OperationOutcome.

FHIR R4B 3.1.0.1.5 (status codes) and OperationOutcome (issue type codes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    severity: fatal | error | warning | information; code: an IssueType code; diagnostics: one sentence that says what
    is wrong and what to do; expression: FHIRPath of the element, e.g. ``Patient.name[0].given[1]`` ('' when none);
    details: a CodeableConcept for issue.details, when a specification asks for one.
    """

    severity: str
    code: str
    diagnostics: str
    expression: str = ""
    details: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code}
        if self.details is not None:
            issue["details"] = dict(self.details)
        issue["diagnostics"] = self.diagnostics
        if self.expression:
            issue["expression"] = [self.expression]
        return issue


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource (as a JSON object) that holds `issues`."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}


class FhirError(Exception):
    """A refusal that the client can act on. `status` is the HTTP status; `issues` becomes the OperationOutcome.

    headers: extra response headers (e.g. ETag on 410, Retry-After on 503).
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid"

    def __init__(
        self,
        diagnostics: str = "",
        *,
        expression: str = "",
        code: str | None = None,
        issues: Iterable[Issue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.issues: tuple[Issue, ...] = (
            tuple(issues) if issues is not None else (Issue("error", code or type(self).code, diagnostics, expression),)
        )
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__("; ".join(issue.diagnostics for issue in self.issues))

    def outcome(self) -> dict[str, Any]:
        return operation_outcome(self.issues)

    def outcome_bytes(self) -> bytes:
        return msgspec.json.encode(self.outcome())


class BadRequest(FhirError):
    """400: the request is malformed (not JSON, bad parameter value)."""


class Unauthorized(FhirError):
    """401: no credential, or one that is not valid."""

    status = 401
    code = "login"


class Forbidden(FhirError):
    """403: the credential does not allow this."""

    status = 403
    code = "forbidden"


class NotFound(FhirError):
    """404: no such resource, version or type."""

    status = 404
    code = "not-found"


class MethodNotAllowed(FhirError):
    """405: the interaction is not allowed here (e.g. update-as-create switched off)."""

    status = 405
    code = "not-supported"


class NotAcceptable(FhirError):
    """406: no format that the client accepts."""

    status = 406
    code = "not-supported"


class Conflict(FhirError):
    """409: the write lost against another one, or would break something that exists."""

    status = 409
    code = "conflict"


class Gone(FhirError):
    """410: the resource was deleted."""

    status = 410
    code = "deleted"


class PreconditionFailed(FhirError):
    """412: If-Match, If-None-Match or a conditional interaction's criteria did not hold."""

    status = 412
    code = "conflict"


class TooLarge(FhirError):
    """413: the request passes a limit on size."""

    status = 413
    code = "too-long"


class UnsupportedMediaType(FhirError):
    """415: the body's format is not understood."""

    status = 415
    code = "not-supported"


class Unprocessable(FhirError):
    """422: well-formed, but not a valid resource or against a rule of the server (R4B 3.1.0.8.1)."""

    status = 422
    code = "processing"


class TooManyRequests(FhirError):
    """429: a limit per key is reached; Retry-After says when to come back."""

    status = 429
    code = "throttled"


class NotImplementedHere(FhirError):
    """501: the server (or its store, or an extra that is not installed) cannot do this."""

    status = 501
    code = "not-supported"


class Unavailable(FhirError):
    """503: try again later; Retry-After says when."""

    status = 503
    code = "transient"
