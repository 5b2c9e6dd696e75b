"""Text of PDF: its text layer, and where a page has none (a scan), what OCR reads off it."""

from __future__ import annotations

import io
import logging
import time
from typing import Any, Final

from fhir_server.files.text import FileUnreadable, Read

MAX_PAGES: Final = 2_000
SECONDS: Final = 120.0
"""After this long with one file it is given up."""
LETTERS: Final = 20
"""A page with fewer letters in its text layer is taken for a picture."""

logging.getLogger("pypdf").setLevel(logging.ERROR)


def read(content: bytes) -> Read:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

    deadline = time.monotonic() + SECONDS
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not _opens(reader):
            raise FileUnreadable("encrypted", "The PDF is encrypted; send it without a password.")
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise FileUnreadable("too-large", f"The PDF has more than {MAX_PAGES:,} pages.")
        texts = []
        for page in reader.pages:
            if time.monotonic() > deadline:
                raise FileUnreadable("too-large", "The PDF takes too long to read.")
            texts.append(page.extract_text() or "")
    except FileUnreadable:
        raise
    except (FileNotDecryptedError, DependencyError):
        raise FileUnreadable("encrypted", "The PDF is encrypted; send it without a password.") from None
    except (PyPdfError, RecursionError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError) as error:
        logging.getLogger(__name__).info("a PDF could not be read: %s", type(error).__name__)
        raise FileUnreadable("broken", "The PDF is damaged and cannot be read.") from None
    except Exception as error:  # whatever else a damaged file makes of a parser
        logging.getLogger(__name__).warning("a PDF could not be read: %s", type(error).__name__)
        raise FileUnreadable("broken", "The PDF is damaged and cannot be read.") from None
    if count == 0:
        raise FileUnreadable("broken", "The PDF has no pages.")
    pictures = [number for number, text in enumerate(texts) if sum(map(str.isalpha, text)) < LETTERS]
    if pictures and len(pictures) == count:
        return _scanned(content, texts, pictures, deadline, needed=not any(map(str.strip, texts)))
    if pictures and any(_has_picture(reader.pages[number]) for number in pictures):
        return _scanned(content, texts, pictures, deadline, needed=False)
    return Read("\n\n".join(texts), pages=count)


def _opens(reader: Any) -> bool:
    """Whether the PDF opens without a password (many are encrypted only to forbid changes)."""
    try:
        return bool(reader.decrypt(""))
    except Exception:  # an unknown algorithm is as closed as a wrong password
        return False


def _has_picture(page: Any) -> bool:
    try:
        return any(True for _ in (page.get("/Resources", {}).get_object().get("/XObject") or {}))
    except Exception:  # odd resources: then there is no picture to read
        return False


def _scanned(content: bytes, texts: list[str], pages: list[int], deadline: float, *, needed: bool) -> Read:
    """The text with the pictures read. needed: without OCR there would be nothing at all."""
    from fhir_server.files import ocr

    if not ocr.available():
        if needed:
            raise FileUnreadable(
                "not-installed",
                "The PDF is a scan without a text layer, and reading pictures (OCR) is not installed on this server.",
            )
        return Read("\n\n".join(texts), pages=len(texts))
    for number, text in ocr.pages(content, pages, deadline):
        texts[number] = f"{texts[number]}\n{text}".strip()
    return Read("\n\n".join(texts), pages=len(texts), ocr=True)
