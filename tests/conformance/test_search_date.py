"""date parameters: R4B 3.1.1.4.7: ranges by precision, time zones, prefixes, periods."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import create, found, observation, patient, refused


@pytest.fixture(scope="module")
def dated(fhir: httpx.Client) -> dict[str, str]:
    import secrets

    mark = secrets.token_hex(8)
    made = {"mark": mark}
    for name, effective in {
        "instant": {"effectiveDateTime": "2013-01-14T10:00:00Z"},
        "zone": {"effectiveDateTime": "2013-01-14T23:30:00-05:00"},
        "day": {"effectiveDateTime": "2013-01-14"},
        "month": {"effectiveDateTime": "2013-01"},
        "year": {"effectiveDateTime": "2013"},
        "period": {"effectivePeriod": {"start": "2013-01-10", "end": "2013-01-20"}},
        "open": {"effectivePeriod": {"start": "2013-01-10"}},
        "before": {"effectiveDateTime": "2012-12-31"},
    }.items():
        made[name] = create(fhir, observation(mark, **effective))["id"]
    return made


def names(fhir: httpx.Client, dated: dict[str, str], *values: str) -> set[str]:
    pairs = [("identifier", dated["mark"]), *(("date", value) for value in values)]
    ids = found(fhir, "Observation", pairs)
    return {name for name, id in dated.items() if id in ids}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2013-01-14", {"instant", "day"}),
        ("2013-01", {"instant", "zone", "day", "month", "period"}),
        ("2013", {"instant", "zone", "day", "month", "year", "period"}),
        ("2013-01-14T10:00:00Z", {"instant"}),
        ("2013-01-14T11:00:00+01:00", {"instant"}),
        ("2013-01-15T04:30:00Z", {"zone"}),
        ("ne2013", {"open", "before"}),
        ("gt2013-01-14", {"zone", "month", "year", "period", "open"}),
        ("lt2013-01-14", {"before", "month", "year", "period", "open"}),
        ("ge2013-01-14", {"instant", "zone", "day", "month", "year", "period", "open"}),
        ("le2013-01-14", {"instant", "day", "month", "year", "period", "open", "before"}),
        ("sa2013-01-14", {"zone"}),
        ("sa2013-01-01", {"instant", "zone", "day", "period", "open"}),
        ("eb2013-01-01", {"before"}),
        ("eb2013-02-01", {"instant", "zone", "day", "month", "period", "before"}),
        ("2013-01-14,2012", {"instant", "day", "before"}),
    ],
)
def test_a_date_matches_by_ranges(fhir: httpx.Client, dated: dict[str, str], value: str, expected: set[str]) -> None:
    assert names(fhir, dated, value) == expected


def test_two_bounds(fhir: httpx.Client, dated: dict[str, str]) -> None:
    assert names(fhir, dated, "ge2013-01-14", "lt2013-01-15") >= {"instant", "day"}
    assert "before" not in names(fhir, dated, "ge2013-01-14", "lt2013-01-15")


def test_approximately_is_near(fhir: httpx.Client, dated: dict[str, str]) -> None:
    assert {"instant", "day"} <= names(fhir, dated, "ap2013-01-14")


@pytest.mark.parametrize(
    "value", ["yesterday", "2013-13", "2013-02-30", "xx2013", "2013-1-1", "gt", "2013-01-14T25:00:00Z"]
)
def test_what_is_no_date_is_400(fhir: httpx.Client, value: str) -> None:
    refused(fhir.get("Observation", params={"date": value}), 400)


def test_last_updated_is_a_date(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    when = created["meta"]["lastUpdated"]
    assert found(fhir, "Patient", {"identifier": mark, "_lastUpdated": f"ge{when}"}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "_lastUpdated": f"gt{when}"}) == []
    assert found(fhir, "Patient", {"identifier": mark, "_lastUpdated": when}) == [created["id"]]
    assert found(fhir, "Patient", {"identifier": mark, "_lastUpdated": "lt2020"}) == []


def test_a_birth_date_is_a_whole_day(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, birthDate="1980-05-05"))
    for value in ("1980-05-05", "1980-05", "1980", "ge1980-05-05", "le1980-05-05", "gt1980-05-04", "lt1980-05-06"):
        assert found(fhir, "Patient", {"identifier": mark, "birthdate": value}) == [created["id"]], value
    for value in ("1980-05-06", "gt1980-05-05", "lt1980-05-05", "ne1980-05-05"):
        assert found(fhir, "Patient", {"identifier": mark, "birthdate": value}) == [], value
