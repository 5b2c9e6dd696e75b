"""FHIRPath Patch, one behaviour per test (R4B fhirpatch.html)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhirpath.patch import apply_fhirpath_patch
from fhir_server.r4b.outcome import FhirError

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "Chalmers", "given": ["Peter", "James"]}, {"family": "Windsor"}],
    "birthDate": "1974-12-25",
    "deceasedBoolean": False,
}


def patch(*operations: dict[str, Any], resource: dict[str, Any] = PATIENT) -> dict[str, Any]:
    parameters = []
    for operation in operations:
        parts = [
            {
                "name": name,
                **(
                    value
                    if isinstance(value, dict)
                    else {"valueInteger" if isinstance(value, int) else "valueString": value}
                ),
            }
            for name, value in operation.items()
        ]
        parameters.append({"name": "operation", "part": parts})
    return apply_fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": parameters})


def test_replace_changes_a_primitive() -> None:
    assert (
        patch({"type": "replace", "path": "Patient.birthDate", "value": {"valueDate": "1930-01-01"}})["birthDate"]
        == "1930-01-01"
    )


def test_replace_of_a_choice_changes_its_type() -> None:
    patched = patch({"type": "replace", "path": "Patient.deceased", "value": {"valueDateTime": "2020-01-01"}})
    assert patched["deceasedDateTime"] == "2020-01-01"
    assert "deceasedBoolean" not in patched


def test_add_sets_an_element_that_is_absent() -> None:
    assert (
        patch({"type": "add", "path": "Patient", "name": "gender", "value": {"valueCode": "male"}})["gender"] == "male"
    )


def test_add_appends_to_a_list() -> None:
    value = {"valueHumanName": {"family": "New"}}
    assert [
        name["family"] for name in patch({"type": "add", "path": "Patient", "name": "name", "value": value})["name"]
    ] == ["Chalmers", "Windsor", "New"]


def test_add_builds_a_backbone_element_from_parts() -> None:
    value = {
        "part": [
            {"name": "name", "valueHumanName": {"text": "a name"}},
            {"name": "gender", "valueCode": "female"},
            {"name": "telecom", "valueContactPoint": {"value": "+1"}},
        ]
    }
    assert patch({"type": "add", "path": "Patient", "name": "contact", "value": value})["contact"] == [
        {"name": {"text": "a name"}, "gender": "female", "telecom": [{"value": "+1"}]}
    ]


def test_insert_puts_an_item_at_its_index() -> None:
    patched = patch({"type": "insert", "path": "Patient.name[0].given", "index": 1, "value": {"valueString": "Q"}})
    assert patched["name"][0]["given"] == ["Peter", "Q", "James"]


def test_move_reorders_a_list() -> None:
    patched = patch({"type": "move", "path": "Patient.name", "source": 1, "destination": 0})
    assert [name["family"] for name in patched["name"]] == ["Windsor", "Chalmers"]


def test_delete_removes_an_element() -> None:
    assert "birthDate" not in patch({"type": "delete", "path": "Patient.birthDate"})


def test_delete_removes_the_list_with_its_last_item() -> None:
    patched = patch({"type": "delete", "path": "Patient.name[1]"}, {"type": "delete", "path": "Patient.name[0]"})
    assert "name" not in patched


def test_delete_of_what_is_not_there_changes_nothing() -> None:
    assert patch({"type": "delete", "path": "Patient.gender"}) == PATIENT


def test_the_original_is_left_alone() -> None:
    before = repr(PATIENT)
    patch({"type": "delete", "path": "Patient.name[0].given[0]"})
    assert repr(PATIENT) == before


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"type": "replace", "path": "Patient.name", "value": {"valueString": "x"}}, 422),
        ({"type": "replace", "path": "Patient.gender", "value": {"valueCode": "male"}}, 422),
        ({"type": "add", "path": "Patient", "name": "nonsense", "value": {"valueCode": "male"}}, 422),
        ({"type": "add", "path": "Patient", "name": "birthDate", "value": {"valueDate": "1930"}}, 422),
        ({"type": "insert", "path": "Patient.name", "index": 7, "value": {"valueHumanName": {"family": "x"}}}, 422),
        ({"type": "move", "path": "Patient.name", "source": 0, "destination": 9}, 422),
        ({"type": "explode", "path": "Patient.name"}, 400),
        ({"type": "delete", "path": "Patient.name["}, 400),
        ({"type": "delete"}, 400),
        ({"type": "delete", "path": "Patient.name"}, 422),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation: dict[str, Any], status: int) -> None:
    with pytest.raises(FhirError) as refused:
        patch(operation)
    assert refused.value.status == status
