from __future__ import annotations

import json
from typing import Literal

import pytest

from fhir_server.r4b.codec import decode, parse
from fhir_server.r4b.subset import select_elements, summarize
from fhir_server.r4b.validate import validate
from tests.r4b.examples import INVALID, examples

RAW = (
    b'{"resourceType":"Patient","id":"a","meta":{"versionId":"1","tag":[{"code":"x"}]},'
    b'"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">x</div>"},'
    b'"active":true,"name":[{"family":"A"}],"birthDate":"1970-01-01","_birthDate":{"id":"b"},'
    b'"deceasedBoolean":false,"photo":[{"title":"p"}],"contact":[{"name":{"family":"C"}}]}'
)


def test_summary_true_has_summary_elements_and_the_tag() -> None:
    data = json.loads(summarize(RAW, "true"))
    assert data.keys() == {"resourceType", "id", "meta", "active", "name", "birthDate", "_birthDate", "deceasedBoolean"}
    assert [tag["code"] for tag in data["meta"]["tag"]] == ["x", "SUBSETTED"]
    assert data["meta"]["versionId"] == "1"


def test_summary_true_goes_into_backbone_elements() -> None:
    raw = b'{"resourceType":"Composition","section":[{"title":"t"}],"status":"final","attester":[{"mode":"legal"}]}'
    assert json.loads(summarize(raw, "true")).keys() == {"resourceType", "meta", "status"}


def test_summary_text_has_narrative_and_mandatory_elements() -> None:
    assert json.loads(summarize(RAW, "text")).keys() == {"resourceType", "id", "meta", "text"}


def test_summary_data_leaves_out_the_narrative() -> None:
    assert json.loads(summarize(RAW, "data")).keys() == json.loads(RAW).keys() - {"text"}


def test_elements_keeps_mandatory_and_modifier_elements() -> None:
    data = json.loads(select_elements(RAW, "Patient", ["birthDate"]))
    assert data.keys() == {"resourceType", "id", "meta", "active", "birthDate", "_birthDate", "deceasedBoolean"}


@pytest.mark.parametrize("name", ["value", "value[x]", "valueQuantity", "Observation.value"])
def test_elements_takes_a_choice_by_any_name(name: str) -> None:
    raw = b'{"resourceType":"Observation","status":"final","valueQuantity":{"value":1.10},"issued":"x"}'
    done = select_elements(raw, "Observation", [name])
    assert b'"valueQuantity":{"value":1.10}' in done
    assert b"issued" not in done


def test_a_resource_is_tagged_once() -> None:
    assert summarize(summarize(RAW, "data"), "data").count(b"SUBSETTED") == 1


@pytest.mark.parametrize("summary", ["true", "text", "data"])
def test_a_subset_of_a_valid_example_is_well_formed(summary: Literal["true", "text", "data"]) -> None:
    for name, raw in list(examples().items())[::3]:
        if name not in INVALID:
            found = validate(decode(summarize(parse(raw).raw, summary)))
            # Links to contained resources and invariants over what was left out may break; that is what the tag says.
            assert [i for i in found if i.code != "invariant" and "contained resource" not in i.diagnostics] == []
