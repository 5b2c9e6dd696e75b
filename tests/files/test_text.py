"""Text out of every kind of file, and a clear reason where there is none."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.files import FileUnreadable, Kind, text_of
from tests.files.building import docx, encrypted_pdf, paragraph, pdf, wav, zip_bomb


def reason(content: bytes) -> str:
    with pytest.raises(FileUnreadable) as raised:
        text_of(content)
    assert str(raised.value).endswith(".")
    return raised.value.code


def text_or_reason(content: bytes) -> str:
    """The text, or the code of the reason why there is none; anything else that is raised is a fault."""
    try:
        return text_of(content).text
    except FileUnreadable as error:
        return f"[{error.code}]"


def test_pdf_text_layer_page_by_page() -> None:
    read = text_of(pdf("Patient reports a worsening cough since Monday", "Second page of the same letter"))
    assert read.text.index("worsening cough") < read.text.index("Second page")
    assert (read.kind, read.pages, read.ocr) == (Kind.PDF, 2, False)


def test_an_encrypted_pdf_says_so() -> None:
    assert reason(encrypted_pdf("secret", "password")) == "encrypted"


def test_a_pdf_that_only_forbids_changes_is_read() -> None:
    assert "Visible to everyone" in text_of(encrypted_pdf("Visible to everyone who opens it", "")).text


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"%PDF-1.4 rubbish", pdf("Some text that is long enough")[:150]])
def test_a_damaged_pdf_says_so(content: bytes) -> None:
    assert reason(content) == "broken"


def test_a_scan_without_ocr_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert reason(pdf("")) == "not-installed"


def test_a_scan_is_read_by_ocr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pytesseract", reason="the extra ocr is not installed")
    pytest.importorskip("pypdfium2", reason="the extra ocr is not installed")
    program = tmp_path / "tesseract"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nimage = sys.stdin.buffer.read()\n"
        "print('read off', image[:2].decode(), len(image) > 1000000)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    read = text_of(pdf(""))
    assert read.text == "read off P5 True"
    assert read.ocr


def test_docx_paragraphs_and_tables_in_order() -> None:
    table = f"<w:tbl><w:tr><w:tc>{paragraph('Drug')}</w:tc><w:tc>{paragraph('Dose')}</w:tc></w:tr></w:tbl>"
    read = text_of(docx(paragraph("Before") + table + paragraph("After"), header1=paragraph("Clinic of Dr. Who")))
    assert read.text.split("\n") == ["Clinic of Dr. Who", "", "Before", "Drug\tDose", "After"]
    assert read.kind is Kind.DOCX


def test_what_was_deleted_in_a_docx_is_not_read() -> None:
    body = "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    assert text_of(docx(body)).text == "kept"


def test_a_zip_bomb_is_refused_quickly() -> None:
    started = time.monotonic()
    assert reason(zip_bomb()) == "too-large"
    assert time.monotonic() - started < 2


def test_entities_in_xml_are_not_expanded() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>one &y; two</a>'
    assert "haha" not in text_or_reason(bomb)


def test_a_file_outside_is_not_read_through_xml(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    xml = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><a>one &x; two</a>'
    assert "the secret" not in text_or_reason(xml.encode())


def test_rtf_with_code_page_and_unicode() -> None:
    rtf = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}Caf\'e9 \u8364? 5\par \{x\}\tab y}"
    assert text_of(rtf).text == "Café € 5\n{x}\ty"


def test_html_without_scripts() -> None:
    page = b"<!DOCTYPE html><head><title>t</title></head><body><h1>A</h1><p>b <b>c</b></p><script>d</script></body>"
    assert text_of(page).text == "A\n\nb c"


def test_html_in_its_own_encoding() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body>Пациент</body></html>'.encode("cp1251")
    assert text_of(page).text == "Пациент"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_plain_text_in_any_encoding(encoding: str) -> None:
    text = "Größe 180 cm, naïve patient, temperature 38 degrees"
    assert text_of(text.encode(encoding)).text == text


CDA = """<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Referral</title>
<component><structuredBody>
<component><section><title>Problems</title><text>
<list><item>Asthma</item><item>Gout</item></list></text></section></component>
<component><section><title>Plan</title><text>See <content>again</content><br/>soon</text></section></component>
</structuredBody></component></ClinicalDocument>"""


def test_cda_sections_with_their_titles() -> None:
    read = text_of(CDA.encode())
    assert read.kind is Kind.CDA
    lines = [line for line in read.text.split("\n") if line]
    assert lines == ["Referral", "Problems", "- Asthma", "- Gout", "Plan", "See again", "soon"]


ORU = (
    "MSH|^~\\&|LAB|H|EHR|H|20250101||ORU^R01|1|P|2.5\rPID|1||7||Stark^Tony\rOBR|1|||24627-2^CT Chest^LN\r"
    "OBX|1|TX|1^x||Lungs clear \\T\\ dry~no nodule||||||F\rOBX|2|NM|718-7^Hemoglobin^LN||13.2|g/dL|12-16|L|||F\r"
    "NTE|1||first\\.br\\second\r"
)


def test_hl7_v2_results_and_notes() -> None:
    read = text_of(ORU.encode())
    assert read.kind is Kind.HL7V2
    assert read.text.split("\n") == [
        "CT Chest",
        "Lungs clear & dry",
        "no nodule",
        "Hemoglobin: 13.2 g/dL (reference 12-16) [L]",
        "first",
        "second",
    ]


def test_a_pdf_inside_hl7_v2_is_read() -> None:
    inside = base64.b64encode(pdf("A report that came inside of a message")).decode()
    message = (
        f"MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\rTXA|1|CN\rOBX|1|ED|x^y||^application^pdf^Base64^{inside}||||||F\r"
    )
    assert "came inside of a message" in text_of(message.encode()).text


def test_fhir_json_narratives_attachments_and_codes() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": {"resourceType": "Condition", "code": {"text": "Asthma"}}},
            {
                "resource": {
                    "resourceType": "DocumentReference",
                    "content": [
                        {"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"Hi").decode()}}
                    ],
                }
            },
            {"resource": {"resourceType": "Patient", "text": {"div": "<div><p>Tony</p></div>"}}},
        ],
    }
    assert text_of(json.dumps(bundle).encode()).text.split("\n\n") == ["Condition: Asthma", "Hi", "Tony"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"  \n\t ", "no-text"),
        (wav(), "unsupported"),
        (b"\0" * 128 + b"DICM" + b"\0" * 100, "unsupported"),
        (b"\x7fELF" + bytes(range(256)), "unsupported"),
        (b"PK\x05\x06" + b"\0" * 18, "unsupported"),
        (b"PK\x03\x04word/", "broken"),
        (b'{"resourceType":"Patient"', "broken"),
        (b"<?xml version='1.0'?><a><b></a>", "broken"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, code: str) -> None:
    assert reason(content) == code


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        [
            b"",
            b"%PDF-1.4\n",
            b"{\\rtf1",
            b"<html>",
            b"<?xml",
            b"MSH|^~\\&|",
            b'{"resourceType":"Bundle",',
            b"PK\x03\x04",
        ]
    ),
    st.binary(max_size=300),
)
def test_rubbish_gives_text_or_a_reason_and_nothing_else(start: bytes, rest: bytes) -> None:
    assert text_or_reason(start + rest)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_with_bytes_changed_gives_text_or_a_reason(data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from([pdf("A text that is long enough to be read"), docx(paragraph("x" * 30)), ORU.encode()])
    )
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    assert text_or_reason(bytes(broken))
