"""token parameters: R4B 3.1.1.4.10."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import LOINC, SYSTEM, create, found, observation, patient, refused


@pytest.fixture(scope="module")
def coded(fhir: httpx.Client) -> dict[str, str]:
    """Observations by name: different codings under one identifier mark."""
    import secrets

    mark = secrets.token_hex(8)
    made = {"mark": mark}
    for name, code in {
        "loinc": {"coding": [{"system": LOINC, "code": "1234-5", "display": "Body height"}]},
        "other": {"coding": [{"system": "http://example.org/other", "code": "1234-5"}]},
        "none": {"coding": [{"code": "1234-5"}]},
        "two": {"coding": [{"system": LOINC, "code": "9999-9"}, {"system": LOINC, "code": "1234-5"}]},
        "text": {"text": "A heart murmur of sorts"},
    }.items():
        made[name] = create(fhir, observation(mark, code=code))["id"]
    return made


def names(fhir: httpx.Client, coded: dict[str, str], **parameters: str) -> set[str]:
    ids = found(fhir, "Observation", {"identifier": coded["mark"], **parameters})
    return {name for name, id in coded.items() if id in ids}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1234-5", {"loinc", "other", "none", "two"}),
        (f"{LOINC}|1234-5", {"loinc", "two"}),
        ("|1234-5", {"none"}),
        (f"{LOINC}|", {"loinc", "two"}),
        ("http://example.org/other|", {"other"}),
        (f"{LOINC}|9999-9,|1234-5", {"two", "none"}),
        ("unknown", set()),
    ],
)
def test_forms_of_a_token(fhir: httpx.Client, coded: dict[str, str], value: str, expected: set[str]) -> None:
    assert names(fhir, coded, code=value) == expected


def test_not_is_the_complement(fhir: httpx.Client, coded: dict[str, str]) -> None:
    assert names(fhir, coded, **{"code:not": f"{LOINC}|1234-5"}) == {"other", "none", "text"}


def test_text_searches_display_and_text(fhir: httpx.Client, coded: dict[str, str]) -> None:
    assert names(fhir, coded, **{"code:text": "body"}) == {"loinc"}
    assert names(fhir, coded, **{"code:text": "a heart"}) == {"text"}


def test_codes_are_case_sensitive_in_a_case_sensitive_system_or_folded_otherwise(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    assert found(fhir, "Patient", {"identifier": mark, "gender": "male"}) == [created["id"]]


def test_repeats_are_and_and_commas_are_or(fhir: httpx.Client, coded: dict[str, str]) -> None:
    both = [("identifier", coded["mark"]), ("code", "9999-9"), ("code", f"{LOINC}|1234-5")]
    assert found(fhir, "Observation", both) == [coded["two"]]


def test_a_boolean_is_a_token(fhir: httpx.Client, mark: str) -> None:
    on, off = create(fhir, patient(mark, active=True)), create(fhir, patient(mark, active=False))
    assert found(fhir, "Patient", {"identifier": mark, "active": "true"}) == [on["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "active": "false"}) == [off["id"]]


def test_a_contact_point_is_a_token_by_its_value(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, telecom=[{"system": "email", "value": f"{mark}@example.org", "use": "home"}]))
    assert found(fhir, "Patient", {"email": f"{mark}@example.org"}) == [created["id"]]
    assert found(fhir, "Patient", {"phone": f"{mark}@example.org"}) == []


def test_missing(fhir: httpx.Client, mark: str) -> None:
    having, lacking = create(fhir, patient(mark, gender="male")), create(fhir, patient(mark))
    assert found(fhir, "Patient", {"identifier": mark, "gender:missing": "true"}) == [lacking["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "gender:missing": "false"}) == [having["id"]]


def test_missing_wants_a_boolean(fhir: httpx.Client) -> None:
    refused(fhir.get("Patient", params={"gender:missing": "maybe"}), 400)


def test_of_type_matches_identifier_type_and_value(fhir: httpx.Client, mark: str) -> None:
    kind = "http://terminology.hl7.org/CodeSystem/v2-0203"
    identifier = {"type": {"coding": [{"system": kind, "code": "MR"}]}, "system": SYSTEM, "value": mark}
    created = create(fhir, {"resourceType": "Patient", "identifier": [identifier]})
    assert found(fhir, "Patient", {"identifier:of-type": f"{kind}|MR|{mark}"}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier:of-type": f"{kind}|SS|{mark}"}) == []


def test_a_pipe_comma_or_dollar_can_be_escaped(fhir: httpx.Client, mark: str) -> None:
    odd: dict[str, Any] = {"system": SYSTEM, "value": f"{mark}|a,b$c"}
    created = create(fhir, {"resourceType": "Patient", "identifier": [odd]})
    assert found(fhir, "Patient", {"identifier": f"{SYSTEM}|{mark}\\|a\\,b\\$c"}) == [created["id"]]


def test_an_empty_value_is_400_or_reported(fhir: httpx.Client) -> None:
    refused(fhir.get("Patient", params={"gender": ""}, headers={"Prefer": "handling=strict"}), 400)
