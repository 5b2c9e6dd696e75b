"""Profiles over resources: what each kind of rule accepts and refuses."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from fhir_server.fhirpath import Context, root_node
from fhir_server.profiles.extensions import extension_issues
from fhir_server.profiles.invariants import invariant_issues
from fhir_server.profiles.profile import Profile, build_profile
from fhir_server.profiles.snapshot import base_structure, generate_snapshot
from fhir_server.profiles.validator import validate_profile

BASE = "http://hl7.org/fhir/StructureDefinition/"
EYE_COLOUR = {
    "resourceType": "StructureDefinition",
    "url": "http://example.org/eye-colour",
    "type": "Extension",
    "baseDefinition": BASE + "Extension",
    "context": [{"type": "element", "expression": "Patient"}],
    "differential": {
        "element": [
            {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
            {"id": "Extension.url", "path": "Extension.url", "fixedUri": "http://example.org/eye-colour"},
            {
                "id": "Extension.value[x]",
                "path": "Extension.value[x]",
                "min": 1,
                "type": [{"code": "code"}],
                "binding": {"strength": "required", "valueSet": "http://example.org/colours"},
            },
        ]
    },
}
WARD_PATIENT = {
    "resourceType": "StructureDefinition",
    "url": "http://example.org/ward-patient",
    "type": "Patient",
    "baseDefinition": BASE + "Patient",
    "differential": {
        "element": [
            {
                "id": "Patient",
                "path": "Patient",
                "constraint": [
                    {
                        "key": "wp-1",
                        "severity": "error",
                        "human": "A name or a birth date",
                        "expression": "name.exists() or birthDate.exists()",
                        "source": "http://example.org/ward-patient",
                    }
                ],
            },
            {
                "id": "Patient.identifier",
                "path": "Patient.identifier",
                "min": 1,
                "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "closed"},
            },
            {"id": "Patient.identifier:mrn", "path": "Patient.identifier", "sliceName": "mrn", "min": 1, "max": "1"},
            {
                "id": "Patient.identifier:mrn.system",
                "path": "Patient.identifier.system",
                "min": 1,
                "fixedUri": "urn:mrn",
            },
            {"id": "Patient.identifier:mrn.value", "path": "Patient.identifier.value", "min": 1, "maxLength": 5},
            {"id": "Patient.identifier:ssn", "path": "Patient.identifier", "sliceName": "ssn", "max": "1"},
            {
                "id": "Patient.identifier:ssn.system",
                "path": "Patient.identifier.system",
                "min": 1,
                "fixedUri": "urn:ssn",
            },
            {"id": "Patient.gender", "path": "Patient.gender", "min": 1},
            {
                "id": "Patient.maritalStatus",
                "path": "Patient.maritalStatus",
                "patternCodeableConcept": {"coding": [{"system": "urn:m", "code": "S"}]},
            },
            {"id": "Patient.multipleBirth[x]", "path": "Patient.multipleBirth[x]", "type": [{"code": "boolean"}]},
            {
                "id": "Patient.generalPractitioner",
                "path": "Patient.generalPractitioner",
                "type": [{"code": "Reference", "targetProfile": [BASE + "Practitioner"]}],
            },
        ]
    },
}
GOOD: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:mrn", "value": "12345"}, {"system": "urn:ssn", "value": "9"}],
    "name": [{"family": "X"}],
    "gender": "female",
    "maritalStatus": {
        "coding": [{"system": "urn:other", "code": "x"}, {"system": "urn:m", "code": "S", "display": "single"}]
    },
    "multipleBirthBoolean": True,
    "generalPractitioner": [{"reference": "Practitioner/1"}],
    "extension": [{"url": "http://example.org/eye-colour", "valueCode": "blue"}],
}


class Shelf:
    """Profiles by URL; the only value set is one of two colours."""

    def __init__(self) -> None:
        self.structures = {str(one["url"]): one for one in (EYE_COLOUR, WARD_PATIENT)}

    def structure(self, url: str) -> dict[str, Any] | None:
        if url in self.structures:
            return generate_snapshot(self.structures[url], self.structure)
        return base_structure(url.removeprefix(BASE)) if url.startswith(BASE) else None

    def profile(self, url: str) -> Profile | None:
        structure = self.structure(url)
        return build_profile(structure) if structure else None

    def member_of(self, value_set: str, codings: Sequence[tuple[str | None, str]]) -> bool | None:
        return any(code in ("blue", "brown") for _, code in codings) if value_set.endswith("colours") else None


def problems(resource: dict[str, Any]) -> list[tuple[str, str]]:
    shelf, node = Shelf(), root_node(resource)
    context = Context(resource=node, root=node)
    profile = shelf.profile("http://example.org/ward-patient")
    assert profile is not None
    issues = validate_profile(node, profile, shelf, context) + extension_issues(node, shelf, context)
    return [(issue.code, issue.expression) for issue in issues if issue.severity == "error"]


def changed(**changes: Any) -> dict[str, Any]:
    resource = copy.deepcopy(GOOD)
    for name, value in changes.items():
        if value is None:
            resource.pop(name)
        else:
            resource[name] = value
    return resource


def test_a_resource_that_keeps_every_rule_is_accepted() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gender": None}, ("required", "Patient.gender")),
        ({"identifier": [{"system": "urn:ssn", "value": "9"}]}, ("required", "Patient.identifier")),
        ({"identifier": [{"system": "urn:mrn", "value": "1"}] * 2}, ("structure", "Patient.identifier")),
        (
            {"identifier": [{"system": "urn:mrn", "value": "1"}, {"system": "urn:x"}]},
            ("structure", "Patient.identifier[1]"),
        ),
        ({"identifier": [{"system": "urn:mrn", "value": "123456"}]}, ("value", "Patient.identifier[0].value")),
        ({"identifier": [{"system": "urn:mrn"}]}, ("required", "Patient.identifier[0].value")),
        ({"maritalStatus": {"coding": [{"system": "urn:m", "code": "M"}]}}, ("value", "Patient.maritalStatus")),
        ({"name": None}, ("invariant", "Patient")),
        ({"generalPractitioner": [{"reference": "Organization/1"}]}, ("value", "Patient.generalPractitioner[0]")),
        (
            {"extension": [{"url": "http://example.org/eye-colour", "valueCode": "pink"}]},
            ("code-invalid", "Patient.extension[0].value"),
        ),
        ({"extension": [{"url": "http://example.org/eye-colour"}]}, ("required", "Patient.extension[0].value")),
    ],
)
def test_a_broken_rule_is_reported_at_its_element(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in problems(changed(**changes))


def test_a_type_that_the_profile_takes_away_is_refused() -> None:
    resource = changed(multipleBirthBoolean=None)
    resource["multipleBirthInteger"] = 2
    assert ("structure", "Patient.multipleBirth") in problems(resource)


def test_an_extension_out_of_its_context_is_refused() -> None:
    resource = changed(name=[{"family": "X", "extension": GOOD["extension"]}])
    assert ("structure", "Patient.name[0].extension[0]") in problems(resource)


def test_the_standards_invariants_are_checked_on_inner_elements() -> None:
    resource = {"resourceType": "Patient", "contact": [{"gender": "male"}]}
    assert [(issue.diagnostics[:5], issue.expression) for issue in invariant_issues(resource)] == [
        ("pat-1", "Patient.contact[0]")
    ]


def test_a_period_must_not_end_before_it_starts() -> None:
    resource = {"resourceType": "Patient", "name": [{"family": "X", "period": {"start": "2020", "end": "2019"}}]}
    assert [issue.expression for issue in invariant_issues(resource)] == ["Patient.name[0].period"]
