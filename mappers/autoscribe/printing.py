"""A report as a PDF/A-3b page: Jinja2 for the text, WeasyPrint for the layout (the extra ``pdf``).

The template is data/report.html. Nothing is fetched while a page is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from fhir_server.jobs.names import Json

TEMPLATE: Final = Path(__file__).parent / "data" / "report.html"
_SLOTS: Final = asyncio.Semaphore(2)


class CannotPrint(Exception):
    """This installation makes no PDF; str() says why, for people."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, and when (an instant, or any label; '' when it is not known)."""

    name: str
    at: str


@dataclass(frozen=True, slots=True)
class Part:
    """The text of a report or of an addendum, with its signature; None while it is not signed."""

    text: str
    signature: Signature | None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All that is printed. metadata: the snapshot, in the vendor's words."""

    title: str
    facility: str
    report_id: str
    study_uid: str
    accession: str
    description: str
    metadata: Mapping[str, Any]
    body: Part
    critical: bool = False
    addenda: Sequence[Part] = field(default_factory=tuple)

    @property
    def digest(self) -> str:
        """Changes when anything that is printed changes, or how it looks."""
        content = json.dumps(asdict(self), sort_keys=True, default=str).encode()
        return hashlib.sha256(_template() + b"\0" + content).hexdigest()


@lru_cache(maxsize=1)
def _template() -> bytes:
    return TEMPLATE.read_bytes()


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Why there are no PDFs here, None when there are."""
    absent = [name for name in ("jinja2", "weasyprint") if importlib.util.find_spec(name) is None]
    if absent:
        return "PDF reports are not available on this server: the extra 'pdf' is not installed."
    try:
        import weasyprint  # noqa: F401
    except OSError:
        return "PDF reports are not available on this server: the system library Pango is not installed."
    return None


async def printed(page: Page) -> bytes:
    """The PDF. Raises CannotPrint."""
    async with _SLOTS:
        return await asyncio.to_thread(render, page)


def render(page: Page) -> bytes:
    """The PDF, made in this thread (some 0.2 s a page; 0.7 s more the first time)."""
    reason = missing()
    if reason is not None:
        raise CannotPrint(reason)
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    made: bytes = HTML(
        string=html_of(page), url_fetcher=URLFetcher(allowed_protocols=("data",)), base_url=None
    ).write_pdf(pdf_variant="pdf/a-3b", uncompressed_pdf=False)
    return made


def html_of(page: Page) -> str:
    """The page before layout."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html: str = environment.from_string(_template().decode()).render(page=page, rows=_rows(page), paragraphs=paragraphs)
    return html


def paragraphs(text: str) -> list[list[str]]:
    """Paragraphs of lines; a line of capitals that ends with a colon is a heading (the template looks for it)."""
    blocks = [block.strip("\n") for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")]
    return [block.split("\n") for block in blocks if block.strip()]


def _rows(page: Page) -> list[tuple[str, str]]:
    about: Json = dict(page.metadata)
    when = " ".join(part for part in (about.get("studyDate"), about.get("studyTime")) if part)
    rows = [
        ("Patient", about.get("patientName")),
        ("MRN", about.get("mrn")),
        ("Date of birth", about.get("dateOfBirth")),
        ("Age", about.get("age")),
        ("Sex", about.get("sex")),
        ("Height", _quantity(about.get("height"))),
        ("Weight", _quantity(about.get("weight"))),
        ("Study", page.description),
        ("Procedure", about.get("procedure")),
        ("Study date", when),
        ("Accession", page.accession),
        ("Referring physician", about.get("referringPhysicianName")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _quantity(quantity: Mapping[str, Any] | None) -> str | None:
    return f"{quantity['value']} {quantity['unit']}" if quantity else None
