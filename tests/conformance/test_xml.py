"""XML in and out: R4B 2.6.1 and 3.1.0.1.8."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.conformance.resources import create, observation, patient, refused

XML = "application/fhir+xml"


def test_a_read_in_xml(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, gender="male"))
    answer = fhir.get(f"Patient/{created['id']}", headers={"Accept": XML})
    assert answer.headers["Content-Type"].startswith(XML)
    assert '<Patient xmlns="http://hl7.org/fhir">' in answer.text
    assert '<gender value="male"/>' in answer.text


@pytest.mark.parametrize("name", ["xml", "application/xml", XML, "text/xml"])
def test_the_format_parameter_asks_for_xml(fhir: httpx.Client, mark: str, name: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", params={"_format": name})
    assert "xml" in answer.headers["Content-Type"]
    assert answer.text.lstrip("\ufeff").startswith("<")


def test_a_create_in_xml_is_read_in_json(fhir: httpx.Client, mark: str) -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><Observation xmlns="http://hl7.org/fhir">'
        f'<identifier><value value="{mark}"/></identifier><status value="final"/>'
        '<code><text value="a &amp; b"/></code><valueQuantity><value value="1.50"/></valueQuantity></Observation>'
    )
    answer = fhir.post("Observation", content=body.encode(), headers={"Content-Type": XML})
    assert answer.status_code == 201, answer.text
    back = fhir.get(answer.headers["Location"])
    assert back.json()["code"]["text"] == "a & b"
    assert back.json()["identifier"] == [{"value": mark}]
    assert b"1.50" in back.content


def test_what_is_read_in_xml_can_be_put_back(fhir: httpx.Client, mark: str) -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><b>x</b> &amp; y</div>'}
    created = create(fhir, observation(mark, text=text, valueQuantity={"value": 2}, note=[{"text": "a\nb"}]))
    path = f"Observation/{created['id']}"
    xml = fhir.get(path, headers={"Accept": XML}).content
    assert fhir.put(path, content=xml, headers={"Content-Type": XML}).status_code == 200
    back = fhir.get(path).json()
    assert {**back, "meta": None} == {**created, "meta": None}


def test_a_searchset_in_xml(fhir: httpx.Client, mark: str) -> None:
    create(fhir, patient(mark))
    answer = fhir.get("Patient", params={"identifier": mark}, headers={"Accept": XML})
    assert '<Bundle xmlns="http://hl7.org/fhir">' in answer.text
    assert '<mode value="match"/>' in answer.text


def test_a_transaction_in_xml(fhir: httpx.Client, mark: str) -> None:
    body = (
        '<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry><resource><Patient>'
        f'<identifier><value value="{mark}"/></identifier></Patient></resource>'
        '<request><method value="POST"/><url value="Patient"/></request></entry></Bundle>'
    )
    answer = fhir.post("", content=body.encode(), headers={"Content-Type": XML, "Accept": XML})
    assert answer.status_code == 200, answer.text
    assert re.search(r'<status value="201', answer.text)


def test_an_error_in_xml(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.get(f"Patient/{mark}", headers={"Accept": XML})
    assert answer.status_code == 404
    assert '<OperationOutcome xmlns="http://hl7.org/fhir">' in answer.text


def test_the_capability_statement_in_xml(fhir: httpx.Client) -> None:
    answer = fhir.get("metadata", params={"_format": "xml"})
    assert answer.status_code == 200
    assert "<CapabilityStatement" in answer.text


def test_pretty_xml_is_indented(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", params={"_format": "xml", "_pretty": "true"})
    assert "\n  <id" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<Patient/>",
        b'<Patient xmlns="urn:other"/>',
        b'<Patient xmlns="http://hl7.org/fhir"><nonsense value="1"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir">text</Patient>',
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><id value="&e;"/></Patient>',
    ],
)
def test_what_is_no_fhir_xml_is_refused(fhir: httpx.Client, body: bytes) -> None:
    answer = fhir.post("Patient", content=body, headers={"Content-Type": XML})
    assert answer.status_code in (400, 422), answer.text


def test_xml_where_a_patch_is_wanted_is_refused_or_applied(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.patch(f"Patient/{created['id']}", content=b"<x/>", headers={"Content-Type": XML})
    assert answer.status_code in (400, 415, 422)


def test_if_none_match_works_in_xml(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    headers = {"Accept": XML, "If-None-Match": 'W/"1"'}
    assert fhir.get(f"Patient/{created['id']}", headers=headers).status_code == 304


def test_a_decimal_in_xml_that_is_none_is_refused(fhir: httpx.Client) -> None:
    body = (
        '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code>'
        '<valueQuantity><value value="abc"/></valueQuantity></Observation>'
    )
    answer = fhir.post("Observation", content=body.encode(), headers={"Content-Type": XML})
    assert answer.status_code in (400, 422)
    refused(fhir.get("Observation/nonsense-id"), 404)
