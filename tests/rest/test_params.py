import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4b.outcome import BadRequest, TooLarge
from fhir_server.rest.params import general, parse_query


def test_order_repeats_and_blanks_are_kept() -> None:
    assert parse_query(b"a=1&b=&a=2&c", limit=9) == [("a", "1"), ("b", ""), ("a", "2"), ("c", "")]


def test_plus_is_a_space_and_percent_is_decoded() -> None:
    assert parse_query(b"n%61me=a+b%2Bc%C3%A9", limit=9) == [("name", "a b+cé")]


@pytest.mark.parametrize("text", [b"a=%", b"a=%z1", b"a=%c3%28", b"a=%00", b"a=\xff"])
def test_bad_encoding_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_query(text, limit=9)


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(TooLarge):
        parse_query(b"a=1&" * 10, limit=9)


def test_general_parameters_are_taken_out() -> None:
    assert general([("_format", "json"), ("name", "x"), ("_pretty", "true")]) == ("json", True, [("name", "x")])


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(text: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(parse_query(text, limit=99), list)
