"""number and quantity parameters: R4B 3.1.1.4.5, 3.1.1.4.11."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import UCUM, create, found, observation, quantity, refused


@pytest.fixture(scope="module")
def measured(fhir: httpx.Client) -> dict[str, str]:
    import secrets

    mark = secrets.token_hex(8)
    made = {"mark": mark}
    for name, value in {
        "mg": quantity(5.4, "mg/dL"),
        "g": quantity(0.054, "g/L"),
        "high": quantity(5.46, "mg/dL"),
        "low": quantity(5.34, "mg/dL"),
        "plain": {"value": 5.4, "unit": "mg/dL"},
        "big": quantity(100, "kg"),
        "negative": quantity(-2, "kg"),
    }.items():
        made[name] = create(fhir, observation(mark, valueQuantity=value))["id"]
    return made


def names(fhir: httpx.Client, measured: dict[str, str], value: str) -> set[str]:
    ids = found(fhir, "Observation", {"identifier": measured["mark"], "value-quantity": value})
    return {name for name, id in measured.items() if id in ids}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5.4", {"mg", "plain"}),
        ("5.40", {"mg", "plain"}),
        (f"5.4|{UCUM}|mg/dL", {"mg", "g"}),
        (f"gt5.4|{UCUM}|mg/dL", {"high"}),
        (f"lt5.4|{UCUM}|mg/dL", {"low"}),
        (f"ge5.4|{UCUM}|mg/dL", {"mg", "g", "high"}),
        (f"le5.4|{UCUM}|mg/dL", {"mg", "g", "low"}),
        ("5.4||mg/dL", {"mg", "plain"}),
        ("100", {"big"}),
        ("100.00", {"big"}),
        ("1e2", {"big"}),
        (f"100000|{UCUM}|g", {"big"}),
        ("lt0", {"negative"}),
        ("-2", {"negative"}),
        ("ap5.4||mg/dL", {"mg", "plain", "high", "low"}),
    ],
)
def test_a_quantity_matches_by_value_precision_and_unit(
    fhir: httpx.Client, measured: dict[str, str], value: str, expected: set[str]
) -> None:
    assert names(fhir, measured, value) == expected


def test_ne_is_every_other_value(fhir: httpx.Client, measured: dict[str, str]) -> None:
    assert names(fhir, measured, f"ne5.4|{UCUM}|mg/dL") >= {"high", "low"}
    assert "mg" not in names(fhir, measured, f"ne5.4|{UCUM}|mg/dL")


@pytest.mark.parametrize("value", ["x", "5.4.1", "gt", "5,x"])
def test_what_is_no_number_is_400(fhir: httpx.Client, value: str) -> None:
    refused(fhir.get("Observation", params={"value-quantity": value}), 400)


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ("0.8", True),
        ("0.80", True),
        ("0.8000", True),
        ("1", True),
        ("0.9", False),
        ("gt0.7", True),
        ("lt0.8", False),
        ("8e-1", True),
    ],
)
def test_a_number_matches_by_implicit_precision(fhir: httpx.Client, mark: str, value: str, matches: bool) -> None:
    risk = {
        "resourceType": "RiskAssessment",
        "identifier": [{"system": "http://example.org/conformance", "value": mark}],
        "status": "final",
        "subject": {"reference": "Patient/x"},
        "prediction": [{"probabilityDecimal": 0.8}],
    }
    created = create(fhir, risk)
    expected = [created["id"]] if matches else []
    assert found(fhir, "RiskAssessment", {"identifier": mark, "probability": value}) == expected
