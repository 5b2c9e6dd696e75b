from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.numbers import NUMBER_MAX, NUMBER_MIN, implicit_range, sortable, unsortable

decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(min_value=-1000, max_value=1000, places=3),
    st.builds(lambda m, e: Decimal((int(m < 0), (abs(m),), e)), st.integers(-9, 9), st.integers(-(10**6), 10**6)),
)


@given(decimals, decimals)
def test_byte_order_is_numeric_order(a: Decimal, b: Decimal) -> None:
    left, right = sortable(a).encode(), sortable(b).encode()
    assert (left < right) == (a < b)
    assert (left == right) == (a == b)


@given(decimals)
def test_a_sortable_number_can_be_read_back(a: Decimal) -> None:
    assert unsortable(sortable(a)) == a


@given(decimals)
def test_every_number_is_between_the_open_ends(a: Decimal) -> None:
    assert NUMBER_MIN < sortable(a) < NUMBER_MAX


def test_trailing_zeros_make_no_difference_to_order() -> None:
    assert sortable(Decimal("1.50")) == sortable(Decimal("1.5")) == sortable(Decimal("15e-1"))


def test_infinities_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        sortable(Decimal("Infinity"))


@pytest.mark.parametrize(
    ("text", "lo", "hi"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("-5", "-5.5", "-4.5"),
        ("0", "-0.5", "0.5"),
        ("1e-2", "0.005", "0.015"),
        ("5.40", "5.395", "5.405"),
    ],
)
def test_implicit_precision_is_half_the_last_digit(text: str, lo: str, hi: str) -> None:
    assert implicit_range(text) == (Decimal(text), Decimal(lo), Decimal(hi))


@pytest.mark.parametrize("text", ["", "x", "1,5", "NaN", "inf", "1_000", "٣", "--1", "1e", "1e9999999999"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        implicit_range(text)
