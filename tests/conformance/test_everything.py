"""Patient/{id}/$everything: R4B Patient operations."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, link, observation, patient, refused, search


@pytest.fixture(scope="module")
def record(fhir: httpx.Client) -> dict[str, str]:
    import secrets

    mark = secrets.token_hex(8)
    org = create(fhir, {"resourceType": "Organization", "name": mark})
    who = create(fhir, patient(mark, managingOrganization={"reference": f"Organization/{org['id']}"}))
    subject = {"subject": {"reference": f"Patient/{who['id']}"}}
    seen = create(fhir, observation(mark, effectiveDateTime="2020-05-05", **subject))
    problem = create(fhir, {"resourceType": "Condition", "code": {"text": "x"}, **subject})
    other = create(fhir, patient(mark))
    create(fhir, observation(mark, subject={"reference": f"Patient/{other['id']}"}))
    return {
        "id": who["id"],
        "Organization": org["id"],
        "Patient": who["id"],
        "Observation": seen["id"],
        "Condition": problem["id"],
    }


def everything(fhir: httpx.Client, id: str, **parameters: str) -> set[str]:
    answer = fhir.get(f"Patient/{id}/$everything", params=parameters)
    assert answer.status_code == 200, answer.text
    listed: list[str] = []
    while True:
        bundle: dict[str, Any] = answer.json()
        assert bundle["type"] == "searchset"
        listed += [f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in bundle.get("entry", [])]
        following = link(bundle, "next")
        if following is None:
            assert len(listed) == len(set(listed))
            return set(listed)
        answer = fhir.get(following)


def named(record: dict[str, str], *types: str) -> set[str]:
    return {f"{type}/{record[type]}" for type in types}


def test_it_has_the_patient_and_the_compartment_and_nobody_elses(fhir: httpx.Client, record: dict[str, str]) -> None:
    answer = everything(fhir, record["id"])
    assert named(record, "Patient", "Observation", "Condition") <= answer
    assert answer <= named(record, "Patient", "Observation", "Condition", "Organization")


def test_type_narrows_it(fhir: httpx.Client, record: dict[str, str]) -> None:
    assert everything(fhir, record["id"], _type="Condition") == named(record, "Condition")


def test_count_pages_it(fhir: httpx.Client, record: dict[str, str]) -> None:
    assert everything(fhir, record["id"], _count="1") == everything(fhir, record["id"])


def test_since_leaves_out_what_is_older(fhir: httpx.Client, record: dict[str, str]) -> None:
    assert everything(fhir, record["id"], _since="2999-01-01T00:00:00Z") == set()


def test_post_with_parameters(fhir: httpx.Client, record: dict[str, str]) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Observation"}]}
    answer = fhir.post(f"Patient/{record['id']}/$everything", json=body)
    assert answer.status_code == 200, answer.text
    assert [each["resource"]["id"] for each in answer.json()["entry"]] == [record["Observation"]]


def test_of_an_unknown_patient_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.get(f"Patient/{mark}/$everything"), 404)


def test_of_a_type_without_it_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.get(f"Observation/{mark}/$everything"), 404)


def test_bad_parameters_are_400(fhir: httpx.Client, record: dict[str, str]) -> None:
    for name, value in (("_since", "x"), ("_count", "x"), ("_type", "Nonsense")):
        refused(fhir.get(f"Patient/{record['id']}/$everything", params={name: value}), 400)


def test_a_large_record_is_whole(fhir: httpx.Client, mark: str) -> None:
    who = create(fhir, patient(mark))
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "request": {"method": "POST", "url": "Observation"},
                "resource": observation(mark, subject={"reference": f"Patient/{who['id']}"}),
            }
            for _ in range(300)
        ],
    }
    assert fhir.post("", json=bundle).status_code == 200
    assert len(everything(fhir, who["id"])) == 301
    assert search(fhir, "Observation", identifier=mark, _summary="count")["total"] == 300
