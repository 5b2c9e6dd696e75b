"""Links of a transaction's resources, R4B 3.1.0.11.2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.interactions.bundle.rewrite import Links, base_of, conditional_references
from fhir_server.r4b.codec import DEFAULT_LIMITS, Draft

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
URL = "http://example.org/fhir/Patient/123"
LINKS = Links({URN: "Patient/new", URL: "Patient/abs", "urn:oid:1.2.3": "Organization/o"})


def rewritten(resource: dict[str, Any], base: str | None = None, links: Links = LINKS) -> dict[str, Any]:
    result = links.rewrite(json.dumps(resource).encode(), base, DEFAULT_LIMITS)
    raw = result.raw if isinstance(result, Draft) else result
    return dict(json.loads(raw))


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        (URN, "Patient/new"),
        (URL, "Patient/abs"),
        (f"{URN}#part", "Patient/new#part"),
        (f"{URL}/_history/3", "Patient/abs/_history/3"),
        ("Patient/123", "Patient/abs"),
        ("Patient/123/_history/3", "Patient/abs/_history/3"),
        ("Patient/124", "Patient/124"),
        ("#inside", "#inside"),
        ("urn:oid:1.2.3", "Organization/o"),
        (URN + "0", URN + "0"),
    ],
)
def test_a_reference_becomes_what_its_entry_became(text: str, becomes: str) -> None:
    observation = {"resourceType": "Observation", "subject": {"reference": text}}
    assert rewritten(observation, "http://example.org/fhir")["subject"]["reference"] == becomes


def test_a_relative_reference_needs_a_restful_full_url_to_start_from() -> None:
    observation = {"resourceType": "Observation", "subject": {"reference": "Patient/123"}}
    assert rewritten(observation, None)["subject"]["reference"] == "Patient/123"
    assert base_of("http://example.org/fhir/Observation/1") == "http://example.org/fhir"
    assert base_of(URN) is None


def test_a_text_that_looks_like_a_link_stays() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}],
        "name": [{"text": URN}],
    }
    assert rewritten(patient) == patient


def test_elements_of_type_uri_are_replaced_and_canonicals_are_not() -> None:
    value_set = {
        "resourceType": "PlanDefinition",
        "url": URN,
        "library": [URN],
        "extension": [{"url": "http://x", "valueUrl": URN}, {"url": "http://y", "valueString": URN}],
    }
    result = rewritten(value_set)
    assert result["url"] == "Patient/new"
    assert result["library"] == [URN]
    assert result["extension"][0]["valueUrl"] == "Patient/new"
    assert result["extension"][1]["valueString"] == URN


def test_links_in_the_narrative_are_replaced() -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">p</a><img src="{URL}" alt="{URN}"/></div>'
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    result = rewritten(patient)["text"]["div"]
    assert '<a href="Patient/new">' in result
    assert 'src="Patient/abs"' in result
    assert f'alt="{URN}"' in result


def test_contained_resources_and_extensions_are_rewritten_too() -> None:
    resource = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Specimen", "id": "s", "subject": {"reference": URN}}],
        "extension": [{"url": "http://x", "valueReference": {"reference": URN}}],
    }
    result = rewritten(resource)
    assert result["contained"][0]["subject"]["reference"] == "Patient/new"
    assert result["extension"][0]["valueReference"]["reference"] == "Patient/new"


def test_an_escaped_reference_is_understood() -> None:
    raw = b'{"resourceType":"Observation","subject":{"reference":"http:\\/\\/example.org\\/fhir\\/Patient\\/123"}}'
    result = LINKS.rewrite(raw, None, DEFAULT_LIMITS)
    assert isinstance(result, Draft)
    assert result.data["subject"]["reference"] == "Patient/abs"


def test_all_other_bytes_stay() -> None:
    raw = (
        b'{"resourceType":"Observation","valueQuantity":{"value":1.500e1},"subject":{"reference":"%s"}}' % URN.encode()
    )
    assert LINKS.rewrite(raw, None, DEFAULT_LIMITS) == raw.replace(URN.encode(), b"Patient/new")


def test_conditional_references_are_found() -> None:
    raw = b'{"subject":{"reference":"Patient?identifier=a|b"},"x":{"reference":"http://a/b?c=d"},"y":"Patient?z=1"}'
    assert conditional_references(raw) == {"Patient?identifier=a|b"}
