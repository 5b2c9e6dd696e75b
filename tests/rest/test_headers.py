import pytest

from fhir_server.rest.headers import (
    Prefer,
    http_date,
    not_modified,
    parse_http_date,
    parse_prefer,
)


def test_http_dates_are_in_gmt() -> None:
    assert http_date(1767225600) == b"Thu, 01 Jan 2026 00:00:00 GMT"


def test_an_http_date_is_read_back() -> None:
    assert parse_http_date("Thu, 01 Jan 2026 00:00:00 GMT") == 1767225600


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_what_is_no_http_date_is_ignored(text: str) -> None:
    assert parse_http_date(text) is None or text == "2026-01-01"


@pytest.mark.parametrize(
    ("none_match", "since", "answer"),
    [
        ('W/"2"', None, True),
        ('W/"1", W/"2"', None, True),
        ("*", None, True),
        ('W/"1"', None, False),
        (None, "Thu, 01 Jan 2026 00:00:00 GMT", True),
        (None, "Wed, 31 Dec 2025 23:59:59 GMT", False),
        ('W/"1"', "Thu, 01 Jan 2026 00:00:00 GMT", False),
        (None, "nonsense", False),
    ],
)
def test_a_conditional_read(none_match: str | None, since: str | None, answer: bool) -> None:
    assert not_modified(2, 1767225600_500_000, none_match, since) is answer


def test_prefer_is_read_whole() -> None:
    assert parse_prefer("return=minimal, handling=strict; respond-async, wait=10") == Prefer(
        "minimal", True, True, ("wait=10",)
    )


def test_prefer_return_operationoutcome() -> None:
    assert parse_prefer("return=OperationOutcome").return_ == "OperationOutcome"
