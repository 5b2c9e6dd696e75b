"""The terminology operations over HTTP: R4B 4.7 to 4.10 and what the terminology ecosystem adds."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Server

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
GENDERS = "http://hl7.org/fhir/administrative-gender"
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    with httpx.Client(base_url=server.base + "/", headers=server.headers, timeout=60) as one:
        yield one


@pytest.fixture(scope="module")
def own(client: httpx.Client) -> dict[str, str]:
    """A code system, a value set and a map of this test's own, kept on the server."""
    base = f"http://example.org/{uuid4().hex}"
    system, value_set, mapping = f"{base}/cs", f"{base}/vs", f"{base}/cm"
    code_system = {
        "resourceType": "CodeSystem",
        "url": system,
        "version": "1.0.0",
        "name": "Animals",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "property": [{"code": "legs", "type": "integer"}],
        "concept": [
            {
                "code": "animal",
                "display": "Animal",
                "concept": [
                    {
                        "code": "dog",
                        "display": "Dog",
                        "designation": [{"language": "de", "value": "Hund"}],
                        "property": [{"code": "legs", "valueInteger": 4}],
                    },
                    {"code": "bird", "display": "Bird", "property": [{"code": "legs", "valueInteger": 2}]},
                ],
            }
        ],
    }
    included = {"system": system, "filter": [{"property": "concept", "op": "descendent-of", "value": "animal"}]}
    definition = {
        "resourceType": "ValueSet",
        "url": value_set,
        "version": "1",
        "status": "active",
        "compose": {"include": [included]},
    }
    target = {"code": "male", "equivalence": "wider"}
    concept_map = {
        "resourceType": "ConceptMap",
        "url": mapping,
        "status": "active",
        "group": [{"source": system, "target": GENDERS, "element": [{"code": "dog", "target": [target]}]}],
    }
    ids = {}
    for resource in (code_system, definition, concept_map):
        answer = client.post(resource["resourceType"], json=resource)
        assert answer.status_code == 201, answer.text
        ids[resource["resourceType"]] = answer.json()["id"]
    return {"system": system, "value_set": value_set, "map": mapping, **ids}


