"""Scopes: what a key's text says it may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.security.scopes import BadScope, parse_scopes, split_scopes


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("system/*.cruds", {"*": "cruds"}),
        ("system/*.*", {"*": "cruds"}),
        ("system/Observation.rs", {"Observation": "rs"}),
        ("system/Patient.read", {"Patient": "rs"}),
        ("system/Patient.write", {"Patient": "cud"}),
        ("system/Patient.sr", {"Patient": "rs"}),
    ],
)
def test_a_scope_grants_its_letters(scope: str, granted: dict[str, str]) -> None:
    assert parse_scopes([scope]) == (granted, False)


def test_scopes_of_one_type_add_up() -> None:
    assert parse_scopes(["system/Patient.r", "system/Patient.write"])[0] == {"Patient": "crud"}


def test_admin_is_apart_from_clinical_scopes() -> None:
    assert parse_scopes(["admin"]) == ({}, True)


@pytest.mark.parametrize(
    "scope",
    [
        "patient/*.rs",
        "user/*.cruds",
        "system/*",
        "system/*.x",
        "system/patient.r",
        "system/Observation.rs?category=laboratory",
        "*.*",
        "launch",
    ],
)
def test_a_scope_that_is_not_understood_is_refused(scope: str) -> None:
    with pytest.raises(BadScope, match="is not a scope"):
        parse_scopes([scope])


def test_a_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadScope, match="Patiend"):
        parse_scopes(["system/Patiend.r"], lambda name: name == "Patient")


def test_several_scopes_may_be_in_one_text() -> None:
    assert split_scopes(["system/A.r, system/B.r", "system/A.r"]) == ("system/A.r", "system/B.r")


@given(st.sets(st.sampled_from("cruds"), min_size=1))
def test_letters_come_out_in_the_order_of_the_standard(letters: set[str]) -> None:
    granted, _ = parse_scopes([f"system/Patient.{''.join(letters)}"])
    assert granted["Patient"] == "".join(letter for letter in "cruds" if letter in letters)
