from __future__ import annotations

import json

import pytest

from fhir_server.r4b.codec import draft_of, encode, parse
from fhir_server.r4b.references import Found, ParsedReference, find_references, parse_reference, rewrite_references
from tests.r4b.examples import examples

BASES = ("http://our.example/fhir",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", ParsedReference("local", "Patient/1", "Patient", "1")),
        ("Patient/1/_history/2", ParsedReference("local", "Patient/1", "Patient", "1", "2")),
        ("http://our.example/fhir/Patient/1", ParsedReference("local", "Patient/1", "Patient", "1")),
        ("http://x.example/Patient/1", ParsedReference("remote", "http://x.example/Patient/1", "Patient", "1")),
        ("#a", ParsedReference("contained", "", id="a")),
        ("urn:uuid:1#a", ParsedReference("urn", "urn:uuid:1", fragment="a")),
        ("Patient?name=x", ParsedReference("conditional", "Patient?name=x", "Patient", query="name=x")),
        ("http://x.example/y", ParsedReference("other", "http://x.example/y")),
        ("Pacient/1", ParsedReference("other", "Pacient/1")),
        ("", ParsedReference("other", "")),
    ],
)  # fmt: skip
def test_a_reference_is_understood(text: str, expected: ParsedReference) -> None:
    assert parse_reference(text, BASES) == expected


def test_a_base_with_a_slash_at_the_end_is_the_same() -> None:
    assert parse_reference("http://our.example/fhir/Patient/1", ["http://our.example/fhir/"]).kind == "local"


OBSERVATION = {
    "resourceType": "Observation",
    "contained": [{"resourceType": "Specimen", "id": "s", "subject": {"reference": "urn:uuid:1"}}],
    "text": {
        "status": "generated",
        "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href='urn:uuid:1'>p</a></div>",
    },
    "extension": [{"url": "http://x.example/e", "valueReference": {"reference": "urn:uuid:1"}}],
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"}],
    "status": "final",
    "code": {"text": "urn:uuid:1"},
    "subject": {"reference": "urn:uuid:1"},
    "_issued": {"extension": [{"url": "http://x.example/e", "valueUri": "urn:uuid:1"}]},
}


def test_links_are_found_wherever_they_may_stand_and_nowhere_else() -> None:
    found = {(f.kind, f.path) for f in find_references(OBSERVATION) if f.text == "urn:uuid:1"}
    assert found == {
        ("reference", ("contained", 0, "subject", "reference")),
        ("narrative", ("text", "div")),
        ("reference", ("extension", 0, "valueReference", "reference")),
        ("reference", ("subject", "reference")),
        ("uri", ("_issued", "extension", 0, "valueUri")),
    }


def test_rewriting_changes_links_only() -> None:
    draft = draft_of(OBSERVATION)
    done = rewrite_references(draft, lambda found: "Patient/9" if found.text == "urn:uuid:1" else None)
    data = json.loads(done.raw)
    assert done.data == data
    assert data["subject"] == {"reference": "Patient/9"}
    assert data["contained"][0]["subject"] == {"reference": "Patient/9"}
    assert 'href="Patient/9"' in data["text"]["div"]
    assert data["identifier"][0]["value"] == "urn:uuid:1"
    assert data["code"]["text"] == "urn:uuid:1"
    assert draft.data["subject"] == {"reference": "urn:uuid:1"}


def test_rewriting_keeps_all_other_bytes() -> None:
    raw = b'{"resourceType":"Basic","subject":{"reference":"urn:x","display":"\\u00e9"}}'
    done = rewrite_references(parse(raw), lambda found: "Patient/9" if found.text == "urn:x" else None)
    assert done.raw == raw.replace(b"urn:x", b"Patient/9")


def test_nothing_to_rewrite_gives_the_same_draft() -> None:
    draft = parse(b'{"resourceType":"Observation","subject":{"reference":"Patient/1"}}')
    assert rewrite_references(draft, lambda _: None) is draft


def test_rewriting_and_back_gives_the_same_resource() -> None:
    def there(found: Found) -> str:
        return "x:" + found.text

    def back(found: Found) -> str:
        return found.text.removeprefix("x:")

    for raw in list(examples().values())[::5]:
        draft = parse(raw)
        kept = [f for f in find_references(draft.data) if f.kind != "narrative"]
        once = rewrite_references(draft, lambda f: None if f.kind == "narrative" else there(f))
        assert len(kept) == len([f for f in find_references(once.data) if f.kind != "narrative"])
        again = rewrite_references(once, lambda f: None if f.kind == "narrative" else back(f))
        assert encode(again.data) == encode(draft.data)
