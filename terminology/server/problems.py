"""What goes wrong in a terminology operation, as the terminology ecosystem has it: OperationOutcome issues whose
details carry a code of tx-issue-type and a text, and the refusals that end an operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TX_ISSUE_TYPE = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
MESSAGE_ID = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One issue. kind: a code of tx-issue-type ('' for none); id: of the message; path: FHIRPath ('' for none)."""

    severity: str
    code: str
    text: str
    kind: str = ""
    id: str = ""
    path: str = ""

    def as_json(self) -> Json:
        issue: Json = {}
        if self.id:
            issue["extension"] = [{"url": MESSAGE_ID, "valueString": self.id}]
        issue["severity"] = self.severity
        issue["code"] = self.code
        details: Json = {"text": self.text}
        if self.kind:
            details = {"coding": [{"system": TX_ISSUE_TYPE, "code": self.kind}], "text": self.text}
        issue["details"] = details
        if self.path:
            issue["expression"] = [self.path]
        return issue


def outcome(problems: list[Problem]) -> Json:
    return {"resourceType": "OperationOutcome", "issue": [problem.as_json() for problem in problems]}


class Refused(Exception):
    """The operation cannot be done. status: for HTTP. unknown: the system (maybe with version) that is missing.

    in_answer: $validate-code gives it as its answer (result false) rather than as an error."""

    def __init__(
        self, *problems: Problem, status: int = 422, unknown: str | None = None, in_answer: bool = False
    ) -> None:
        self.problems = list(problems)
        self.status = status
        self.unknown = unknown
        self.in_answer = in_answer
        super().__init__("; ".join(problem.text for problem in problems))


class Missing(Exception):
    """The engine needs what is kept under a canonical url in a place that only its caller can read."""

    def __init__(self, type: str, url: str) -> None:
        self.type = type
        self.url = url
        super().__init__(f"{type} {url}")
