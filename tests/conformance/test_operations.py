"""$meta, $diff, $expunge, $lastn, $match, $document, $convert, $graph: one behaviour per test."""

from __future__ import annotations

from typing import Any

import httpx

from tests.conformance.resources import LOINC, create, observation, patient, refused, update

Json = dict[str, Any]
TAG = {"system": "http://example.org/tags", "code": "seen"}


def meta_body(meta: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def returned_meta(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    [parameter] = answer.json()["parameter"]
    assert parameter["name"] == "return"
    meta: Json = parameter["valueMeta"]
    return meta


def test_meta_add_adds_a_tag_and_makes_a_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    meta = returned_meta(fhir.post(f"Patient/{created['id']}/$meta-add", json=meta_body({"tag": [TAG]})))
    assert meta["tag"] == [TAG]
    assert meta["versionId"] == "2"


def test_meta_add_of_what_is_there_changes_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, meta={"tag": [TAG]}))
    meta = returned_meta(fhir.post(f"Patient/{created['id']}/$meta-add", json=meta_body({"tag": [TAG]})))
    assert meta["versionId"] == "1"


def test_meta_delete_removes_a_tag(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, meta={"tag": [TAG]}))
    meta = returned_meta(fhir.post(f"Patient/{created['id']}/$meta-delete", json=meta_body({"tag": [TAG]})))
    assert "tag" not in meta


def test_meta_of_a_type_is_all_that_is_in_use(fhir: httpx.Client, mark: str) -> None:
    create(fhir, {"resourceType": "Basic", "code": {"text": "x"}, "meta": {"tag": [{"code": mark}]}})
    assert {"code": mark} in returned_meta(fhir.get("Basic/$meta"))["tag"]


def parts(answer: httpx.Response) -> list[dict[str, Any]]:
    """The operations of a FHIRPath Patch: part name -> value."""
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next((part[key] for key in part if key != "name"), None) for part in operation["part"]}
        for operation in answer.json().get("parameter", [])
    ]


