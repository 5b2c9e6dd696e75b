"""Chained sorts, :text of references, _explain, whole strings in _filter, and what cannot be answered."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import create, found, observation, patient, refused

STRICT = {"Prefer": "handling=strict"}


def two_with_subjects(fhir: httpx.Client, mark: str) -> tuple[str, str]:
    """Two Observations, of Zander (born 1950) and of Adams (born 1990)."""
    made = []
    for family, born in (("Zander", "1950-01-01"), ("Adams", "1990-01-01")):
        subject = create(fhir, patient(mark, name=[{"family": family}], birthDate=born))
        made.append(create(fhir, observation(mark, subject={"reference": f"Patient/{subject['id']}"}))["id"])
    return made[0], made[1]


@pytest.mark.parametrize(
    ("key", "reverse"),
    [
        ("subject:Patient.family", True),
        ("-subject:Patient.family", False),
        ("patient.birthdate", False),
        ("-patient.birthdate", True),
        ("subject:Patient.name,_id", True),
    ],
)
def test_a_sort_follows_references(fhir: httpx.Client, mark: str, key: str, reverse: bool) -> None:
    expected = list(two_with_subjects(fhir, mark))
    if reverse:
        expected.reverse()
    assert found(fhir, "Observation", {"identifier": mark, "_sort": key, "_count": "1"}) == expected


def test_what_a_chained_sort_finds_nothing_for_comes_last(fhir: httpx.Client, mark: str) -> None:
    without = create(fhir, observation(mark))["id"]
    zander, adams = two_with_subjects(fhir, mark)
    assert found(fhir, "Observation", {"identifier": mark, "_sort": "patient.family"}) == [adams, zander, without]


def test_a_sort_through_what_is_no_reference_is_refused(fhir: httpx.Client) -> None:
    refused(fhir.get("Observation?_sort=code.name", headers=STRICT), 400)


def test_text_of_a_reference_is_its_display(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, observation(mark, subject={"display": f"Mr. {mark}"}))
    assert found(fhir, "Observation", {"subject:text": f"MR. {mark[:6]}", "identifier": mark}) == [created["id"]]
    assert found(fhir, "Observation", {"subject:text": "nobody", "identifier": mark}) == []


def test_a_filter_compares_whole_strings_and_their_ends(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": f"Müller{mark}"}]))
    assert found(fhir, "Patient", {"_filter": f'family eq "muller{mark}"'}) == [created["id"]]
    assert found(fhir, "Patient", {"_filter": f'family eq "muller{mark[:-1]}"'}) == []
    assert found(fhir, "Patient", {"_filter": f'family ew "{mark}"'}) == [created["id"]]
    assert found(fhir, "Patient", {"_filter": f'identifier eq {mark} and family ne "muller{mark}"'}) == []


def test_explain_gives_the_plan(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    bundle = fhir.get("Patient", params={"identifier": mark, "_explain": "true"}).json()
    [outcome] = [each["resource"] for each in bundle["entry"] if each["search"]["mode"] == "outcome"]
    [plan] = [issue["diagnostics"] for issue in outcome["issue"]]
    assert '"plan"' in plan
    assert '"indexes"' in plan
    assert '"steps"' in plan
    assert bundle["total"] == 1
