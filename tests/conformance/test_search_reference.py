"""reference and uri parameters, chains, _has, includes: R4B 3.1.1.4.12 to 3.1.1.5.5."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.resources import SYSTEM, create, found, included, matches, observation, patient, refused, search
from tests.conftest import Server


@pytest.fixture(scope="module")
def family(fhir: httpx.Client) -> dict[str, str]:
    """One patient with an organization and two observations, another with one."""
    import secrets

    mark = secrets.token_hex(8)
    org = create(fhir, {"resourceType": "Organization", "identifier": [{"value": mark}], "name": f"Clinic {mark}"})
    ann = create(
        fhir,
        patient(mark, name=[{"family": "Ann"}], managingOrganization={"reference": f"Organization/{org['id']}"}),
    )
    bob = create(fhir, patient(mark, name=[{"family": "Bob"}]))
    made = {"mark": mark, "org": org["id"], "ann": ann["id"], "bob": bob["id"]}
    for name, who in (("a1", ann), ("a2", ann), ("b1", bob)):
        made[name] = create(fhir, observation(mark, subject={"reference": f"Patient/{who['id']}"}))["id"]
    return made


def names(fhir: httpx.Client, family: dict[str, str], type: str, **parameters: str) -> set[str]:
    ids = found(fhir, type, {"identifier": family["mark"], **parameters})
    return {name for name, id in family.items() if id in ids}


def test_a_reference_by_type_and_id_by_id_and_by_url(
    fhir: httpx.Client, server: Server, family: dict[str, str]
) -> None:
    ann = family["ann"]
    for value in (f"Patient/{ann}", ann, f"{server.base}/Patient/{ann}"):
        assert names(fhir, family, "Observation", subject=value) == {"a1", "a2"}, value


def test_a_type_modifier(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Observation", **{"subject:Patient": family["ann"]}) == {"a1", "a2"}
    assert names(fhir, family, "Observation", **{"subject:Group": family["ann"]}) == set()


def test_the_patient_parameter_is_only_for_patients(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Observation", patient=family["bob"]) == {"b1"}


def test_an_absolute_url_elsewhere(fhir: httpx.Client, mark: str) -> None:
    url = f"http://elsewhere.example.org/fhir/Patient/{mark}"
    created = create(fhir, observation(mark, subject={"reference": url}))
    assert found(fhir, "Observation", {"subject": url}) == [created["id"]]
    assert found(fhir, "Observation", {"identifier": mark, "subject": f"Patient/{mark}"}) == []


def test_the_identifier_modifier(fhir: httpx.Client, mark: str) -> None:
    subject = {"identifier": {"system": SYSTEM, "value": f"logical-{mark}"}}
    created = create(fhir, observation(mark, subject=subject))
    assert found(fhir, "Observation", {"subject:identifier": f"{SYSTEM}|logical-{mark}"}) == [created["id"]]


def test_missing_reference(fhir: httpx.Client, mark: str) -> None:
    lacking = create(fhir, observation(mark))
    create(fhir, observation(mark, subject={"reference": "Patient/x"}))
    assert found(fhir, "Observation", {"identifier": mark, "subject:missing": "true"}) == [lacking["id"]]


def test_a_chain(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Observation", **{"subject:Patient.family": "ann"}) == {"a1", "a2"}
    assert names(fhir, family, "Observation", **{"patient.family": "bob"}) == {"b1"}


def test_a_chain_without_type_reaches_every_target(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Observation", **{"subject.identifier": family["mark"]}) == {"a1", "a2", "b1"}


def test_a_chain_to_the_id(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Observation", **{"patient._id": family["ann"]}) == {"a1", "a2"}


def test_has(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert names(fhir, family, "Patient", **{"_has:Observation:patient:identifier": family["mark"]}) == {"ann", "bob"}
    assert names(fhir, family, "Patient", **{"_has:Observation:patient:_id": family["b1"]}) == {"bob"}


def test_two_has_are_both_required(fhir: httpx.Client, family: dict[str, str]) -> None:
    pairs = [
        ("_has:Observation:patient:_id", family["a1"]),
        ("_has:Observation:patient:_id", family["a2"]),
        ("identifier", family["mark"]),
    ]
    assert found(fhir, "Patient", pairs) == [family["ann"]]


def test_include(fhir: httpx.Client, family: dict[str, str]) -> None:
    bundle = search(fhir, "Observation", _id=f"{family['a1']},{family['a2']}", _include="Observation:subject")
    assert len(matches(bundle)) == 2
    assert included(bundle) == [f"Patient/{family['ann']}"]


def test_include_with_a_target_type(fhir: httpx.Client, family: dict[str, str]) -> None:
    none = search(fhir, "Observation", _id=family["a1"], _include="Observation:subject:Group")
    one = search(fhir, "Observation", _id=family["a1"], _include="Observation:subject:Patient")
    assert (included(none), included(one)) == ([], [f"Patient/{family['ann']}"])


def test_revinclude(fhir: httpx.Client, family: dict[str, str]) -> None:
    bundle = search(fhir, "Patient", _id=family["ann"], _revinclude="Observation:subject")
    assert sorted(included(bundle)) == sorted([f"Observation/{family['a1']}", f"Observation/{family['a2']}"])


def test_include_iterate(fhir: httpx.Client, family: dict[str, str]) -> None:
    parameters = {"_id": family["a1"], "_include": "Observation:subject", "_include:iterate": "Patient:organization"}
    assert set(included(search(fhir, "Observation", **parameters))) == {
        f"Patient/{family['ann']}",
        f"Organization/{family['org']}",
    }


def test_include_everything(fhir: httpx.Client, family: dict[str, str]) -> None:
    assert included(search(fhir, "Patient", _id=family["ann"], _include="*")) == [f"Organization/{family['org']}"]


def test_an_included_resource_is_there_once_and_not_when_it_matches(fhir: httpx.Client, family: dict[str, str]) -> None:
    bundle = search(fhir, "Observation", identifier=family["mark"], _include="Observation:subject")
    listed = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(listed) == len(set(listed)) == 5


def test_an_include_that_is_none_is_refused_under_strict(fhir: httpx.Client) -> None:
    for value in ("Observation:nonsense", "Nonsense:subject", "Observation"):
        answer = fhir.get("Observation", params={"_include": value}, headers={"Prefer": "handling=strict"})
        refused(answer, 400)


@pytest.mark.parametrize(
    "name", ["subject.nonsense", "nonsense.family", "_has:Observation:nonsense:code", "_has:X:y:z", "_has:Observation"]
)
def test_a_chain_that_leads_nowhere_is_refused_under_strict(fhir: httpx.Client, name: str) -> None:
    refused(fhir.get("Observation", params={name: "x"}, headers={"Prefer": "handling=strict"}), 400)


def test_a_uri_is_matched_whole_with_case(fhir: httpx.Client, mark: str) -> None:
    url = f"http://example.org/ValueSet/{mark}"
    created = create(fhir, {"resourceType": "ValueSet", "url": url, "status": "draft"})
    assert found(fhir, "ValueSet", {"url": url}) == [created["id"]]
    assert found(fhir, "ValueSet", {"url": url.upper()}) == []
    assert found(fhir, "ValueSet", {"url": url[:-1]}) == []
    assert found(fhir, "ValueSet", {"url:below": "http://example.org/ValueSet", "_id": created["id"]}) == [
        created["id"]
    ]


def test_a_canonical_is_found_with_and_without_its_version(fhir: httpx.Client, mark: str) -> None:
    questionnaire = f"http://example.org/Questionnaire/{mark}"
    response = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": f"{questionnaire}|2"}
    created = create(fhir, response)
    assert found(fhir, "QuestionnaireResponse", {"questionnaire": questionnaire}) == [created["id"]]
    assert found(fhir, "QuestionnaireResponse", {"questionnaire": f"{questionnaire}|2"}) == [created["id"]]
    assert found(fhir, "QuestionnaireResponse", {"questionnaire": f"{questionnaire}|3"}) == []
