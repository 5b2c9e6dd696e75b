"""Validation against the base standard, table-driven, all problems at once. R4B 2.1 (resource), 2.24 (data types)."""

from __future__ import annotations

from typing import Any

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, Issue, Unprocessable
from fhir_server.r4b.primitives import show
from fhir_server.r4b.structure import root_check


def validate(
    data: dict[str, Any], *, type: str | None = None, id: str | None = None, conditional_references: bool = False
) -> list[Issue]:
    """All problems of a resource, [] when it is valid.

    type and id: what the URL names; a body that says otherwise is a problem (a missing id is one when `id` is given).
    Every Issue has a FHIRPath `expression` such as ``Patient.name[0].given[1]`` and says what to do; code is one of
    structure, required, value, invariant, code-invalid, invalid. Only `error` issues make a resource invalid.
    conditional_references: ``Patient?identifier=x`` is taken as a reference (always so within a Bundle).
    """
    named = data.get("resourceType")
    if not isinstance(named, str) or not definitions().is_resource(named):
        what = (
            "The resource has no resourceType; add it." if named is None else f"{show(named)} is not a resource type."
        )
        return [Issue("error", "structure", what, "resourceType")]
    issues = mismatches(data, type, id)
    problems = root_check(named, data, conditional_references or named == "Bundle")
    if problems:
        issues += [Issue("error", code, text, named + path) for path, code, text in problems]
    return issues


def mismatches(data: dict[str, Any], type: str | None, id: str | None) -> list[Issue]:
    """Where the body's resourceType or id is not what the URL says (R4B 3.1.0.4: the server answers 400)."""
    issues = []
    named, own = data.get("resourceType"), data.get("id")
    if type is not None and named != type:
        text = f"The body is a {named}, but the URL names {type}; make them the same."
        issues.append(Issue("error", "invalid", text, "resourceType"))
    if id is not None and own is None:
        text = f"The body has no id; it must have the one in the URL, {show(id)}."
        issues.append(Issue("error", "invalid", text, f"{named}.id"))
    elif id is not None and own != id:
        text = f"The body has the id {show(own)}, but the URL says {show(id)}; make them the same."
        issues.append(Issue("error", "invalid", text, f"{named}.id"))
    return issues


def check(
    data: dict[str, Any], *, type: str | None = None, id: str | None = None, conditional_references: bool = False
) -> None:
    """Raises BadRequest when type or id differ from the URL, else Unprocessable with all problems, if any."""
    wrong = mismatches(data, type, id)
    if wrong:
        raise BadRequest(issues=wrong)
    issues = validate(data, conditional_references=conditional_references)
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise Unprocessable(issues=issues)
