"""What a file is, by its content."""

from __future__ import annotations

import pytest

from fhir_server.files import Kind, sniff
from fhir_server.files.filenames import LONGEST, harmless
from tests.files.building import docx, paragraph, pdf, wav


@pytest.mark.parametrize(
    ("content", "kind", "media"),
    [
        (pdf("x"), Kind.PDF, "application/pdf"),
        (b"\n\n" + pdf("x"), Kind.PDF, "application/pdf"),
        (docx(paragraph("x")), Kind.DOCX, None),
        (wav(), Kind.AUDIO, "audio/wav"),
        (b"ID3\x03", Kind.AUDIO, "audio/mpeg"),
        (b"\xff\xfb\x90\x00" + b"\0" * 50, Kind.AUDIO, "audio/mpeg"),
        (b"\0\0\0 ftypM4A ", Kind.AUDIO, "audio/mp4"),
        (b"OggS\0", Kind.AUDIO, "audio/ogg"),
        (b"fLaC\0", Kind.AUDIO, "audio/flac"),
        (b"\x1aE\xdf\xa3", Kind.AUDIO, "audio/webm"),
        (b"\x89PNG\r\n\x1a\n", Kind.IMAGE, "image/png"),
        (b"\xff\xd8\xff\xe0", Kind.IMAGE, "image/jpeg"),
        (b"\0" * 128 + b"DICM", Kind.DICOM, "application/dicom"),
        (b"{\\rtf1 x}", Kind.RTF, "application/rtf"),
        (b"<!DOCTYPE html><p>", Kind.HTML, "text/html"),
        (b"MSH|^~\\&|A", Kind.HL7V2, None),
        (b'{\n "resourceType" : "Patient"}', Kind.FHIR_JSON, "application/fhir+json"),
        (b'<?xml version="1.0"?><ClinicalDocument>', Kind.CDA, "text/xml"),
        (b"just words", Kind.TEXT, "text/plain"),
        ("Größe".encode("utf-16"), Kind.TEXT, "text/plain"),
        (b"\x00\x01\x02\x03\xff\xfe", Kind.UNKNOWN, None),
        (b"", Kind.EMPTY, None),
    ],
)
def test_content_decides(content: bytes, kind: Kind, media: str | None) -> None:
    found = sniff(content, filename="x.bin", declared="application/x-lie")
    assert found.kind is kind
    assert media is None or found.media_type == media


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a b.pdf", "a b.pdf"),
        ("..", "file"),
        ("", "file"),
        (None, "file"),
        (".htaccess", "htaccess"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("/", "file"),
        ("Bericht Müller.pdf", "Bericht Müller.pdf"),
    ],
)
def test_hostile_names_become_harmless(name: str | None, kept: str) -> None:
    assert harmless(name) == kept


def test_a_long_name_keeps_its_extension() -> None:
    kept = harmless("x" * 5000 + ".pdf")
    assert len(kept) == LONGEST
    assert kept.endswith(".pdf")
