"""Plain text as a Narrative's XHTML and back. R4B 2.1.28 (Narrative)."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from typing import Final

_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BLOCKS: Final = frozenset({"p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre"})


def xhtml(text: str) -> str:
    """A <div> that shows the text, line by line; `plain` gives the same text back."""
    lines = [escape(line, quote=False) for line in printable(text).split("\n")]
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{"<br/>".join(lines)}</div>'


def plain(div: str) -> str:
    """The text of a <div>: blocks and <br/> end lines, other markup goes."""
    reader = _Reader()
    reader.feed(div)
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n")


def printable(text: str) -> str:
    """Text that XML and a FHIR string may hold: other control characters become spaces, lone surrogates too."""
    return _UNPRINTABLE.sub(" ", text)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "br" or (tag in _BLOCKS and self.parts and not self.parts[-1].endswith("\n")):
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS and self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        # a line's end in the source is a space to a reader
        self.parts.append(data.replace("\n", " "))
