"""$graphql: R4B graphql.html."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, observation, patient


@pytest.fixture
def someone(fhir: httpx.Client, mark: str) -> str:
    names = [
        {"use": "official", "family": mark, "given": ["Ada", "May"]},
        {"use": "usual", "given": ["Addie"]},
    ]
    return str(create(fhir, patient(mark, name=names, birthDate="1990-05-01"))["id"])


def ask(fhir: httpx.Client, path: str, query: str, **variables: Any) -> Any:
    answer = fhir.post(f"{path}$graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_an_instance_gives_what_is_selected(fhir: httpx.Client, mark: str, someone: str) -> None:
    data = ask(fhir, f"Patient/{someone}/", "{id name{family given}}")
    assert data == {"id": someone, "name": [{"family": mark, "given": ["Ada", "May"]}, {"given": ["Addie"]}]}


def test_a_query_may_be_in_the_url(fhir: httpx.Client, someone: str) -> None:
    answer = fhir.get(f"Patient/{someone}/$graphql", params={"query": "{birthDate}"})
    assert answer.json() == {"data": {"birthDate": "1990-05-01"}}


def test_an_argument_filters_a_list(fhir: httpx.Client, someone: str) -> None:
    assert ask(fhir, f"Patient/{someone}/", '{name(use: "usual"){given}}') == {"name": [{"given": ["Addie"]}]}


def test_fhirpath_filters_a_list(fhir: httpx.Client, mark: str, someone: str) -> None:
    assert ask(fhir, f"Patient/{someone}/", '{name(fhirpath: "family.exists()"){family}}') == {
        "name": [{"family": mark}]
    }


def test_an_alias_renames(fhir: httpx.Client, someone: str) -> None:
    assert ask(fhir, f"Patient/{someone}/", "{born: birthDate}") == {"born": "1990-05-01"}


def test_a_variable_with_a_default(fhir: httpx.Client, someone: str) -> None:
    query = 'query q($use: String = "usual"){name(use: $use){given}}'
    assert ask(fhir, f"Patient/{someone}/", query) == {"name": [{"given": ["Addie"]}]}
    assert ask(fhir, f"Patient/{someone}/", query, use="official") == {"name": [{"given": ["Ada", "May"]}]}


def test_flatten_merges_children_into_the_parent(fhir: httpx.Client, mark: str, someone: str) -> None:
    data = ask(fhir, f"Patient/{someone}/", "{name @flatten {given family}}")
    assert data == {"given": ["Ada", "May", "Addie"], "family": [mark]}


def test_first_takes_one(fhir: httpx.Client, someone: str) -> None:
    assert ask(fhir, f"Patient/{someone}/", "{name @first {given @first}}") == {"name": {"given": "Ada"}}


def test_slice_names_by_a_path(fhir: httpx.Client, someone: str) -> None:
    data = ask(fhir, f"Patient/{someone}/", '{name @slice(fhirpath: "use") {given}}')
    assert data == {"name.official": {"given": ["Ada", "May"]}, "name.usual": {"given": ["Addie"]}}


def test_skip_and_include(fhir: httpx.Client, someone: str) -> None:
    assert ask(fhir, f"Patient/{someone}/", "{id @skip(if: true) birthDate @include(if: true)}") == {
        "birthDate": "1990-05-01"
    }


def test_a_reference_is_followed(fhir: httpx.Client, mark: str, someone: str) -> None:
    noted = create(fhir, observation(mark, subject={"reference": f"Patient/{someone}"}))
    query = "{subject{reference resource{... on Patient{birthDate}}}}"
    assert ask(fhir, f"Observation/{noted['id']}/", query)["subject"]["resource"] == {"birthDate": "1990-05-01"}


def test_what_refers_here_is_found(fhir: httpx.Client, mark: str, someone: str) -> None:
    noted = create(fhir, observation(mark, subject={"reference": f"Patient/{someone}"}))
    assert ask(fhir, f"Patient/{someone}/", "{ObservationList(_reference: patient){id}}") == {
        "ObservationList": [{"id": noted["id"]}]
    }


def test_a_choice_is_selected_by_type(fhir: httpx.Client, mark: str) -> None:
    noted = create(fhir, observation(mark, valueQuantity={"value": 5, "unit": "mg"}))
    assert ask(fhir, f"Observation/{noted['id']}/", "{value{... on Quantity{value unit}}}") == {
        "value": {"value": 5, "unit": "mg"}
    }


def test_the_system_reads_and_lists(fhir: httpx.Client, mark: str, someone: str) -> None:
    data = ask(fhir, "", f'{{Patient(id: "{someone}"){{id}} PatientList(family: "{mark}"){{id}}}}')
    assert data == {"Patient": {"id": someone}, "PatientList": [{"id": someone}]}


def test_a_connection_counts_and_has_edges(fhir: httpx.Client, mark: str, someone: str) -> None:
    data = ask(fhir, "", f'{{PatientConnection(family: "{mark}"){{count edges{{mode resource{{id}}}}}}}}')
    assert data == {"PatientConnection": {"count": 1, "edges": [{"mode": "match", "resource": {"id": someone}}]}}


def test_a_fragment_is_spread(fhir: httpx.Client, someone: str) -> None:
    query = "query{...who} fragment who on Patient{birthDate}"
    assert ask(fhir, f"Patient/{someone}/", query) == {"birthDate": "1990-05-01"}


@pytest.mark.parametrize("query", ["{", "{nonsense}", "{name}", "mutation{x}", "{id @conjure}", "{...missing}", ""])
def test_a_query_that_cannot_be_answered_is_400(fhir: httpx.Client, someone: str, query: str) -> None:
    answer = fhir.post(f"Patient/{someone}/$graphql", json={"query": query})
    assert answer.status_code == 400
