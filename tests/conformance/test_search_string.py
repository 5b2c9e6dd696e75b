"""string parameters: R4B 3.1.1.4.8."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import create, found, patient


@pytest.fixture(scope="module")
def named(fhir: httpx.Client) -> dict[str, str]:
    import secrets

    mark = secrets.token_hex(8)
    made = {"mark": mark}
    for name in ("Müller", "muller", "Mullerson", "von Muller", "O'Brien", "ＭＵＬＬＥＲ", "Straße", "50%_x"):
        made[name] = create(fhir, patient(mark, name=[{"family": name, "given": ["Ann", "Bo"]}]))["id"]
    return made


def names(fhir: httpx.Client, named: dict[str, str], **parameters: str) -> set[str]:
    ids = found(fhir, "Patient", {"identifier": named["mark"], **parameters})
    return {name for name, id in named.items() if id in ids}


def test_the_default_is_a_prefix_without_case_and_accents(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, family="MULLER") >= {"Müller", "muller", "Mullerson"}
    assert "von Muller" not in names(fhir, named, family="muller")
    assert "O'Brien" not in names(fhir, named, family="muller")


def test_exact_is_the_whole_with_case_and_accents(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, **{"family:exact": "Müller"}) == {"Müller"}
    assert names(fhir, named, **{"family:exact": "Mull"}) == set()


def test_contains_is_anywhere(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, **{"family:contains": "uller"}) >= {"Müller", "muller", "Mullerson", "von Muller"}


def test_a_name_parameter_looks_in_all_parts(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, name="bo") == set(named) - {"mark"}
    assert names(fhir, named, name="mullers") == {"Mullerson"}


@pytest.mark.parametrize("value", ["%", "_", "*", "?", "["])
def test_wildcards_of_a_store_mean_nothing(fhir: httpx.Client, named: dict[str, str], value: str) -> None:
    assert names(fhir, named, family=value) == set()


def test_a_percent_sign_is_found_as_itself(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, **{"family:exact": "50%_x"}) == {"50%_x"}


def test_commas_are_or(fhir: httpx.Client, named: dict[str, str]) -> None:
    assert names(fhir, named, family="mullers,stra") == {"Mullerson", "Straße"}


def test_an_escaped_comma_is_part_of_the_value(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "a,b"}]))
    assert found(fhir, "Patient", {"identifier": mark, "family": "a\\,b"}) == [created["id"]]


def test_an_address_is_searched_in_all_parts(fhir: httpx.Client, mark: str) -> None:
    address = {"line": ["1 Main St"], "city": "Springfield", "state": "IL", "postalCode": "62701", "country": "US"}
    created = create(fhir, patient(mark, address=[address]))
    for value in ("springf", "1 main", "62701", "il"):
        assert found(fhir, "Patient", {"identifier": mark, "address": value}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "address-city": "spring"}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "address-city": "62701"}) == []
