from __future__ import annotations

import subprocess
import sys

import pytest

from fhir_server.r4b.definitions import definitions

d = definitions()


def test_all_of_the_standard_is_there() -> None:
    assert len(d.types) == 141
    assert len(d.all_search_parameters()) == 1414
    assert len(d.datatypes) == 40
    assert len(d.primitives) == 20
    assert d.compartments == ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")


def test_abstract_types_are_no_resources() -> None:
    assert not d.is_resource("Resource")
    assert not d.is_resource("DomainResource")
    assert not d.is_resource("HumanName")
    assert d.is_resource("Patient")


@pytest.mark.parametrize("type_", [*d.types, *d.datatypes])
def test_every_content_that_an_element_names_exists(type_: str) -> None:
    for element in d.elements(type_).values():
        assert element.content is None or d.elements(element.content)
        assert element.json_names


def test_elements_carry_what_the_standard_says() -> None:
    gender = d.elements("Patient")["gender"]
    assert (gender.min, gender.max, gender.types[0].code) == (0, 1, "code")
    assert gender.binding is not None
    assert gender.binding.strength == "required"
    assert d.elements("Observation")["status"].modifier
    assert d.elements("Observation")["value"].json_names["valueQuantity"].code == "Quantity"
    assert d.elements("Questionnaire.item")["item"].content == "Questionnaire.item"
    assert d.elements("Condition")["subject"].types[0].targets == ("Patient", "Group")


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        d.elements("Pacient")


def test_parameters_of_every_resource_are_among_those_of_a_type() -> None:
    of_patient = d.search_parameters("Patient")
    assert {
        "_id",
        "_lastUpdated",
        "_tag",
        "_profile",
        "_security",
        "_source",
        "_text",
        "birthdate",
    } <= of_patient.keys()
    assert of_patient["general-practitioner"].targets == ("Practitioner", "Organization", "PractitionerRole")


def test_a_composite_names_parameters_that_exist() -> None:
    for parameter in d.all_search_parameters():
        assert (parameter.type == "composite") == bool(parameter.components)
        for component in parameter.components:
            assert d.search_parameter(component.definition) is not None


def test_every_compartment_names_parameters_that_exist() -> None:
    for name in d.compartments:
        for type_, codes in d.compartment(name).items():
            assert set(codes) <= d.search_parameters(type_).keys()


def test_required_code_sets_are_known_with_and_without_version() -> None:
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    found = d.required_binding(url + "|4.3.0")
    assert found is d.required_binding(url)
    assert found is not None
    assert found.plain == {"male", "female", "other", "unknown"}
    assert d.required_binding("http://hl7.org/fhir/ValueSet/mimetypes") is None


def test_invariants_have_expressions() -> None:
    assert {i.key for i in d.invariants("Observation")} >= {"obs-6", "obs-7", "obs-3"}
    assert all(i.expression and i.severity in ("error", "warning") for t in d.types for i in d.invariants(t))


def test_loads_quickly() -> None:
    program = (
        "import time; import msgspec, gzip; start = time.perf_counter()\n"
        "from fhir_server.r4b.definitions import definitions\n"
        "d = definitions(); d.types; d.elements('Patient'); d.search_parameters('Patient')\n"
        "print(time.perf_counter() - start)"
    )
    took = min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    )
    assert took < 0.1
