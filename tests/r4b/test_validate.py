from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4b.codec import parse
from fhir_server.r4b.outcome import BadRequest, Issue, Unprocessable
from fhir_server.r4b.validate import check, validate
from tests.r4b.examples import INVALID, examples

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'
Object = dict[str, Any]


def patient(**members: Any) -> Object:
    return {"resourceType": "Patient", **members}


def observation(**members: Any) -> Object:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **members}


def narrative(inner: str) -> Object:
    return patient(text={"status": "generated", "div": DIV % inner})


def only(data: Object) -> Issue:
    issues = validate(data)
    assert len(issues) == 1, issues
    return issues[0]


@pytest.mark.parametrize("name", sorted(examples().keys() - INVALID.keys()))
def test_accepts_the_official_example(name: str) -> None:
    assert validate(parse(examples()[name]).data) == []


@pytest.mark.parametrize("name", sorted(INVALID))
def test_refuses_the_official_example_that_breaks_the_standard(name: str) -> None:
    assert validate(parse(examples()[name]).data) != []


GOOD: dict[str, Object] = {
    "the least": patient(),
    "a value only by extension": patient(_birthDate={"extension": [{"url": "urn:x", "valueCode": "unknown"}]}),
    "a required value only by extension": {
        "resourceType": "Observation",
        "_status": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]},
        "code": {"text": "x"},
    },
    "parallel arrays": patient(
        name=[{"given": ["A", None], "_given": [None, {"extension": [{"url": "urn:x", "valueCode": "y"}]}]}]
    ),
    "an id for a primitive": patient(birthDate="1970", _birthDate={"id": "a"}),
    "a reference by identifier": patient(generalPractitioner=[{"identifier": {"value": "x"}}]),
    "a reference by display": patient(managingOrganization={"display": "x"}),
    "a reference to another server": patient(managingOrganization={"reference": "http://x.example/Organization/1"}),
    "a reference by urn": patient(managingOrganization={"reference": "urn:uuid:1"}),
    "a reference to a version": patient(managingOrganization={"reference": "Organization/1/_history/2"}),
    "a contained resource": patient(
        contained=[{"resourceType": "Organization", "id": "o", "name": "O"}], managingOrganization={"reference": "#o"}
    ),
    "a contained resource that points back": patient(
        contained=[{"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "#"}}]
    ),
    "nested extensions": patient(extension=[{"url": "urn:x", "extension": [{"url": "a", "valueString": "b"}]}]),
    "text with line breaks": patient(name=[{"text": "a\r\n\tb"}]),
    "text with an emoji": patient(name=[{"text": "👍🏽 é 中"}]),
    "a whole decimal": observation(valueQuantity={"value": 1}),
    "a precise decimal": observation(valueQuantity={"value": Decimal("1.10")}),
    "a date and time with fraction": observation(effectiveDateTime="2020-02-29T23:59:59.123456789-05:00"),
    "base64 with line breaks": patient(photo=[{"contentType": "image/png", "data": "QUJD\nQUI="}]),
    "a MIME type with parameters": patient(photo=[{"contentType": "text/plain; charset=utf-8", "url": "http://x"}]),
    "rich narrative": narrative('<p style="color: red"><a href="#x">a</a><br/><img src="x.png" alt="y"/></p>&#160;'),
    "a period of one day": patient(name=[{"period": {"start": "2020-01-01", "end": "2020-01-01"}}]),
    "a period that ends within the day it starts": patient(
        name=[{"period": {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01"}}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    assert validate(GOOD[name]) == []


def contained(**members: Any) -> Object:
    inner = {"resourceType": "Organization", "id": "o", "name": "O", **members}
    return patient(contained=[inner], managingOrganization={"reference": "#o"})


def bundle(type_: str, *entries: Object, **members: Any) -> Object:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries), **members}


def task(**repeat: Any) -> Object:
    return {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"display": "x"},
        "occurrenceTiming": {"repeat": repeat},
    }  # fmt: skip


#: What is wrong -> (resource, code and expression of the one problem).
BAD: dict[str, tuple[Object, str, str]] = {
    "unknown element": (patient(frist="x"), "structure", "Patient.frist"),
    "unknown nested element": (patient(name=[{"famly": "x"}]), "structure", "Patient.name[0].famly"),
    "unknown type of choice": (observation(valueFoo=1), "structure", "Observation.valueFoo"),
    "choice without type": (observation(value=1), "structure", "Observation.value"),
    "comments": (patient(fhir_comments=["x"]), "structure", "Patient.fhir_comments"),
    "resourceType in a data type": (patient(name=[{"resourceType": "HumanName", "family": "x"}]), "structure",
                                    "Patient.name[0].resourceType"),
    "element for array": (patient(name={"family": "x"}), "structure", "Patient.name"),
    "array for element": (patient(birthDate=["1970"]), "structure", "Patient.birthDate"),
    "array for object": (patient(maritalStatus=[{"text": "x"}]), "structure", "Patient.maritalStatus"),
    "string for object": (patient(maritalStatus="M"), "structure", "Patient.maritalStatus"),
    "string in an array of objects": (patient(name=["x"]), "structure", "Patient.name[0]"),
    "string for an array of strings": (patient(name=[{"given": "x"}]), "structure", "Patient.name[0].given"),
    "missing required element": ({"resourceType": "Observation", "status": "final"}, "required", "Observation.code"),
    "missing required choice": ({"resourceType": "MedicationRequest", "status": "active", "intent": "order",
                                 "subject": {"display": "x"}}, "required", "MedicationRequest.medication"),
    "missing nested required element": (patient(communication=[{"preferred": True}]), "required",
                                        "Patient.communication[0].language"),
    "two of a choice": (observation(valueString="x", valueBoolean=True), "structure", "Observation.value"),
    "two of a choice, one by extension": (
        observation(valueString="x", _valueBoolean={"extension": [{"url": "u", "valueCode": "x"}]}), "structure",
        "Observation.value"),
    "too few": ({"resourceType": "Linkage", "item": [{"type": "source", "resource": {"display": "x"}}]}, "invariant",
                "Linkage"),
    "null": (patient(birthDate=None), "structure", "Patient.birthDate"),
    "null object": (patient(maritalStatus=None), "structure", "Patient.maritalStatus"),
    "null array": (patient(name=None), "structure", "Patient.name"),
    "null in an array of objects": (patient(name=[None]), "structure", "Patient.name[0]"),
    "null without extension": (patient(name=[{"given": [None]}]), "structure", "Patient.name[0].given[0]"),
    "null on both sides": (patient(name=[{"given": ["a", None], "_given": [None, None]}]), "structure",
                           "Patient.name[0].given[1]"),
    "arrays of different length": (patient(name=[{"given": ["a", "b"], "_given": [{"id": "x"}]}]), "structure",
                                   "Patient.name[0].given"),
    "empty object": (patient(maritalStatus={}), "invariant", "Patient.maritalStatus"),
    "object with an id only": (patient(maritalStatus={"id": "a"}), "invariant", "Patient.maritalStatus"),
    "empty array": (patient(name=[]), "structure", "Patient.name"),
    "empty string": (patient(name=[{"family": ""}]), "value", "Patient.name[0].family"),
    "empty primitive extension": (patient(_birthDate={}), "invariant", "Patient.birthDate"),
    "unknown in a primitive extension": (patient(_birthDate={"value": 1}), "structure", "Patient.birthDate.value"),
    "extension of an id attribute": (patient(name=[{"family": "x", "_id": {"id": "x"}}]), "structure",
                                     "Patient.name[0]._id"),
    "control character": (patient(name=[{"family": "a\x00b"}]), "value", "Patient.name[0].family"),
    "boolean as string": (patient(active="true"), "structure", "Patient.active"),
    "boolean as number": (patient(active=1), "structure", "Patient.active"),
    "string as number": (patient(name=[{"family": 1}]), "structure", "Patient.name[0].family"),
    "string as boolean": (patient(name=[{"family": True}]), "structure", "Patient.name[0].family"),
    "number as string": (observation(valueQuantity={"value": "1"}), "structure", "Observation.value.value"),
    "number as boolean": (observation(valueQuantity={"value": True}), "structure", "Observation.value.value"),
    "integer as string": (observation(valueInteger="1"), "structure", "Observation.value"),
    "integer with fraction": (observation(valueInteger=Decimal("1.0")), "structure", "Observation.value"),
    "integer as boolean": (observation(valueInteger=True), "structure", "Observation.value"),
    "integer too large": (observation(valueInteger=2147483648), "value", "Observation.value"),
    "integer too small": (observation(valueInteger=-2147483649), "value", "Observation.value"),
    "positiveInt zero": (patient(telecom=[{"rank": 0}]), "value", "Patient.telecom[0].rank"),
    "unsignedInt negative": (patient(photo=[{"size": -1}]), "value", "Patient.photo[0].size"),
    "monstrous decimal": (observation(valueQuantity={"value": Decimal("1e5000")}), "value", "Observation.value.value"),
    "id too long": (patient(id="a" * 65), "value", "Patient.id"),
    "id with a bad character": (patient(id="a_b"), "value", "Patient.id"),
    "id with a line break": (patient(id="a\n"), "value", "Patient.id"),
    "code with spaces around": ({"resourceType": "Basic", "code": {"coding": [{"code": " x"}]}}, "value",
                                "Basic.code.coding[0].code"),
    "code with two spaces": ({"resourceType": "Basic", "code": {"coding": [{"code": "x  y"}]}}, "value",
                             "Basic.code.coding[0].code"),
    "uri with a space": (patient(implicitRules="http://x y"), "value", "Patient.implicitRules"),
    "canonical with a space": (patient(meta={"profile": ["http://x y"]}), "value", "Patient.meta.profile[0]"),
    "url with a space": (patient(photo=[{"url": "http://x y"}]), "value", "Patient.photo[0].url"),
    "bad oid": (patient(extension=[{"url": "x", "valueOid": "1.2.3"}]), "value", "Patient.extension[0].value"),
    "bad uuid": (patient(extension=[{"url": "x", "valueUuid": "urn:uuid:1"}]), "value", "Patient.extension[0].value"),
    "bad date": (patient(birthDate="1970-13"), "value", "Patient.birthDate"),
    "a day that is not": (patient(birthDate="2021-02-29"), "value", "Patient.birthDate"),
    "a date with time": (patient(birthDate="2021-02-28T10:00:00Z"), "value", "Patient.birthDate"),
    "a dateTime without zone": (observation(effectiveDateTime="2020-01-01T10:00:00"), "value", "Observation.effective"),
    "a dateTime without seconds": (observation(effectiveDateTime="2020-01-01T10Z"), "value", "Observation.effective"),
    "a dateTime at 24:00": (observation(effectiveDateTime="2020-01-01T24:00:00Z"), "value", "Observation.effective"),
    "an instant that is a date": (observation(issued="2020-01-01"), "value", "Observation.issued"),
    "a time without seconds": (observation(valueTime="10:00"), "value", "Observation.value"),
    "bad base64": (patient(photo=[{"contentType": "image/png", "data": "?"}]), "value", "Patient.photo[0].data"),
    "base64 of a wrong length": (patient(photo=[{"contentType": "image/png", "data": "QUJDR"}]), "value",
                                 "Patient.photo[0].data"),
    "text after base64 padding": (patient(photo=[{"contentType": "image/png", "data": "QQ==QQ=="}]), "value",
                                  "Patient.photo[0].data"),
    "code out of the set": (patient(gender="boy"), "code-invalid", "Patient.gender"),
    "code in the wrong case": (patient(gender="Male"), "code-invalid", "Patient.gender"),
    "status out of the set": ({**observation(), "status": "bogus"}, "code-invalid", "Observation.status"),
    "code out of the set in an array": (
        {"resourceType": "AllergyIntolerance", "category": ["foo"], "patient": {"display": "x"},
         "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                                        "code": "active"}]}}, "code-invalid", "AllergyIntolerance.category[0]"),
    "concept out of the set": (
        {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": {"coding": [{"code": "active"}]}},
        "code-invalid", "Condition.clinicalStatus"),
    "concept without code": (
        {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": {"text": "active"}},
        "code-invalid", "Condition.clinicalStatus"),
    "no MIME type": (patient(photo=[{"contentType": "a b c", "url": "http://x"}]), "code-invalid",
                     "Patient.photo[0].contentType"),
    "no language": (patient(language="e n"), "code-invalid", "Patient.language"),
    "extension without url": (patient(extension=[{"valueString": "x"}]), "required", "Patient.extension[0].url"),
    "extension with value and extension": (
        patient(extension=[{"url": "x", "valueString": "x", "extension": [{"url": "y", "valueString": "z"}]}]),
        "invariant", "Patient.extension[0]"),
    "extension with neither": (patient(extension=[{"url": "x"}]), "invariant", "Patient.extension[0]"),
    "extension with two values": (patient(extension=[{"url": "x", "valueString": "x", "valueCode": "y"}]), "structure",
                                  "Patient.extension[0].value"),
    "reference to a wrong type": (patient(managingOrganization={"reference": "Patient/1"}), "value",
                                  "Patient.managingOrganization.reference"),
    "absolute reference to a wrong type": (
        patient(managingOrganization={"reference": "http://x.example/fhir/Patient/1"}), "value",
        "Patient.managingOrganization.reference"),
    "identifier reference to a wrong type": (
        patient(managingOrganization={"type": "Patient", "identifier": {"value": "x"}}), "value",
        "Patient.managingOrganization.type"),
    "reference that says another type": (
        patient(managingOrganization={"type": "Patient", "reference": "Organization/1"}), "value",
        "Patient.managingOrganization.reference"),
    "reference to an unknown type": (patient(managingOrganization={"reference": "Organisation/1"}), "value",
                                     "Patient.managingOrganization.reference"),
    "reference with a bad id": (patient(managingOrganization={"reference": "Organization/a_b"}), "value",
                                "Patient.managingOrganization.reference"),
    "reference without a type": (patient(managingOrganization={"reference": "1"}), "value",
                                 "Patient.managingOrganization.reference"),
    "reference with a space": (patient(managingOrganization={"reference": "Organization/1 "}), "value",
                               "Patient.managingOrganization.reference"),
    "conditional reference": (patient(managingOrganization={"reference": "Organization?name=x"}), "value",
                              "Patient.managingOrganization.reference"),
    "reference to nothing contained": (patient(managingOrganization={"reference": "#o"}), "value",
                                       "Patient.managingOrganization.reference"),
    "reference to itself outside": (patient(managingOrganization={"reference": "#"}), "value",
                                    "Patient.managingOrganization.reference"),
    "contained of a wrong type": (
        patient(contained=[{"resourceType": "Patient", "id": "o"}], managingOrganization={"reference": "#o"}), "value",
        "Patient.managingOrganization.reference"),
    "contained that nobody refers to": (patient(contained=[{"resourceType": "Patient", "id": "o"}]), "invariant",
                                        "Patient.contained[0]"),
    "contained in contained": (
        contained(contained=[{"resourceType": "Patient", "id": "p"}], extension=[{"url": "x", "valueUri": "#p"}]),
        "invariant", "Patient.contained[0].contained"),
    "contained with a version": (contained(meta={"versionId": "1"}), "invariant",
                                 "Patient.contained[0].meta.versionId"),
    "contained with a time": (contained(meta={"lastUpdated": "2020-01-01T00:00:00Z"}), "invariant",
                              "Patient.contained[0].meta.lastUpdated"),
    "contained with a security label": (contained(meta={"security": [{"code": "R"}]}), "invariant",
                                        "Patient.contained[0].meta.security"),
    "wrong in contained": (contained(active="yes"), "structure", "Patient.contained[0].active"),
    "narrative that is text": (patient(text={"status": "generated", "div": "x"}), "invariant", "Patient.text.div"),
    "narrative without namespace": (patient(text={"status": "generated", "div": "<div>x</div>"}), "invariant",
                                    "Patient.text.div"),
    "narrative that is cut": (narrative("<p>"), "invariant", "Patient.text.div"),
    "narrative with a script": (narrative("<script>x</script>"), "invariant", "Patient.text.div"),
    "narrative with a handler": (narrative('<p onclick="x()">x</p>'), "invariant", "Patient.text.div"),
    "narrative with a script link": (narrative('<a href=" java\nscript:x()">x</a>'), "invariant", "Patient.text.div"),
    "narrative with a form": (narrative("<form>x</form>"), "invariant", "Patient.text.div"),
    "narrative with a frame": (narrative('<iframe src="x">x</iframe>'), "invariant", "Patient.text.div"),
    "narrative with an object": (narrative("<object>x</object>"), "invariant", "Patient.text.div"),
    "narrative with a stylesheet": (narrative("<style>x</style>"), "invariant", "Patient.text.div"),
    "narrative with an entity": (narrative("a&nbsp;b"), "invariant", "Patient.text.div"),
    "narrative without content": (narrative(" <p> </p>"), "invariant", "Patient.text.div"),
    "narrative with a document type": (
        patient(text={"status": "generated", "div": '<!DOCTYPE div [<!ENTITY a "b">]>' + DIV % "&a;"}), "invariant",
        "Patient.text.div"),
    "narrative without status": (patient(text={"div": DIV % "x"}), "required", "Patient.text.status"),
    "a period backwards": (patient(name=[{"period": {"start": "2020", "end": "2019"}}]), "invariant",
                           "Patient.name[0].period"),
    "a range backwards": (observation(valueRange={"low": {"value": 2}, "high": {"value": 1}}), "invariant",
                          "Observation.value"),
    "half a ratio": (observation(valueRatio={"numerator": {"value": 2}}), "invariant", "Observation.value"),
    "a unit code without system": (observation(valueQuantity={"value": 2, "code": "mg"}), "invariant",
                                   "Observation.value"),
    "a comparator on a simple quantity": (
        observation(referenceRange=[{"low": {"value": 2, "comparator": "<"}}]), "invariant",
        "Observation.referenceRange[0].low.comparator"),
    "data without content type": (patient(photo=[{"data": "QUJD"}]), "invariant", "Patient.photo[0]"),
    "a contact point without system": (patient(telecom=[{"value": "1"}]), "invariant", "Patient.telecom[0]"),
    "an empty contact": (patient(contact=[{"gender": "male"}]), "invariant", "Patient.contact[0]"),
    "a value and a reason for none": (observation(valueString="x", dataAbsentReason={"text": "y"}), "invariant",
                                      "Observation"),
    "a component with the same code": (
        {"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": "a"}]}, "valueString": "x",
         "component": [{"code": {"coding": [{"code": "a"}]}, "valueString": "y"}]}, "invariant", "Observation"),
    "an empty reference range": (observation(referenceRange=[{"appliesTo": [{"text": "x"}]}]), "invariant",
                                 "Observation.referenceRange[0]"),
    "an organization without name": ({"resourceType": "Organization", "active": True}, "invariant", "Organization"),
    "an organization at home": ({"resourceType": "Organization", "name": "x", "address": [{"use": "home"}]},
                                "invariant", "Organization"),
    "a duration without unit": (task(duration=1), "invariant", "ServiceRequest.occurrence.repeat"),
    "a negative period": (task(period=-1, periodUnit="d"), "invariant", "ServiceRequest.occurrence.repeat"),
    "a total in a transaction": (bundle("batch", total=1, entry=[{"request": {"method": "GET", "url": "Patient"}}]),
                                 "invariant", "Bundle"),
    "an entry without request": (bundle("batch", {"resource": patient()}), "invariant", "Bundle"),
    "an empty entry": (bundle("collection", {"fullUrl": "urn:uuid:1"}), "invariant", "Bundle.entry[0]"),
    "a document without composition": (
        bundle("document", {"resource": patient()}, identifier={"system": "x", "value": "y"},
               timestamp="2020-01-01T00:00:00Z"), "invariant", "Bundle"),
    "the same fullUrl twice": (
        bundle("collection", {"fullUrl": "urn:x", "resource": patient()}, {"fullUrl": "urn:x", "resource": patient()}),
        "invariant", "Bundle"),
    "wrong in an entry": (bundle("collection", {"resource": patient()}, {"resource": patient(name=[{"given": [1]}])}),
                          "structure", "Bundle.entry[1].resource.name[0].given[0]"),
    "an entry of an unknown type": (bundle("collection", {"resource": {"resourceType": "Pacient"}}), "structure",
                                    "Bundle.entry[0].resource"),
    "an entry without type": (bundle("collection", {"resource": {"active": True}}), "structure",
                              "Bundle.entry[0].resource"),
    "wrong in a parameter": (
        {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": patient(active=1)}]}, "structure",
        "Parameters.parameter[0].resource.active"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refuses_with_one_problem_at_its_place(name: str) -> None:
    data, code, expression = BAD[name]
    issue = only(data)
    assert (issue.severity, issue.code, issue.expression) == ("error", code, expression)
    assert (
        issue.diagnostics.rstrip(")").endswith((".", "?", "? (value set http://hl7.org/fhir/ValueSet"[:1]))
        or "value set" in issue.diagnostics
    )


def test_all_problems_are_reported() -> None:
    data = patient(gender="x", birthDate="y", foo=1, name=[{"given": ["a", ""]}, {"family": 2}], contact=[{}])
    assert {issue.expression for issue in validate(data)} == {
        "Patient.gender", "Patient.birthDate", "Patient.foo", "Patient.name[0].given[1]", "Patient.name[1].family",
        "Patient.contact[0]",
    }  # fmt: skip


def test_suggests_what_may_have_been_meant() -> None:
    assert "birthDate" in only(patient(birthdate="1970-01-01")).diagnostics
    assert "male" in only(patient(gender="mal")).diagnostics


def test_conditional_references_are_taken_when_asked_for_and_in_bundles() -> None:
    data = patient(managingOrganization={"reference": "Organization?identifier=x|1"})
    assert validate(data, conditional_references=True) == []
    request = {"method": "POST", "url": "Patient"}
    assert validate(bundle("transaction", {"resource": data, "request": request})) == []
    wrong = patient(managingOrganization={"reference": "Patient?identifier=x|1"})
    assert len(validate(wrong, conditional_references=True)) == 1


def test_validation_leaves_the_resource_alone() -> None:
    for data, _, _ in BAD.values():
        before = copy.deepcopy(data)
        validate(data)
        assert data == before


def test_type_and_id_must_be_those_of_the_url() -> None:
    assert validate(patient(id="a"), type="Patient", id="a") == []
    assert [i.expression for i in validate(patient(id="a"), type="Group", id="b")] == ["resourceType", "Patient.id"]
    assert [i.expression for i in validate(patient(), id="b")] == ["Patient.id"]


def test_check_raises_400_for_the_wrong_address_and_422_for_the_wrong_content() -> None:
    check(patient(id="a"), type="Patient", id="a")
    with pytest.raises(BadRequest):
        check(patient(id="a", gender="x"), type="Patient", id="b")
    with pytest.raises(Unprocessable) as caught:
        check(patient(id="a", gender="x", foo=1), type="Patient", id="a")
    assert len(caught.value.issues) == 2
