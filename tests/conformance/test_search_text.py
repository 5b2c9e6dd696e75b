"""_text and _content: R4B 3.1.1.4.2."""

from __future__ import annotations

import httpx

from tests.conformance.resources import create, found, patient

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Ward <b>%s</b> seen today</p></div>'


def narrated(fhir: httpx.Client, mark: str) -> str:
    text = {"status": "generated", "div": DIV % mark}
    return str(create(fhir, patient(mark, text=text, name=[{"family": f"Fam{mark}"}]))["id"])


def test_text_finds_words_of_the_narrative(fhir: httpx.Client, mark: str) -> None:
    id = narrated(fhir, mark)
    assert found(fhir, "Patient", {"_text": f"ward {mark}"}) == [id]


def test_text_does_not_look_outside_the_narrative(fhir: httpx.Client, mark: str) -> None:
    narrated(fhir, mark)
    assert found(fhir, "Patient", {"_text": f"Fam{mark}"}) == []


def test_text_finds_a_phrase_only_in_order(fhir: httpx.Client, mark: str) -> None:
    id = narrated(fhir, mark)
    assert found(fhir, "Patient", {"_text": f'"{mark} seen"'}) == [id]
    assert found(fhir, "Patient", {"_text": f'"seen {mark}"'}) == []


def test_content_finds_words_anywhere(fhir: httpx.Client, mark: str) -> None:
    id = narrated(fhir, mark)
    assert found(fhir, "Patient", {"_content": f"fam{mark} ward"}) == [id]


def test_an_update_changes_what_is_found(fhir: httpx.Client, mark: str) -> None:
    id = narrated(fhir, mark)
    fhir.put(f"Patient/{id}", json=patient(mark, id=id, name=[{"family": "Other"}]))
    assert found(fhir, "Patient", {"_content": f"fam{mark}"}) == []


def test_what_is_deleted_is_not_found(fhir: httpx.Client, mark: str) -> None:
    fhir.delete(f"Patient/{narrated(fhir, mark)}")
    assert found(fhir, "Patient", {"_text": mark}) == []
