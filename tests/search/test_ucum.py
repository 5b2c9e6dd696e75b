from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.ucum import canonicalise, comparable, is_valid
from terminology.ucum_table import table


@pytest.mark.parametrize(
    ("one", "unit", "two", "other"),
    [
        ("5.4", "mg/dL", "0.054", "g/L"),
        ("98.6", "[degF]", "37", "Cel"),
        ("1", "[in_i]", "2.54", "cm"),
        ("120", "mm[Hg]", "12", "cm[Hg]"),
        ("5", "10*3/uL", "5", "10*9/L"),
        ("5", "10^3/uL", "5000", "/uL"),
        ("50", "%", "0.5", "1"),
        ("1", "{score}", "1", "1"),
        ("1", "mg{creat}/dL", "1", "mg/dL"),
        ("60", "/min", "1", "/s"),
        ("1", "kg.m/s2", "1", "N"),
        ("1", "J/(kg.s)", "1", "W/kg"),
        ("1000", "m[IU]", "1", "[IU]"),
        ("1", "L", "1", "l"),
        ("16", "[oz_av]", "1", "[lb_av]"),
        ("1", "wk", "7", "d"),
        ("37", "Cel", "310.15", "K"),
    ],
)
def test_the_same_amount_in_two_units_is_the_same_canonical_quantity(one: str, unit: str, two: str, other: str) -> None:
    assert canonicalise(Decimal(one), unit) == canonicalise(Decimal(two), other)
    assert comparable(unit, other)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6))
def test_scaling_by_powers_of_ten_is_exact(value: Decimal) -> None:
    milligrams = canonicalise(value, "mg/dL")
    grams = canonicalise(value.scaleb(-2), "g/L")
    assert milligrams == grams


@pytest.mark.parametrize(("unit", "other"), [("[IU]", "[iU]"), ("mg", "mL"), ("[arb'U]", "[USP'U]"), ("[iU]", "1")])
def test_units_that_measure_different_things_are_not_comparable(unit: str, other: str) -> None:
    assert comparable(unit, other) == (unit == "[IU]")


@pytest.mark.parametrize(
    "code",
    [
        "mg",
        "m[Hg]",
        "10*3/uL",
        "mL/min/{1.73_m2}",
        "B[10.nV]",
        "[pH]",
        "%[slope]",
        "/m",
        "{rbc}",
        "4.[pi].10*-7.N/A2",
        "Cel",
    ],
)
def test_codes_of_the_specification_are_valid(code: str) -> None:
    assert is_valid(code)


@pytest.mark.parametrize(
    "code",
    ["", "foo", "mg//dL", "(m", "m)", "{a", "2.", "kkg", "m^2", "k[lb_av]", "mg dL", "10*999999", "ä", "m" * 300],
)
def test_what_is_not_ucum_is_refused(code: str) -> None:
    assert not is_valid(code)
    assert canonicalise(Decimal(1), code) is None


def test_every_atom_of_the_table_is_valid() -> None:
    assert [code for code in table().atoms if not is_valid(code)] == []
    assert len(table().atoms) > 300


def test_a_logarithmic_unit_is_valid_but_has_no_canonical_form() -> None:
    assert is_valid("[pH]")
    assert canonicalise(Decimal("7.4"), "[pH]") is None


def test_a_number_of_absurd_size_is_no_trouble() -> None:
    result = canonicalise(Decimal("1e999999"), "mg/dL")
    assert result is not None
    assert result[0] == Decimal("1e1000000")
