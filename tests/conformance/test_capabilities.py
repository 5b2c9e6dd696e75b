"""capabilities: R4B 3.1.0.12; the statement promises what runs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import refused
from tests.conftest import Server


@pytest.fixture(scope="module")
def statement(fhir: httpx.Client) -> dict[str, Any]:
    answer = fhir.get("metadata")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def resource(statement: dict[str, Any], type: str) -> dict[str, Any]:
    return next(each for each in statement["rest"][0]["resource"] if each["type"] == type)


def test_it_is_a_capability_statement_of_this_instance(statement: dict[str, Any], server: Server) -> None:
    assert statement["resourceType"] == "CapabilityStatement"
    assert (statement["status"], statement["kind"]) == ("active", "instance")
    assert statement["fhirVersion"] == "4.3.0"
    assert statement["software"]["version"]
    assert statement["implementation"]["url"].rstrip("/") == server.base
    assert "application/fhir+json" in statement["format"]
    assert "application/json-patch+json" in statement["patchFormat"]


def test_every_resource_type_is_there(statement: dict[str, Any]) -> None:
    assert len(statement["rest"][0]["resource"]) >= 140


def test_a_type_says_its_interactions(statement: dict[str, Any]) -> None:
    codes = {each["code"] for each in resource(statement, "Patient")["interaction"]}
    assert codes >= {
        "read",
        "vread",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "create",
        "search-type",
    }


def test_the_system_says_its_interactions(statement: dict[str, Any]) -> None:
    codes = {each["code"] for each in statement["rest"][0]["interaction"]}
    assert codes >= {"transaction", "batch", "search-system", "history-system"}


def test_the_system_says_its_search_parameters(statement: dict[str, Any]) -> None:
    names = {each["name"] for each in statement["rest"][0]["searchParam"]}
    assert names >= {"_id", "_lastUpdated", "_tag", "_type", "_sort", "_count"}


def test_conditional_forms_and_versions_are_stated(statement: dict[str, Any]) -> None:
    patient = resource(statement, "Patient")
    assert patient["versioning"] == "versioned-update"
    assert patient["readHistory"] is True
    assert patient["conditionalCreate"] is True
    assert patient["conditionalUpdate"] is True
    assert patient["conditionalRead"] == "full-support"
    assert patient["conditionalDelete"] in ("single", "multiple")


def test_search_parameters_are_those_of_the_registry(statement: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in resource(statement, "Patient")["searchParam"]}
    assert parameters["birthdate"]["type"] == "date"
    assert parameters["general-practitioner"]["type"] == "reference"
    assert {"_id", "_lastUpdated", "_tag", "name", "identifier"} <= set(parameters)


def test_includes_are_listed(statement: dict[str, Any]) -> None:
    assert "Patient:general-practitioner" in resource(statement, "Patient")["searchInclude"]
    assert "Observation:subject" in resource(statement, "Patient")["searchRevInclude"]


def test_everything_is_an_operation_of_patient(statement: dict[str, Any]) -> None:
    operations = {each["name"] for each in resource(statement, "Patient").get("operation", [])}
    assert "everything" in operations


def test_compartments_are_listed(statement: dict[str, Any]) -> None:
    assert "http://hl7.org/fhir/CompartmentDefinition/patient" in statement["rest"][0]["compartment"]


def test_security_names_the_way_in(statement: dict[str, Any]) -> None:
    assert statement["rest"][0]["security"]["cors"] is True


def test_an_r4_client_gets_the_statement_of_r4(fhir: httpx.Client) -> None:
    answer = fhir.get("metadata", headers={"Accept": "application/fhir+json; fhirVersion=4.0"})
    assert answer.json()["fhirVersion"] == "4.0.1"


def test_a_mode_that_is_none_is_400(fhir: httpx.Client) -> None:
    refused(fhir.get("metadata", params={"mode": "nonsense"}), 400)


def test_the_statement_is_valid_by_the_servers_own_rules(fhir: httpx.Client, statement: dict[str, Any]) -> None:
    assert fhir.post("CapabilityStatement", json=statement).status_code == 201


def test_it_has_an_etag_that_spares_sending_it_again(fhir: httpx.Client) -> None:
    first = fhir.get("metadata")
    again = fhir.get("metadata", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_every_operation_has_its_definition_here(fhir: httpx.Client) -> None:
    rest = fhir.get("metadata").json()["rest"][0]
    declared = rest["operation"] + [each for resource in rest["resource"] for each in resource.get("operation", [])]
    for definition in sorted({each["definition"] for each in declared}):
        answer = fhir.get(f"OperationDefinition/{definition.rpartition('/')[2]}")
        assert answer.status_code == 200, definition
        assert answer.json()["url"] == definition
        found = fhir.get("OperationDefinition", params={"url": definition}).json()
        assert found["total"] == 1


def test_an_operation_definition_names_its_parameters(fhir: httpx.Client) -> None:
    definition = fhir.get("OperationDefinition/reindex").json()
    assert definition["code"] == "reindex"
    assert {each["name"] for each in definition["parameter"]} == {"type", "count"}
