from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fhir_server.r4b.codec import Limits, encode, parse
from fhir_server.r4b.outcome import BadRequest, TooLarge
from fhir_server.r4b.xml import from_xml, parse_xml, to_xml
from tests.r4b.examples import examples

FHIR = "http://hl7.org/fhir"


def exact(raw: bytes) -> Any:
    """JSON with the text of its numbers."""
    return json.loads(raw, parse_float=lambda text: ("number", text), parse_int=lambda text: ("number", text))


def patient(inner: str, attributes: str = "") -> bytes:
    return f'<Patient xmlns="{FHIR}"{attributes}>{inner}</Patient>'.encode()


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_official_example_survives_the_way_to_xml_and_back(name: str) -> None:
    raw = parse(examples()[name]).raw
    assert exact(from_xml(to_xml(raw))) == exact(raw)
    assert exact(from_xml(to_xml(raw, pretty=True))) == exact(raw)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\r\t&<>\"'"), min_size=1))
def test_any_text_survives(text: str) -> None:
    raw = encode({"resourceType": "Patient", "name": [{"family": text}]})
    if "\ufffe" not in text and "\uffff" not in text:
        assert json.loads(from_xml(to_xml(raw))) == json.loads(raw)


def test_elements_come_in_the_order_of_the_standard() -> None:
    raw = b'{"birthDate":"1970-01-01","name":[{"family":"x"}],"id":"a","resourceType":"Patient"}'
    root = etree.fromstring(to_xml(raw))
    assert [etree.QName(child).localname for child in root] == ["id", "name", "birthDate"]


def test_decimals_keep_their_digits() -> None:
    raw = b'{"resourceType":"Observation","valueQuantity":{"value":1.10e-7}}'
    assert b'<value value="1.10e-7"/>' in to_xml(raw)
    assert from_xml(to_xml(raw)) == raw


def test_primitive_extensions_and_nulls_survive() -> None:
    raw = (
        b'{"resourceType":"Patient","name":[{"given":[null,"b"],'
        b'"_given":[{"extension":[{"url":"u","valueCode":"x"}]},{"id":"i"}]}],"_birthDate":{"id":"q"}}'
    )
    assert json.loads(from_xml(to_xml(raw))) == json.loads(raw)


def test_comments_instructions_and_schema_locations_are_dropped() -> None:
    xsi = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"'
    data = from_xml(b"<?x y?>" + patient("<!-- c --><active value='true'/><?p q?>", xsi))
    assert data == b'{"resourceType":"Patient","active":true}'


def test_a_prefix_for_the_namespace_is_taken() -> None:
    raw = f'<f:Patient xmlns:f="{FHIR}"><f:active value="true"/></f:Patient>'.encode()
    assert from_xml(raw) == b'{"resourceType":"Patient","active":true}'


def test_a_narrative_is_taken_over_as_written() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><br></br>a&#160;&lt;b <!-- c --><img alt=\'é\' src="x" /></div>'
    data = json.loads(from_xml(patient(f"<text><status value='generated'/>{div}</text>")))
    assert data["text"]["div"] == div


def test_a_narrative_with_a_prefix_is_written_without_it() -> None:
    inner = "<text><status value='generated'/><h:div class='c'>a &amp; <h:b>b</h:b></h:div></text>"
    data = json.loads(from_xml(patient(inner, ' xmlns:h="http://www.w3.org/1999/xhtml"')))
    assert data["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml" class="c">a &amp; <b>b</b></div>'


def test_other_encodings_are_read() -> None:
    text = f'<?xml version="1.0" encoding="{{}}"?><Patient xmlns="{FHIR}"><name><family value="é"/></name></Patient>'
    expected = '{"resourceType":"Patient","name":[{"family":"é"}]}'.encode()
    assert from_xml(text.format("ISO-8859-1").encode("latin-1")) == expected
    assert from_xml(text.format("UTF-16").encode("utf-16")) == expected


def test_a_value_of_the_wrong_form_stays_text_for_validation_to_report() -> None:
    raw = patient("<active value='yes'/><multipleBirthInteger value='01'/>")
    assert from_xml(raw) == b'{"resourceType":"Patient","active":"yes","multipleBirthInteger":"01"}'


BAD = {
    "no XML": (b'{"resourceType":"Patient"}', "line 1"),
    "a cut body": (b"<Patient", "line 1"),
    "a document type": (b'<!DOCTYPE x [<!ENTITY a "b">]>' + patient(""), "document type"),
    "an outside entity": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + patient("&a;"), "document type"),
    "an unknown entity": (patient("<name><family value='&nbsp;'/></name>"), "line 1"),
    "no namespace": (b"<Patient/>", "namespace"),
    "an unknown type": (f'<Pacient xmlns="{FHIR}"/>'.encode(), "<Pacient>"),
    "an unknown element": (patient("\n<frist value='x'/>"), "Line 2: <Patient> has no element <frist>"),
    "an unknown attribute": (patient("<active valeu='true'/>"), "'valeu'"),
    "an attribute on a resource": (patient("", ' id="a"'), "'id'"),
    "text": (patient("hello"), "hello"),
    "an element twice": (patient("<active value='true'/><active value='true'/>"), "twice"),
    "an empty element": (patient("<name><given/></name>"), "neither"),
    "two contained in one": (patient("<contained><Group/><Group/></contained>"), "exactly one"),
    "a foreign narrative": (patient("<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"), "<div>"),
    "depth": (patient("<extension>" * 100 + "</extension>" * 100), "levels"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="x-no"?>' + patient(""), "encoding"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    raw, words = BAD[name]
    with pytest.raises(BadRequest) as caught:
        parse_xml(raw)
    assert words in caught.value.issues[0].diagnostics


def test_too_many_bytes_are_413() -> None:
    with pytest.raises(TooLarge):
        from_xml(patient(""), limits=Limits(size=5))