def test_diff_says_what_the_last_update_changed(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male", birthDate="1970-01-01"))
    del created["birthDate"]
    update(fhir, {**created, "gender": "female", "active": True})
    found = parts(fhir.get(f"Patient/{created['id']}/$diff"))
    assert {"type": "delete", "path": "Patient.birthDate"} in found
    assert {"type": "replace", "path": "Patient.gender", "value": "female"} in found
    assert {"type": "add", "path": "Patient", "name": "active", "value": True} in found


def test_diff_of_a_version_with_itself_is_empty(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert parts(fhir.get(f"Patient/{created['id']}/$diff", params={"fromVersion": "1", "toVersion": "1"})) == []


def test_expunge_leaves_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, {**created, "active": True})
    answer = fhir.post(f"Patient/{created['id']}/$expunge")
    assert answer.json()["parameter"] == [{"name": "count", "valueInteger": 2}]
    refused(fhir.get(f"Patient/{created['id']}"), 404)
    refused(fhir.get(f"Patient/{created['id']}/_history/1"), 404)
    assert fhir.get("Patient", params={"identifier": mark}).json().get("entry", []) == []


def test_expunge_is_not_for_get(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.get(f"Patient/{created['id']}/$expunge").status_code == 405


def measured(fhir: httpx.Client, mark: str, subject: str, day: int, code: str) -> str:
    resource = observation(
        mark,
        subject={"reference": subject},
        effectiveDateTime=f"2024-01-{day:02d}",
        code={"coding": [{"system": LOINC, "code": code}]},
        category=[{"coding": [{"code": "vital-signs"}]}],
    )
    return str(create(fhir, resource)["id"])


def test_lastn_gives_the_newest_of_each_code(fhir: httpx.Client, mark: str) -> None:
    subject = f"Patient/{create(fhir, patient(mark))['id']}"
    rates = [measured(fhir, mark, subject, day, "8867-4") for day in (1, 3, 2)]
    weights = [measured(fhir, mark, subject, day, "29463-7") for day in (5, 4)]
    parameters = {"subject": subject, "category": "vital-signs"}
    bundle = fhir.get("Observation/$lastn", params=parameters).json()
    assert {entry["resource"]["id"] for entry in bundle["entry"]} == {rates[1], weights[0]}
    bundle = fhir.get("Observation/$lastn", params={**parameters, "max": "2"}).json()
    assert len(bundle["entry"]) == 4


def test_lastn_needs_a_patient_and_a_kind(fhir: httpx.Client) -> None:
    refused(fhir.get("Observation/$lastn", params={"category": "vital-signs"}), 400)
    refused(fhir.get("Observation/$lastn", params={"patient": "1"}), 400)


def match_body(resource: Json, **more: Any) -> Json:
    parameters = [{"name": "resource", "resource": resource}]
    parameters += [{"name": name, "valueBoolean": value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": parameters}


def graded(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.text
    return [
        (entry["resource"]["id"], entry["search"]["extension"][0]["valueCode"])
        for entry in answer.json().get("entry", [])
    ]


def test_match_by_identifier_is_certain(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "Other"}]))
    assert graded(fhir.post("Patient/$match", json=match_body(patient(mark)))) == [(created["id"], "certain")]


def test_match_by_demographics_bears_a_typing_error(fhir: httpx.Client, mark: str) -> None:
    person = {"name": [{"family": f"Ng{mark}", "given": ["Maria"]}], "birthDate": "1961-07-03", "gender": "female"}
    created = create(fhir, {"resourceType": "Patient", **person})
    person["name"] = [{"family": f"Ng{mark}", "given": ["Mraia"]}]
    [(id, grade)] = graded(fhir.post("Patient/$match", json=match_body({"resourceType": "Patient", **person})))
    assert (id, grade) in {(created["id"], "probable"), (created["id"], "certain")}


def test_match_of_a_stranger_is_empty(fhir: httpx.Client, mark: str) -> None:
    stranger = {"resourceType": "Patient", "name": [{"family": mark}], "birthDate": "1899-02-11"}
    assert graded(fhir.post("Patient/$match", json=match_body(stranger))) == []


def test_only_certain_matches_gives_none_when_two_are_certain(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    create(fhir, patient(mark))
    assert graded(fhir.post("Patient/$match", json=match_body(patient(mark), onlyCertainMatches=True))) == []


def composition(fhir: httpx.Client, mark: str, subject: str) -> Json:
    entry = create(fhir, observation(mark, subject={"reference": subject}))
    return create(
        fhir,
        {
            "resourceType": "Composition",
            "status": "final",
            "type": {"text": "note"},
            "subject": {"reference": subject},
            "date": "2024-01-01",
            "author": [{"reference": subject}],
            "title": "Note",
            "section": [{"title": "x", "entry": [{"reference": f"Observation/{entry['id']}"}]}],
        },
    )


def test_document_holds_the_composition_first_and_all_it_refers_to(fhir: httpx.Client, mark: str) -> None:
    subject = f"Patient/{create(fhir, patient(mark))['id']}"
    bundle = fhir.get(f"Composition/{composition(fhir, mark, subject)['id']}/$document").json()
    assert bundle["type"] == "document"
    assert bundle["entry"][0]["resource"]["resourceType"] == "Composition"
    assert {entry["resource"]["resourceType"] for entry in bundle["entry"]} == {"Composition", "Patient", "Observation"}
    assert bundle["identifier"]["value"]
    assert bundle["timestamp"]


def test_document_is_kept_when_asked(fhir: httpx.Client, mark: str) -> None:
    subject = f"Patient/{create(fhir, patient(mark))['id']}"
    answer = fhir.get(f"Composition/{composition(fhir, mark, subject)['id']}/$document", params={"persist": "true"})
    assert fhir.get(f"Bundle/{answer.json()['id']}").json()["type"] == "document"


def test_convert_gives_the_resource_in_the_other_format(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("$convert", json=patient(mark), headers={"Accept": "application/fhir+xml"})
    assert answer.status_code == 200
    assert answer.text.lstrip("\ufeff").startswith("<")
    assert mark in answer.text


def test_graph_follows_paths_and_searches(fhir: httpx.Client, mark: str) -> None:
    organization = create(fhir, {"resourceType": "Organization", "name": mark})
    owner = create(fhir, patient(mark, managingOrganization={"reference": f"Organization/{organization['id']}"}))
    noted = create(fhir, observation(mark, subject={"reference": f"Patient/{owner['id']}"}))
    create(
        fhir,
        {
            "resourceType": "GraphDefinition",
            "name": f"g{mark}",
            "status": "active",
            "start": "Patient",
            "link": [
                {"path": "Patient.managingOrganization", "target": [{"type": "Organization"}]},
                {"target": [{"type": "Observation", "params": "patient={ref}"}]},
            ],
        },
    )
    bundle = fhir.get(f"Patient/{owner['id']}/$graph", params={"graph": f"g{mark}"}).json()
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == [owner["id"], organization["id"], noted["id"]]


def test_an_operation_that_is_not_there_is_refused(fhir: httpx.Client) -> None:
    assert fhir.get("Patient/$conjure").status_code in (404, 400)


def test_an_unknown_parameter_of_an_operation_is_refused(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    refused(fhir.get(f"Patient/{created['id']}/$diff", params={"colour": "red"}), 400)
