"""search: R4B 3.1.0.10 and 3.1.1: addresses, common parameters, results, unknown parameters."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import (
    SYSTEM,
    create,
    found,
    included,
    link,
    matches,
    observation,
    patient,
    refused,
    search,
    update,
)
from tests.conftest import Server


def test_a_searchset_has_full_urls_modes_and_a_self_link(fhir: httpx.Client, server: Server, mark: str) -> None:
    created = create(fhir, patient(mark))
    bundle = search(fhir, "Patient", identifier=f"{SYSTEM}|{mark}")
    entry = bundle["entry"][0]
    assert entry["fullUrl"] == f"{server.base}/Patient/{created['id']}"
    assert entry["search"] == {"mode": "match"}
    assert entry["resource"] == created
    assert "identifier=" in (link(bundle, "self") or "")


def test_nothing_found_is_an_empty_bundle_without_entry(fhir: httpx.Client, mark: str) -> None:
    bundle = search(fhir, "Patient", identifier=mark)
    assert "entry" not in bundle
    assert bundle["total"] == 0


def test_post_search_takes_a_form(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.post("Patient/_search", data={"identifier": mark})
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == [created["id"]]


def test_post_search_mixes_url_and_form(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark, gender="male"))
    created = create(fhir, patient(mark, gender="female"))
    answer = fhir.post(f"Patient/_search?identifier={mark}", data={"gender": "female"})
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == [created["id"]]


def test_post_search_without_body_is_a_search(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.post(f"Patient/_search?identifier={mark}")
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == [created["id"]]


def test_post_search_with_a_json_body_is_415(fhir: httpx.Client) -> None:
    refused(fhir.post("Patient/_search", json={"name": "x"}), 415)


def test_format_and_pretty_count_in_a_form(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("Patient/_search", data={"identifier": mark, "_format": "json", "_pretty": "true"})
    assert answer.status_code == 200
    assert b"\n  " in answer.content


def test_a_search_over_several_types(fhir: httpx.Client, mark: str) -> None:
    tag = {"meta": {"tag": [{"system": SYSTEM, "code": mark}]}}
    one, two = create(fhir, patient(mark, **tag)), create(fhir, observation(mark, **tag))
    create(fhir, {"resourceType": "Group", "type": "person", "actual": False, **tag})
    assert set(found(fhir, "", {"_type": "Patient,Observation", "_tag": mark})) == {one["id"], two["id"]}
    assert len(found(fhir, "", {"_tag": f"{SYSTEM}|{mark}"})) == 3
    answer = fhir.post("_search", data={"_tag": mark, "_type": "Group"})
    assert len(answer.json()["entry"]) == 1


def test_a_compartment_search(fhir: httpx.Client, mark: str) -> None:
    mine, other = create(fhir, patient(mark)), create(fhir, patient(mark))
    inside = create(fhir, observation(mark, subject={"reference": f"Patient/{mine['id']}"}))
    create(fhir, observation(mark, subject={"reference": f"Patient/{other['id']}"}))
    assert found(fhir, f"Patient/{mine['id']}/Observation") == [inside["id"]]
    assert found(fhir, f"Patient/{mine['id']}/Observation", {"code": "nonsense"}) == []
    assert inside["id"] in found(fhir, f"Patient/{mine['id']}/*")


def test_a_compartment_that_is_none_is_refused(fhir: httpx.Client) -> None:
    assert fhir.get("Organization/1/Observation").status_code in (400, 404)


def test_by_id(fhir: httpx.Client, mark: str) -> None:
    one, two = create(fhir, patient(mark)), create(fhir, patient(mark))
    assert set(found(fhir, "Patient", {"_id": f"{one['id']},{two['id']},nonsense"})) == {one["id"], two["id"]}


def test_by_tag_profile_security_and_source(fhir: httpx.Client, mark: str) -> None:
    meta = {
        "tag": [{"system": SYSTEM, "code": f"t{mark}"}],
        "profile": [f"http://example.org/{mark}"],
        "security": [{"system": SYSTEM, "code": f"s{mark}"}],
        "source": f"http://source.example.org/{mark}",
    }
    created = create(fhir, patient(mark, meta=meta))
    for name, value in (
        ("_tag", f"{SYSTEM}|t{mark}"),
        ("_profile", f"http://example.org/{mark}"),
        ("_security", f"s{mark}"),
        ("_source", f"http://source.example.org/{mark}"),
    ):
        assert found(fhir, "Patient", {name: value}) == [created["id"]], name
        assert found(fhir, "Patient", {name: value + "x", "identifier": mark}) == [], name


def test_an_unknown_parameter_is_refused_under_strict(fhir: httpx.Client) -> None:
    refused(fhir.get("Patient", params={"nonsense": "1"}, headers={"Prefer": "handling=strict"}), 400)


def test_an_unknown_parameter_is_never_silently_dropped(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    answer = fhir.get("Patient", params={"identifier": mark, "nonsense": "1"}, headers={"Prefer": "handling=lenient"})
    bundle = answer.json()
    outcomes = [entry for entry in bundle["entry"] if entry["search"]["mode"] == "outcome"]
    assert "nonsense" in str(outcomes[0]["resource"]["issue"])
    assert "nonsense" not in (link(bundle, "self") or "")
    assert len(matches(bundle)) == 1


@pytest.mark.parametrize("name", ["name:nonsense", "birthdate:contains", "gender:exact:exact", ":missing"])
def test_an_unknown_modifier_is_refused_under_strict(fhir: httpx.Client, name: str) -> None:
    refused(fhir.get("Patient", params={name: "2000"}, headers={"Prefer": "handling=strict"}), 400)


@pytest.mark.parametrize("name", ["name:nonsense", "birthdate:contains", "organization:Foo", "_id:above"])
def test_a_modifier_that_does_not_exist_is_refused_always(fhir: httpx.Client, name: str) -> None:
    """R4B 3.1.1.4.5: to leave the modifier out would make another search of it."""
    assert name in str(refused(fhir.get("Patient", params={name: "2000"}), 400, "not-supported"))


def test_sort_up_and_down(fhir: httpx.Client, mark: str) -> None:
    made = {day: create(fhir, patient(mark, birthDate=day))["id"] for day in ("1990-01-01", "1970-01-01", "1980-01-01")}
    up = [made[day] for day in sorted(made)]
    assert found(fhir, "Patient", {"identifier": mark, "_sort": "birthdate"}) == up
    assert found(fhir, "Patient", {"identifier": mark, "_sort": "-birthdate"}) == up[::-1]


def test_sort_puts_missing_values_last(fhir: httpx.Client, mark: str) -> None:
    lacking = create(fhir, patient(mark))
    having = create(fhir, patient(mark, birthDate="1990-01-01"))
    assert found(fhir, "Patient", {"identifier": mark, "_sort": "birthdate"}) == [having["id"], lacking["id"]]


def test_sort_by_several_keys(fhir: httpx.Client, mark: str) -> None:
    names = [("B", "1980-01-01"), ("A", "1990-01-01"), ("A", "1970-01-01"), ("B", "1960-01-01")]
    made = {
        (family, day): create(fhir, patient(mark, birthDate=day, name=[{"family": family}]))["id"]
        for family, day in names
    }
    expected = [made[key] for key in sorted(made)]
    assert found(fhir, "Patient", {"identifier": mark, "_sort": "family,birthdate"}) == expected
    pages = found(fhir, "Patient", {"identifier": mark, "_sort": "family,birthdate", "_count": "1"})
    assert pages == expected


def test_sort_by_last_updated(fhir: httpx.Client, mark: str) -> None:
    first, second = create(fhir, patient(mark)), create(fhir, patient(mark))
    update(fhir, first)
    assert found(fhir, "Patient", {"identifier": mark, "_sort": "-_lastUpdated"}) == [first["id"], second["id"]]


def test_sort_by_what_is_no_parameter_is_refused_under_strict(fhir: httpx.Client) -> None:
    refused(fhir.get("Patient", params={"_sort": "nonsense"}, headers={"Prefer": "handling=strict"}), 400)


def test_summary_count_has_only_the_total(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    create(fhir, patient(mark))
    bundle = search(fhir, "Patient", identifier=mark, _summary="count")
    assert bundle["total"] == 2
    assert "entry" not in bundle


def test_count_zero_means_summary_count(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    bundle = search(fhir, "Patient", identifier=mark, _count="0")
    assert bundle["total"] == 1
    assert "entry" not in bundle


def test_summary_true_text_and_data(fhir: httpx.Client, mark: str) -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    create(fhir, patient(mark, text=text, maritalStatus={"text": "M"}, birthDate="1980-01-01"))

    def one(summary: str) -> dict[str, object]:
        resource: dict[str, object] = search(fhir, "Patient", identifier=mark, _summary=summary)["entry"][0]["resource"]
        return resource

    assert "text" not in one("true")
    assert "birthDate" in one("true")
    assert "text" in one("text")
    assert "birthDate" not in one("text")
    assert "text" not in one("data")
    assert "maritalStatus" in one("data")
    assert "SUBSETTED" in str(one("true")["meta"])


def test_elements(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark, gender="male", birthDate="1980-01-01"))
    resource = search(fhir, "Patient", identifier=mark, _elements="gender")["entry"][0]["resource"]
    assert resource["gender"] == "male"
    assert "birthDate" not in resource
    assert "SUBSETTED" in str(resource["meta"])


def test_total_accurate_and_none(fhir: httpx.Client, mark: str) -> None:
    for _ in range(3):
        create(fhir, patient(mark))
    assert search(fhir, "Patient", identifier=mark, _total="accurate", _count="1")["total"] == 3
    assert "total" not in search(fhir, "Patient", identifier=mark, _total="none", _count="1")


@pytest.mark.parametrize(("name", "value"), [("_count", "x"), ("_count", "-1"), ("_total", "x"), ("_summary", "x")])
def test_bad_values_of_result_parameters_are_400(fhir: httpx.Client, name: str, value: str) -> None:
    refused(fhir.get("Patient", params={name: value}), 400)


def test_not_and_missing_work_together_with_others(fhir: httpx.Client, mark: str) -> None:
    male = create(fhir, patient(mark, gender="male"))
    none = create(fhir, patient(mark))
    create(fhir, patient(mark, gender="female"))
    assert set(found(fhir, "Patient", {"identifier": mark, "gender:not": "female"})) == {male["id"], none["id"]}


def test_head_of_a_search_has_no_body(fhir: httpx.Client) -> None:
    answer = fhir.head("Patient")
    assert (answer.status_code, answer.content) == (200, b"")


def test_contained_resources_are_not_matches(fhir: httpx.Client, mark: str) -> None:
    inner = {"resourceType": "Patient", "id": "p", "identifier": [{"value": f"inner-{mark}"}]}
    create(fhir, observation(mark, contained=[inner], subject={"reference": "#p"}))
    assert found(fhir, "Patient", {"identifier": f"inner-{mark}"}) == []


def test_every_search_parameter_of_every_type_is_answered(fhir: httpx.Client) -> None:
    values = {
        "number": "1",
        "date": "2020-01-01",
        "string": "x",
        "token": "x",
        "reference": "Patient/x",
        "quantity": "1",
        "uri": "http://example.org",
    }
    statement = fhir.get("metadata").json()
    failed = []
    for resource in statement["rest"][0]["resource"]:
        wanted = [each for each in resource["searchParam"] if each["type"] in values and each["name"][0] != "_"]
        for parameter in wanted:
            query = {parameter["name"]: values[parameter["type"]], "_count": "1"}
            answer = fhir.get(resource["type"], params=query, headers={"Prefer": "handling=strict"})
            if answer.status_code != 200:
                failed.append((resource["type"], parameter["name"], answer.text[:200]))
    assert failed == []


def test_includes_do_not_count_in_the_total(fhir: httpx.Client, mark: str) -> None:
    who = create(fhir, patient(mark))
    create(fhir, observation(mark, subject={"reference": f"Patient/{who['id']}"}))
    bundle = search(fhir, "Observation", identifier=mark, _include="Observation:subject", _total="accurate")
    assert bundle["total"] == 1
    assert len(included(bundle)) == 1
