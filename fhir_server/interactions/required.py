"""Profiles that the operator has made mandatory: a write that does not keep them is refused. R4B 5.1 (profiling)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhir_server.interactions.prepare import Prepared
from fhir_server.r4b.outcome import Unprocessable

if TYPE_CHECKING:
    from fhir_server.hub import Hub


async def checked(hub: Hub, ready: Prepared) -> Prepared:
    """Raises Unprocessable with every problem; warnings go along with what was prepared."""
    profiles = hub.options.required_profiles.get(ready.draft.type)
    if not profiles:
        return ready
    from fhir_server.operations.validate import resource_issues

    issues = await resource_issues(hub, ready.draft.data, list(profiles))
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise Unprocessable(issues=issues)
    return replace(ready, issues=tuple(dict.fromkeys((*ready.issues, *issues))))
