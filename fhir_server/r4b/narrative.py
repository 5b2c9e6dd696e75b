"""The XHTML of a narrative: well-formed, harmless, and only the elements that FHIR takes. R4B 2.4.0 (txt-1, txt-2)."""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

XHTML = "http://www.w3.org/1999/xhtml"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: HTML 4.0 chapters 7 to 11 without 9.4, chapter 15, and images.
_ELEMENTS = _words("""
a abbr acronym address area b bdo big blockquote br caption center cite code col colgroup dd dfn div dl dt em
font h1 h2 h3 h4 h5 h6 hr i img kbd li map ol p pre q s samp small span strike strong sub sup table tbody td
tfoot th thead tr tt u ul var
""")
_ATTRIBUTES = _words("""
title style class id ID lang xml:lang dir accesskey tabindex span width height align valign char charoff abbr
axis  headers scope rowspan colspan xmlns href name src alt border cite charset type hreflang rel rev shape
coords  longdesc usemap ismap nohref summary frame rules cellspacing cellpadding nowrap space target start
value  bgcolor color face size compact clear noshade xml:space
""")
_script = re.compile(r"^\s*(?:javascript|vbscript|data:text/html|data:application)", re.IGNORECASE).search
_active_style = re.compile(r"expression\s*\(|javascript:|@import|-moz-binding|behavior\s*:", re.IGNORECASE).search
_LINKS = frozenset(("href", "src", "cite", "longdesc", "usemap"))


class _Refused(Exception):
    pass


def narrative_problem(div: str) -> str | None:
    """None, or a sentence that says what is wrong with the text of a Narrative.div."""
    if not div.startswith("<div"):
        stripped = div.lstrip()
        if not stripped.startswith("<div"):
            return "The narrative must be one <div> element in the XHTML namespace."
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.ProcessingInstructionHandler = reader.instruction
    try:
        parser.Parse(div.encode("utf-8", "surrogatepass"), True)
    except _Refused as refusal:
        return str(refusal)
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        hint = "; write the character itself or a number such as &#160;" if "entity" in what else ""
        return (
            f"The narrative is not well-formed XHTML: {what} at line {error.lineno}, column {error.offset + 1}{hint}."
        )
    if not reader.content:
        return "The narrative has no text and no image; give it some content."
    return None


class _Reader:
    __slots__ = ("content", "depth")

    def __init__(self) -> None:
        self.content = False
        self.depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and (name != "div" or attributes.get("xmlns") != XHTML):
            raise _Refused(f'The narrative must be one <div xmlns="{XHTML}"> element.')
        self.depth += 1
        if self.depth > 200:
            raise _Refused("The narrative is nested more than 200 levels deep.")
        if name not in _ELEMENTS:
            raise _Refused(f"The narrative holds <{name[:40]}>, which FHIR does not allow; use basic formatting only.")
        if name == "img":
            self.content = True
        for key, value in attributes.items():
            self.attribute(name, key, value)

    def attribute(self, name: str, key: str, value: str) -> None:
        if key not in _ATTRIBUTES:
            raise _Refused(f"The narrative holds the attribute '{key[:40]}' on <{name}>, which FHIR does not allow.")
        if (key in _LINKS and _script("".join(value.split()))) or (key == "style" and _active_style(value)):
            raise _Refused(f"The narrative holds active content in the attribute '{key}' on <{name}>; remove it.")
        if key == "xmlns" and value != XHTML:
            raise _Refused(f"The narrative holds the namespace '{value[:60]}'; only {XHTML} is allowed.")

    def end(self, name: str) -> None:
        self.depth -= 1

    def text(self, data: str) -> None:
        if not self.content and not data.isspace():
            self.content = True

    def doctype(self, *_: Any) -> None:
        raise _Refused("The narrative must not have a document type.")

    def instruction(self, *_: Any) -> None:
        raise _Refused("The narrative must not have processing instructions.")
