"""XML and HTML from strangers: no entities, no network, no huge trees."""

from __future__ import annotations

from typing import Any, Final

from lxml import etree, html

from fhir_server.files.text import FileUnreadable

MAX_DEPTH: Final = 250


def parsed_xml(content: bytes) -> Any:
    """The root element. Raises FileUnreadable (broken)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise FileUnreadable("broken", "It is not well-formed XML.") from None
    if root is None:
        raise FileUnreadable("broken", "It is not well-formed XML.")
    return root


def parsed_html(text: str) -> Any:
    """The root element of whatever HTML it is. Raises FileUnreadable (no-text)."""
    try:
        # an encoding declared inside would be obeyed though the text is decoded already
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        raise FileUnreadable("no-text", "There is no text in it.") from None
    return root


def local(element: Any) -> str:
    """An element's name without its namespace, in lower case; '' for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


_BLOCKS: Final = (
    frozenset(("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl", "dt"))
    | frozenset(("fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html"))
    | frozenset(("item", "li", "list", "main", "nav", "ol", "p", "paragraph", "pre", "section", "table", "tbody"))
    | frozenset(("tfoot", "thead", "title", "tr", "ul"))
)
_CELLS: Final = frozenset(("td", "th"))
_HIDDEN: Final = frozenset(("script", "style", "head", "noscript", "template", "object", "svg"))


def lines_of(root: Any) -> str:
    """The text of marked-up text (HTML, a narrative, a CDA section): blocks on lines of their own, cells apart."""
    out: list[str] = []
    pending: list[tuple[str, Any]] = [("open", root)]
    while pending:
        what, item = pending.pop()
        if what == "text":
            out.append(item)
            continue
        name = local(item)
        if what == "close":
            if name in _BLOCKS:
                out.append("\n")
            elif name in _CELLS:
                out.append("\t")
            continue
        if not name or name in _HIDDEN:
            continue
        if name == "br" or name in _BLOCKS:
            out.append("\n")
        if name in ("li", "item"):
            out.append("- ")
        if item.text:
            out.append(_squeezed(item.text, name))
        pending.append(("close", item))
        for child in reversed(item):
            if child.tail:
                pending.append(("text", _squeezed(child.tail, name)))
            pending.append(("open", child))
    lines = [line.strip(" \t").replace("\t", "  ") for line in "".join(out).split("\n")]
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()


def _squeezed(text: str, name: str) -> str:
    if name in ("pre", "textarea"):
        return text
    words = " ".join(text.split())
    if not words:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + words + (" " if text[-1].isspace() else "")
