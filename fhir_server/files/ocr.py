"""Text read off pictures by tesseract (the extra ``ocr`` and the system's package tesseract-ocr)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Final

from fhir_server.files.text import FileUnreadable, Read

DPI: Final = 300
SECONDS_A_PAGE: Final = 60.0
MAX_PIXELS: Final = 40_000_000
_PROGRAM: Final = "tesseract"


def available() -> bool:
    """Whether pages of a PDF can be read."""
    return shutil.which(_PROGRAM) is not None and importlib.util.find_spec("pypdfium2") is not None


def read(content: bytes) -> Read:
    """An image file. Raises FileUnreadable (not-installed, broken)."""
    if shutil.which(_PROGRAM) is None:
        raise FileUnreadable("not-installed", "It is a picture, and reading pictures (OCR) is not installed here.")
    return Read(recognised(content), pages=1, ocr=True)


def pages(content: bytes, numbers: Sequence[int], deadline: float) -> Iterator[tuple[int, str]]:
    """(number, text) of pages of a PDF, drawn at DPI. Raises FileUnreadable."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError:
        raise FileUnreadable("broken", "The PDF is damaged and cannot be read.") from None
    try:
        for number in numbers:
            if time.monotonic() > deadline:
                raise FileUnreadable("too-large", "The PDF takes too long to read.")
            page = document[number]
            width, height = page.get_size()
            scale = DPI / 72
            while width * height * scale * scale > MAX_PIXELS:
                scale /= 2
            bitmap = page.render(scale=scale, grayscale=True)
            rows = memoryview(bitmap.buffer).cast("B")
            drawn = b"".join(
                bytes(rows[row * bitmap.stride : row * bitmap.stride + bitmap.width]) for row in range(bitmap.height)
            )
            yield number, recognised(b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + drawn)
    finally:
        document.close()


def recognised(image: bytes) -> str:
    """The text on a picture (any format that tesseract reads). Raises FileUnreadable."""
    # more threads make one page slower, not faster
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            [shutil.which(_PROGRAM) or _PROGRAM, "stdin", "stdout", "--dpi", str(DPI)],
            input=image,
            capture_output=True,
            timeout=SECONDS_A_PAGE,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FileUnreadable("too-large", "The picture takes too long to read.") from None
    if done.returncode != 0:
        raise FileUnreadable("broken", "The picture is damaged and cannot be read.")
    return done.stdout.decode("utf-8", "replace")
