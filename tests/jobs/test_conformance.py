from __future__ import annotations

import pytest

from fhir_server.conformance import merged, of_jobs, publish
from fhir_server.dialects import load_dialects
from fhir_server.jobs.models import model
from fhir_server.jobs.names import Names
from fhir_server.r4b.validate import validate

from .memory_hub import MemoryHub

NAMES = Names(MemoryHub.base_url)
RESOURCES = merged([*of_jobs(NAMES), *(each for dialect in load_dialects() for each in dialect.conformance(NAMES))])


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource["id"])
def test_what_is_published_is_valid_fhir(resource: dict[str, object]) -> None:
    assert [issue for issue in validate(resource) if issue.severity in ("error", "fatal")] == []
    model(str(resource["resourceType"])).model_validate(resource)


def test_one_code_system_holds_the_codes_of_all() -> None:
    [errors] = [each for each in RESOURCES if each["id"] == "error-code"]
    assert {"note-missing", "internal-error"} <= {concept["code"] for concept in errors["concept"]}
    assert errors["count"] == len(errors["concept"])


async def test_publishing_again_writes_nothing() -> None:
    hub = MemoryHub()
    assert await publish(hub, RESOURCES) == len(RESOURCES)  # type: ignore[arg-type]
    assert await publish(hub, RESOURCES) == 0  # type: ignore[arg-type]


async def test_what_changed_is_published_again() -> None:
    hub = MemoryHub()
    await publish(hub, RESOURCES)  # type: ignore[arg-type]
    changed = [RESOURCES[0] | {"title": "Another"}, *RESOURCES[1:]]
    assert await publish(hub, changed) == 1  # type: ignore[arg-type]
