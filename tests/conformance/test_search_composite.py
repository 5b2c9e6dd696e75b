"""composite parameters: R4B 3.1.1.4.13: both parts on the same element."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import LOINC, UCUM, create, found, observation, quantity, refused


def component(code: str, value: float) -> dict[str, object]:
    return {
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "valueQuantity": quantity(value, "mm[Hg]"),
    }


@pytest.fixture(scope="module")
def pressure(fhir: httpx.Client) -> str:
    import secrets

    mark = secrets.token_hex(8)
    create(fhir, observation(mark, component=[component("8480-6", 120), component("8462-4", 80)]))
    return mark


@pytest.mark.parametrize(
    ("value", "matching"),
    [
        ("8480-6$gt110", True),
        (f"{LOINC}|8480-6$ge120|{UCUM}|mm[Hg]", True),
        ("8462-4$gt110", False),
        ("8462-4$lt90", True),
        ("8480-6$lt90", False),
        ("8480-6$lt90,8462-4$lt90", True),
    ],
)
def test_both_parts_hold_on_one_component(fhir: httpx.Client, pressure: str, value: str, matching: bool) -> None:
    assert (
        bool(found(fhir, "Observation", {"identifier": pressure, "component-code-value-quantity": value})) is matching
    )


def test_code_and_value_of_the_observation_itself(fhir: httpx.Client, mark: str) -> None:
    create(fhir, observation(mark, valueQuantity=quantity(60, "/min")))
    assert found(fhir, "Observation", {"identifier": mark, "code-value-quantity": "8867-4$lt100"})
    assert not found(fhir, "Observation", {"identifier": mark, "code-value-quantity": "8867-4$gt100"})
    assert not found(fhir, "Observation", {"identifier": mark, "code-value-quantity": "1-1$lt100"})


def test_a_missing_part_is_400(fhir: httpx.Client) -> None:
    refused(fhir.get("Observation", params={"code-value-quantity": "8867-4"}), 400)
