"""Every failure as an OperationOutcome. What is not a FhirError is a fault of the server: 500, logged, no detail."""

from __future__ import annotations

import logging
from types import TracebackType

import msgspec

from fhir_server.r4b.outcome import FhirError, Issue, operation_outcome
from fhir_server.rest.respond import RawHeaders, Response
from fhir_server.store.protocol import GuardFailed, SearchTooCostly, VersionMismatch


class UriTooLong(FhirError):
    """414: the URL passes the limit."""

    status = 414
    code = "too-long"


logger = logging.getLogger("fhir_server.rest")


def error_response(error: Exception, request_id: bytes) -> Response:
    """The answer to a request that raised `error`."""
    if isinstance(error, FhirError):
        headers: RawHeaders = [(name.lower().encode(), _value(value)) for name, value in error.headers.items()]
        return Response(error.status, error.outcome_bytes(), headers)
    if isinstance(error, SearchTooCostly):
        return _outcome(422, "too-costly", "The search passed its budget; ask for something narrower.")
    if isinstance(error, (VersionMismatch, GuardFailed)):
        return _outcome(409, "conflict", "Another write came first; read again and retry.")
    told = request_id.decode("latin-1")
    # The message of an unexpected exception may quote a patient's data: only its type and place are logged.
    kind = type(error).__qualname__
    logger.error("unexpected %s", kind, extra={"request_id": told}, exc_info=_without_text(error))
    return _outcome(500, "exception", f"The server failed. Give its operator this request id: {told}.")


def _value(text: str) -> bytes:
    return text.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")


def _without_text(error: Exception) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return (RuntimeError, RuntimeError(type(error).__qualname__), error.__traceback__)


def _outcome(status: int, code: str, diagnostics: str) -> Response:
    severity = "fatal" if status == 500 else "error"
    return Response(status, msgspec.json.encode(operation_outcome([Issue(severity, code, diagnostics)])))
