"""Pages, links and their limits, without a server."""

from __future__ import annotations

import io
from urllib.parse import parse_qs, urlsplit

import pypdf
import pytest
from starlette.exceptions import HTTPException

from mappers.autoscribe import pdfs, printing

needs_pdf = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))


def page(text: str = "Normal.", **changes: object) -> printing.Page:
    told: dict[str, object] = {
        "title": "Radiology report",
        "facility": "Riverside",
        "report_id": "rep_" + "a" * 32,
        "study_uid": "1.2.3",
        "accession": "A1",
        "description": "CT",
        "metadata": {"patientName": "Jane Doe", "mrn": "M1", "height": {"unit": "cm", "value": 170}},
        "body": printing.Part(text, printing.Signature("Dr. A", "2024-01-01T00:00:00Z")),
    }
    return printing.Page(**(told | changes))  # type: ignore[arg-type]


def text_of(content: bytes) -> str:
    return "\n".join(each.extract_text() for each in pypdf.PdfReader(io.BytesIO(content)).pages)


@needs_pdf
def test_a_long_report_has_numbered_pages() -> None:
    content = printing.render(page("\n\n".join(f"Paragraph {number}. " + "Words. " * 60 for number in range(40))))
    count = len(pypdf.PdfReader(io.BytesIO(content)).pages)
    assert count > 2
    assert f"Page {count} of {count}" in text_of(content)
    assert "Paragraph 39." in text_of(content)


@needs_pdf
def test_what_looks_like_html_is_text_and_nothing_is_fetched() -> None:
    hostile = '<img src="http://127.0.0.1:9/x"><script>alert(1)</script> {{ 7 * 7 }} <style>@import "file:///etc/passwd"</style>'
    shown = text_of(printing.render(page(hostile, facility="</title><h1>x")))
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7 * 7 }}" in shown
    assert "</title><h1>x" in shown


@needs_pdf
def test_every_addendum_is_a_section_with_its_signature() -> None:
    addenda = (printing.Part("More.", printing.Signature("Dr. B", "later"), "Addendum 1"),)
    shown = text_of(printing.render(page(addenda=addenda, critical=True)))
    for words in ("Addendum 1", "More.", "Dr. B", "later", "Dr. A", "Critical finding", "170 cm", "Accession"):
        assert words in shown


@needs_pdf
def test_other_scripts_are_printed() -> None:
    assert "Ελένη Жанна Ñandú" in text_of(printing.render(page("Ελένη Жанна Ñandú")))


def test_whatever_is_printed_is_in_the_digest() -> None:
    assert page().digest == page().digest
    assert page("Other").digest != page().digest
    assert page(critical=True).digest != page().digest


async def test_without_the_extra_there_is_an_answer_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "missing", lambda: "PDF reports are not available on this server.")
    with pytest.raises(printing.CannotPrint, match="not available"):
        await printing.printed(page())


def test_a_link_is_good_for_an_hour() -> None:
    links = pdfs.Links(b"secret")
    url = links.signed("https://example.org", "rep.pdf", 1000.5)
    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith("https://example.org/files/reports/rep.pdf?")
    links.check("rep.pdf", given["expires"], given["signature"], 4599.9)
    pdfs.Links(b"secret").check("rep.pdf", given["expires"], given["signature"], 2000)
    for links_used, name, now in (
        (links, "rep.pdf", 4600),
        (links, "other.pdf", 2000),
        (pdfs.Links(b"x"), "rep.pdf", 2000),
    ):
        with pytest.raises(HTTPException) as refused:
            links_used.check(name, given["expires"], given["signature"], now)
        assert refused.value.status_code == 403
