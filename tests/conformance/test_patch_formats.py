"""patch as FHIRPath Patch and as XML Patch; in batch and transaction. R4B 3.1.0.9, fhirpatch, RFC 5261."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.conformance.resources import SYSTEM, create, patient, refused

XML_PATCH = "application/xml-patch+xml"
FHIR_JSON = "application/fhir+json"


def operation(**parts: Any) -> dict[str, Any]:
    """One operation of a FHIRPath Patch; the parts' names lead to value[x] as FHIRPath Patch has it."""
    kinds = {"type": "valueCode", "path": "valueString", "name": "valueString", "index": "valueInteger"}
    given = [
        {"name": name, kinds[name]: value} if name in kinds else {"name": name, **value}
        for name, value in parts.items()
    ]
    return {"name": "operation", "part": given}


def parameters(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def fhirpath_patch(fhir: httpx.Client, path: str, *operations: dict[str, Any]) -> httpx.Response:
    return fhir.patch(path, content=json.dumps(parameters(*operations)), headers={"Content-Type": FHIR_JSON})


def xml_patch(fhir: httpx.Client, path: str, body: str) -> httpx.Response:
    return fhir.patch(path, content=f"<diff>{body}</diff>", headers={"Content-Type": XML_PATCH})


def test_a_fhirpath_patch_replaces(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = fhirpath_patch(
        fhir,
        f"Patient/{created['id']}",
        operation(type="replace", path="Patient.gender", value={"valueCode": "female"}),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == "female"
    assert answer.headers["ETag"] == 'W/"2"'


def test_a_fhirpath_patch_adds_and_deletes(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = fhirpath_patch(
        fhir,
        f"Patient/{created['id']}",
        operation(type="add", path="Patient", name="birthDate", value={"valueDate": "1970-01-01"}),
        operation(type="delete", path="Patient.gender"),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["birthDate"] == "1970-01-01"
    assert "gender" not in answer.json()


def test_a_fhirpath_patch_may_come_as_xml(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    body = (
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
        '<part><name value="type"/><valueCode value="replace"/></part>'
        '<part><name value="path"/><valueString value="Patient.gender"/></part>'
        '<part><name value="value"/><valueCode value="other"/></part></parameter></Parameters>'
    )
    answer = fhir.patch(f"Patient/{created['id']}", content=body, headers={"Content-Type": "application/fhir+xml"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == "other"


def test_a_fhirpath_patch_is_all_or_nothing(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = fhirpath_patch(
        fhir,
        f"Patient/{created['id']}",
        operation(type="replace", path="Patient.gender", value={"valueCode": "female"}),
        operation(type="replace", path="Patient.birthDate", value={"valueDate": "1970-01-01"}),
    )
    refused(answer, 422)
    assert fhir.get(f"Patient/{created['id']}").json() == created


def test_a_fhirpath_patch_may_not_change_the_id(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhirpath_patch(
        fhir, f"Patient/{created['id']}", operation(type="replace", path="Patient.id", value={"valueId": "other"})
    )
    refused(answer, 422)


def test_the_result_of_a_fhirpath_patch_is_validated(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = fhirpath_patch(
        fhir,
        f"Patient/{created['id']}",
        operation(type="replace", path="Patient.gender", value={"valueCode": "zzz"}),
    )
    refused(answer, 422)


def test_a_patch_that_is_another_resource_is_refused(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.patch(
        f"Patient/{created['id']}", content=json.dumps(patient(mark)), headers={"Content-Type": FHIR_JSON}
    )
    refused(answer, 400)


def test_a_conditional_fhirpath_patch(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark, gender="male"))
    answer = fhirpath_patch(
        fhir,
        f"Patient?identifier={SYSTEM}|{mark}",
        operation(type="replace", path="Patient.gender", value={"valueCode": "female"}),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == "female"


def test_an_xml_patch_replaces_a_value(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = xml_patch(
        fhir,
        f"Patient/{created['id']}",
        '<replace xmlns:f="http://hl7.org/fhir" sel="f:Patient/f:gender/@value">female</replace>',
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["gender"] == "female"


def test_an_xml_patch_adds_an_element_where_it_says(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, name=[{"family": "B"}]))
    answer = xml_patch(
        fhir,
        f"Patient/{created['id']}",
        '<add xmlns="http://hl7.org/fhir" sel="/Patient/name[1]" pos="before"><name><family value="A"/></name></add>'
        '<add xmlns="http://hl7.org/fhir" sel="/Patient"><birthDate value="1970-01-01"/></add>',
    )
    assert answer.status_code == 200, answer.text
    assert [name["family"] for name in answer.json()["name"]] == ["A", "B"]
    assert answer.json()["birthDate"] == "1970-01-01"


def test_an_xml_patch_removes_what_a_predicate_selects(fhir: httpx.Client, mark: str) -> None:
    created = create(
        fhir, patient(mark, telecom=[{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}])
    )
    answer = xml_patch(fhir, f"Patient/{created['id']}", "<remove sel=\"Patient/telecom[system/@value='phone']\"/>")
    assert answer.status_code == 200, answer.text
    assert answer.json()["telecom"] == [{"system": "email", "value": "2"}]


def test_an_xml_patch_adds_an_attribute(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = xml_patch(fhir, f"Patient/{created['id']}", '<add sel="Patient/gender" type="@id">g</add>')
    assert answer.status_code == 200, answer.text
    assert answer.json()["_gender"] == {"id": "g"}


def test_an_xml_patch_keeps_the_digits_of_what_it_leaves_alone(fhir: httpx.Client, mark: str) -> None:
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        '"valueQuantity":{"value":170.50,"unit":"cm"}}'
    )
    made = fhir.post("Observation", content=body, headers={"Content-Type": FHIR_JSON})
    path = f"Observation/{made.json()['id']}"
    answer = xml_patch(fhir, path, '<replace sel="Observation/status/@value">amended</replace>')
    assert answer.status_code == 200, answer.text
    assert '"value":170.50' in fhir.get(path).text


@pytest.mark.parametrize(
    "body",
    [
        '<remove sel="Patient/birthDate"/>',
        '<remove sel="Patient/name"/>',
        '<replace sel="Patient/id/@value">other</replace>',
        '<replace sel="Patient/gender/@value">zzz</replace>',
        '<replace sel="Patient"><Group xmlns="http://hl7.org/fhir"><type value="person"/></Group></replace>',
    ],
)
def test_an_xml_patch_that_cannot_be_done_changes_nothing(fhir: httpx.Client, mark: str, body: str) -> None:
    created = create(fhir, patient(mark, gender="male", name=[{"family": "A"}, {"family": "B"}]))
    refused(xml_patch(fhir, f"Patient/{created['id']}", body), 422)
    assert fhir.get(f"Patient/{created['id']}").json() == created


@pytest.mark.parametrize(
    "body",
    ["<remove/>", '<move sel="Patient"/>', '<remove sel="//*"/>', '<remove sel="x:Patient"/>', '<add sel="Patient"/>'],
)
def test_what_is_no_xml_patch_is_refused(fhir: httpx.Client, mark: str, body: str) -> None:
    created = create(fhir, patient(mark))
    refused(xml_patch(fhir, f"Patient/{created['id']}", body), 400)


def test_a_document_type_in_an_xml_patch_is_refused(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    body = '<!DOCTYPE diff [<!ENTITY a "female">]><diff><replace sel="Patient/gender/@value">&a;</replace></diff>'
    answer = fhir.patch(f"Patient/{created['id']}", content=body, headers={"Content-Type": XML_PATCH})
    refused(answer, 400)


def entry(path: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "PATCH", "url": path}}


def binary(content_type: str, body: str) -> dict[str, Any]:
    return {
        "resourceType": "Binary",
        "contentType": content_type,
        "data": base64.b64encode(body.encode()).decode(),
    }


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_every_format_of_a_patch_works_in_a_bundle(fhir: httpx.Client, mark: str, kind: str) -> None:
    made = [create(fhir, patient(f"{mark}-{number}", gender="male")) for number in range(3)]
    patches = [
        binary("application/json-patch+json", '[{"op":"replace","path":"/gender","value":"female"}]'),
        binary(XML_PATCH, '<diff><replace sel="Patient/gender/@value">female</replace></diff>'),
        parameters(operation(type="replace", path="Patient.gender", value={"valueCode": "female"})),
    ]
    entries = [entry(f"Patient/{each['id']}", patch) for each, patch in zip(made, patches, strict=True)]
    answer = fhir.post("", json={"resourceType": "Bundle", "type": kind, "entry": entries})
    assert answer.status_code == 200, answer.text
    assert [each["response"]["status"][:3] for each in answer.json()["entry"]] == ["200"] * 3
    assert [fhir.get(f"Patient/{each['id']}").json()["gender"] for each in made] == ["female"] * 3


def test_the_formats_of_a_patch_are_declared(fhir: httpx.Client) -> None:
    formats = fhir.get("metadata").json()["patchFormat"]
    assert {"application/json-patch+json", XML_PATCH, FHIR_JSON, "application/fhir+xml"} <= set(formats)