def parameters(answer: httpx.Response) -> dict[str, Any]:
    """name -> value of a Parameters answer (the last of several)."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["resourceType"] == "Parameters"
    return {
        one["name"]: next(one[k] for k in one if k.startswith("value") or k in ("resource", "part"))
        for one in body["parameter"]
    }


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    found: list[str] = []
    waiting = list(answer.json()["expansion"].get("contains", ()))
    while waiting:
        item = waiting.pop(0)
        found.append(item["code"])
        waiting = item.get("contains", []) + waiting
    return found


def body(**named: Any) -> Json:
    """Parameters from name=value[x] pairs: ``coding=("valueCoding", {...})``."""
    return {"resourceType": "Parameters", "parameter": [{"name": n, k: v} for n, (k, v) in named.items()]}


def test_lookup_of_a_shipped_code(client: httpx.Client) -> None:
    found = parameters(client.get("CodeSystem/$lookup", params={"system": ICD, "code": "E11.21"}))
    assert found["display"] == "Type 2 diabetes mellitus with diabetic nephropathy"
    assert found["version"] == "2026-04-01"


def test_lookup_of_a_kept_code_with_properties(client: httpx.Client, own: dict[str, str]) -> None:
    answer = client.get(f"CodeSystem/{own['CodeSystem']}/$lookup", params={"code": "dog", "property": "legs"})
    assert {"name": "value", "valueInteger": 4} in parameters(answer)["property"]


def test_lookup_in_another_language(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"system": own["system"], "code": "dog"}
    assert parameters(client.get("CodeSystem/$lookup", params={**asked, "displayLanguage": "de"}))["display"] == "Hund"
    header = {"Accept-Language": "de"}
    assert parameters(client.get("CodeSystem/$lookup", params=asked, headers=header))["display"] == "Hund"


@pytest.mark.parametrize("asked", [{"system": ICD, "code": "nope"}, {"system": "http://example.org/no", "code": "a"}])
def test_lookup_of_what_is_not_there_is_not_found(client: httpx.Client, asked: dict[str, str]) -> None:
    answer = client.get("CodeSystem/$lookup", params=asked)
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_lookup_needs_a_code(client: httpx.Client) -> None:
    assert client.get("CodeSystem/$lookup", params={"system": ICD}).status_code == 400


def test_a_code_of_a_value_set_is_valid(client: httpx.Client) -> None:
    asked = {"url": GENDER, "system": GENDERS, "code": "male", "display": "Male"}
    found = parameters(client.get("ValueSet/$validate-code", params=asked))
    assert found["result"] is True
    assert found["display"] == "Male"


@pytest.mark.parametrize(
    ("system", "code", "result"),
    [
        ("http://unitsofmeasure.org", "mg/dL", True),
        ("http://unitsofmeasure.org", "mg/dl/", False),
        ("urn:ietf:bcp:47", "de-AT", True),
        ("urn:ietf:bcp:47", "not a language", False),
        ("urn:ietf:bcp:13", "text/plain; charset=utf-8", True),
        ("urn:ietf:bcp:13", "text", False),
    ],
)
def test_codes_that_are_made_by_rules(client: httpx.Client, system: str, code: str, result: bool) -> None:
    answer = client.get("CodeSystem/$validate-code", params={"url": system, "code": code})
    assert parameters(answer)["result"] is result


def test_what_is_wrong_is_itemised(client: httpx.Client) -> None:
    coding = {"system": GENDERS, "code": "man"}
    asked = body(url=("valueUri", GENDER), coding=("valueCoding", coding))
    found = parameters(client.post("ValueSet/$validate-code", json=asked))
    assert found["result"] is False
    kinds = {issue["details"]["coding"][0]["code"]: issue["expression"] for issue in found["issues"]["issue"]}
    assert kinds == {"not-in-vs": ["Coding.code"], "invalid-code": ["Coding.code"]}


def test_one_good_coding_makes_a_concept_valid(client: httpx.Client, own: dict[str, str]) -> None:
    concept = {"coding": [{"system": GENDERS, "code": "male"}, {"system": own["system"], "code": "dog"}]}
    asked = body(url=("valueUri", own["value_set"]), codeableConcept=("valueCodeableConcept", concept))
    found = parameters(client.post("ValueSet/$validate-code", json=asked))
    assert found["result"] is True
    assert found["code"] == "dog"


def test_a_code_is_valid_in_a_code_system(client: httpx.Client) -> None:
    asked = {"url": ICD, "code": "s52.501a"}
    found = parameters(client.get("CodeSystem/$validate-code", params=asked))
    assert found["result"] is True
    assert found["normalized-code"] == "S52.501A"


def test_a_system_that_is_not_known_is_said(client: httpx.Client) -> None:
    asked = {"url": "http://example.org/none", "code": "a"}
    found = parameters(client.get("CodeSystem/$validate-code", params=asked))
    assert found["result"] is False
    assert found["x-caused-by-unknown-system"] == "http://example.org/none"


def test_a_value_set_that_is_not_known_is_an_error(client: httpx.Client) -> None:
    asked = {"url": "http://example.org/none", "system": GENDERS, "code": "male"}
    assert client.get("ValueSet/$validate-code", params=asked).status_code == 422


def test_a_kept_value_set_expands(client: httpx.Client, own: dict[str, str]) -> None:
    for answer in (
        client.get("ValueSet/$expand", params={"url": own["value_set"]}),
        client.get(f"ValueSet/{own['ValueSet']}/$expand"),
        client.post("ValueSet/$expand", json=body(url=("valueUri", own["value_set"]))),
    ):
        assert codes(answer) == ["dog", "bird"]


def test_an_expansion_says_what_it_used(client: httpx.Client, own: dict[str, str]) -> None:
    answer = client.get("ValueSet/$expand", params={"url": own["value_set"], "excludeNested": "true"}).json()
    said = {one["name"]: one for one in answer["expansion"]["parameter"]}
    assert said["used-codesystem"]["valueUri"] == f"{own['system']}|1.0.0"
    assert said["excludeNested"]["valueBoolean"] is True
    assert answer["expansion"]["total"] == 2


def test_a_change_of_a_code_system_is_seen_at_once(client: httpx.Client) -> None:
    system = f"http://example.org/{uuid4().hex}"
    resource: Json = {"resourceType": "CodeSystem", "url": system, "status": "active", "content": "complete"}
    resource["concept"] = [{"code": "a"}]
    created = client.post("CodeSystem", json=resource).json()
    asked = {"url": system, "code": "b"}
    assert parameters(client.get("CodeSystem/$validate-code", params=asked))["result"] is False
    created["concept"].append({"code": "b"})
    assert client.put(f"CodeSystem/{created['id']}", json=created).status_code == 200
    assert parameters(client.get("CodeSystem/$validate-code", params=asked))["result"] is True


def test_resources_sent_along_are_used(client: httpx.Client) -> None:
    system = "http://example.org/sent"
    resource = {"resourceType": "CodeSystem", "url": system, "status": "active", "content": "complete"}
    resource |= {"concept": [{"code": "x", "display": "X"}]}
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": system}]}}
    asked = body(valueSet=("resource", value_set))
    asked["parameter"].append({"name": "tx-resource", "resource": resource})
    assert codes(client.post("ValueSet/$expand", json=asked)) == ["x"]


def text_of(client: httpx.Client, text: str, **more: str) -> httpx.Response:
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": ICD}]}}
    asked = body(valueSet=("resource", value_set), filter=("valueString", text))
    asked["parameter"] += [{"name": name, "valueInteger": int(value)} for name, value in more.items()]
    return client.post("ValueSet/$expand", json=asked)


def test_a_text_finds_the_nearest_codes_first(client: httpx.Client) -> None:
    found = codes(text_of(client, "heart fail", count="5"))
    assert found[0] == "I50"
    assert len(found) == 5


def test_pages_do_not_overlap(client: httpx.Client) -> None:
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": ICD}]}}
    pages = []
    for offset in (0, 7):
        asked = body(valueSet=("resource", value_set), offset=("valueInteger", offset), count=("valueInteger", 7))
        answer = client.post("ValueSet/$expand", json=asked)
        pages.append(codes(answer))
        assert answer.json()["expansion"]["total"] > 90_000
        assert answer.json()["expansion"]["offset"] == offset
    assert pages[0][:2] == ["A00", "A00.0"]
    assert not set(pages[0]) & set(pages[1])


def test_too_many_codes_are_refused(client: httpx.Client) -> None:
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": ICD}]}}
    answer = client.post("ValueSet/$expand", json=value_set)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["code"] == "too-costly"


def test_designations_come_when_asked_for(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"url": own["value_set"], "includeDesignations": "true", "displayLanguage": "de"}
    contains = client.get("ValueSet/$expand", params=asked).json()["expansion"]["contains"]
    dog = next(one for one in contains if one["code"] == "dog")
    assert dog["display"] == "Hund"
    assert "Dog" in {one["value"] for one in dog["designation"]}


def test_properties_of_an_expansion_are_extensions(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"url": own["value_set"], "property": "legs"}
    contains = client.get("ValueSet/$expand", params=asked).json()["expansion"]["contains"]
    parts = contains[0]["extension"][0]["extension"]
    assert parts == [{"url": "code", "valueCode": "legs"}, {"url": "value", "valueInteger": 4}]


def test_a_version_that_must_be_is_checked(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"url": own["value_set"], "check-system-version": f"{own['system']}|2.x"}
    answer = client.get("ValueSet/$expand", params=asked)
    assert 400 <= answer.status_code < 500
    assert client.get("ValueSet/$expand", params={**asked, "check-system-version": f"{own['system']}|1.x"}).is_success


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("E11", "E11.21", "subsumes"),
        ("E11.21", "E11", "subsumed-by"),
        ("E11.21", "E11.21", "equivalent"),
        ("E11", "I10", "not-subsumed"),
    ],
)
def test_codes_subsume(client: httpx.Client, a: str, b: str, outcome: str) -> None:
    asked = {"system": ICD, "codeA": a, "codeB": b}
    assert parameters(client.get("CodeSystem/$subsumes", params=asked)) == {"outcome": outcome}


def test_a_code_is_translated_both_ways(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"system": own["system"], "code": "dog", "targetsystem": GENDERS}
    found = parameters(client.get("ConceptMap/$translate", params=asked))
    assert found["result"] is True
    assert {"name": "concept", "valueCoding": {"system": GENDERS, "code": "male"}} in found["match"]
    assert {"name": "equivalence", "valueCode": "wider"} in found["match"]
    back = {"url": own["map"], "system": GENDERS, "code": "male", "reverse": "true"}
    found = parameters(client.get("ConceptMap/$translate", params=back))
    assert {"name": "concept", "valueCoding": {"system": own["system"], "code": "dog"}} in found["match"]
    assert {"name": "equivalence", "valueCode": "narrower"} in found["match"]


def test_no_translation_is_an_answer(client: httpx.Client, own: dict[str, str]) -> None:
    asked = {"url": own["map"], "system": own["system"], "code": "bird"}
    assert parameters(client.get("ConceptMap/$translate", params=asked))["result"] is False


def test_a_closure_table_grows(client: httpx.Client) -> None:
    name = uuid4().hex
    started = client.post("$closure", json=body(name=("valueString", name)))
    assert started.status_code == 200
    assert "group" not in started.json()

    def add(code: str) -> Json:
        coding = {"system": ICD, "code": code}
        answer = client.post("$closure", json=body(name=("valueString", name), concept=("valueCoding", coding)))
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    assert "group" not in add("E11.21")
    grown = add("E11")
    assert grown["group"][0]["element"] == [{"code": "E11.21", "target": [{"code": "E11", "equivalence": "subsumes"}]}]
    replayed = client.post("$closure", json=body(name=("valueString", name), version=("valueString", "1")))
    assert replayed.json()["group"] == grown["group"]


def test_a_closure_table_must_be_begun(client: httpx.Client) -> None:
    asked = body(name=("valueString", uuid4().hex), concept=("valueCoding", {"system": ICD, "code": "I10"}))
    assert client.post("$closure", json=asked).status_code == 404


def test_codes_are_found_by_their_properties(client: httpx.Client, own: dict[str, str]) -> None:
    part = [{"name": "code", "valueCode": "legs"}, {"name": "value", "valueString": "4"}]
    asked = body(system=("valueUri", own["system"]), exact=("valueBoolean", True))
    asked["parameter"].append({"name": "property", "part": part})
    found = parameters(client.post("CodeSystem/$find-matches", json=asked))
    assert found["match"][0]["valueCoding"]["code"] == "dog"


def test_many_validations_in_one_request(client: httpx.Client) -> None:
    one = body(coding=("valueCoding", {"system": GENDERS, "code": "male"}))
    asked = body(url=("valueUri", GENDER))
    asked["parameter"] += [{"name": "validation", "resource": one}, {"name": "validation", "resource": body()}]
    answers = client.post("ValueSet/$batch-validate-code", json=asked).json()["parameter"]
    assert [one["resource"]["resourceType"] for one in answers] == ["Parameters", "OperationOutcome"]


def test_capabilities_name_the_code_systems(client: httpx.Client, own: dict[str, str]) -> None:
    found = client.get("metadata", params={"mode": "terminology"})
    assert found.status_code == 200
    assert ICD in {one["uri"] for one in found.json()["codeSystem"]}


def test_searches_know_kept_code_systems(client: httpx.Client, own: dict[str, str]) -> None:
    for code in ("dog", "bird"):
        observation = {"resourceType": "Observation", "status": "final"}
        observation |= {"code": {"coding": [{"system": own["system"], "code": code}]}}
        assert client.post("Observation", json=observation).status_code == 201
    below = client.get("Observation", params={"code:below": f"{own['system']}|animal"}).json()
    assert len(below["entry"]) == 2
    inside = client.get("Observation", params={"code:in": own["value_set"]}).json()
    assert len(inside["entry"]) == 2
