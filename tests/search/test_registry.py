from typing import Any

import pytest

from fhir_server.r4b.outcome import Unprocessable
from fhir_server.search.custom import search_parameter_of
from fhir_server.search.registry import Registry, default_registry
from tests.search.matching import World, parse


def custom(**elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": "http://x.org/eye-color",
        "name": "EyeColor",
        "status": "active",
        "description": "Eye color",
        "code": "eye-color",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.extension.where(url='http://x.org/eye').value",
        **elements,
    }


BLUE = {
    "resourceType": "Patient",
    "id": "1",
    "extension": [{"url": "http://x.org/eye", "valueCodeableConcept": {"coding": [{"code": "blue"}]}}],
}


def test_every_parameter_of_the_standard_is_there() -> None:
    registry = default_registry()
    assert registry.get("Patient", "birthdate") is not None
    assert registry.get("Binary", "_tag") is not None
    assert registry.get("Patient", "foo") is None
    assert registry.parameters("Foo") == {}


def test_a_custom_parameter_is_used_once_it_is_active() -> None:
    registry = Registry()
    parameter = search_parameter_of(custom(), registry)
    before = registry.generation
    registry.add(parameter)
    assert registry.generation > before
    assert "still being indexed" in parse("Patient", "eye-color=blue", registry=registry).unknown[0][1]
    registry.activate(parameter.url)
    assert World(BLUE, registry=registry).find("Patient", "eye-color=blue") == ["1"]
    assert World(BLUE, registry=registry).find("Patient", "eye-color=brown") == []
    assert registry.remove(parameter.url)
    assert not registry.remove(parameter.url)
    assert parse("Patient", "eye-color=blue", registry=registry).unknown


def test_a_pending_parameter_is_indexed_already() -> None:
    registry = Registry()
    registry.add(search_parameter_of(custom(), registry))
    assert [row for row in World(BLUE, registry=registry).entries[0].tokens if row[0] == "eye-color"]


@pytest.mark.parametrize(
    ("elements", "where"),
    [
        ({"expression": "Patient.extension.where(url='x'"}, "SearchParameter.expression"),
        ({"expression": "Patient.nmae"}, "SearchParameter.expression"),
        ({"expression": "Observation.code"}, "SearchParameter.expression"),
        ({"expression": "Patient.birthDate", "type": "quantity"}, "SearchParameter.expression"),
        ({"expression": ""}, "SearchParameter.expression"),
        ({"code": "birthdate"}, "SearchParameter.code"),
        ({"code": "a:b"}, "SearchParameter.code"),
        ({"base": []}, "SearchParameter.base"),
        ({"base": ["Foo"]}, "SearchParameter.base"),
        ({"target": ["Foo"]}, "SearchParameter.target"),
        ({"type": "special"}, "SearchParameter.type"),
        ({"url": ""}, "SearchParameter.url"),
        ({"type": "composite", "expression": "Patient"}, "SearchParameter.component"),
    ],
)
def test_a_parameter_that_cannot_work_is_refused_with_the_reason(elements: dict[str, Any], where: str) -> None:
    with pytest.raises(Unprocessable) as refusal:
        search_parameter_of(custom(**elements), Registry())
    assert where in [issue.expression for issue in refusal.value.issues]


def test_a_custom_composite_works() -> None:
    registry = Registry()
    base = "http://hl7.org/fhir/SearchParameter/"
    parts = [
        {"definition": f"{base}individual-gender", "expression": "gender"},
        {"definition": f"{base}individual-birthdate", "expression": "birthDate"},
    ]
    resource = custom(type="composite", code="who", expression="Patient", component=parts)
    parameter = search_parameter_of(resource, registry)
    registry.add(parameter, status="active")
    world = World({"resourceType": "Patient", "id": "1", "gender": "male", "birthDate": "2000"}, registry=registry)
    assert world.find("Patient", "who=male$2000") == ["1"]
    assert world.find("Patient", "who=female$2000") == []


def test_the_parameters_that_may_point_to_a_type() -> None:
    found = {(type, parameter.code) for type, parameter in default_registry().referencing("Patient")}
    assert ("Observation", "patient") in found
    assert ("Patient", "organization") not in found
