"""FHIR XML -> FHIR JSON. R4B 2.6.1 (XML representation).

Expat reads, without document types, entities or anything from outside. It tells the place of every byte, so a narrative
is taken over exactly as it was written.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import msgspec

from fhir_server.r4b.codec import DEFAULT_LIMITS, Draft, Limits, parse
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.narrative import XHTML
from fhir_server.r4b.outcome import BadRequest, TooLarge
from fhir_server.r4b.xml_plan import FHIR, Step, xml_plan

_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance "
_declared = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._\-]+)[\"']").match


def parse_xml(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Draft:
    """Reads one resource from XML. Raises BadRequest (with line and element) and TooLarge."""
    return parse(from_xml(raw, limits=limits), limits=limits)


def from_xml(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """One resource's XML as compact JSON: elements in the order they came, comments dropped, decimals with their
    digits. A value that is not what its type wants stays a string, which validation then reports."""
    if len(raw) > limits.size:
        raise TooLarge(f"The body has {len(raw):,} bytes; the most that is taken is {limits.size:,}.")
    raw = _utf8(raw)
    root = _Reader(raw, limits).read()
    return msgspec.json.encode(_resource(root))


class _Node:
    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[_Node] = []
        self.line = line
        self.text = ""


def _refuse(line: int, text: str) -> BadRequest:
    return BadRequest(f"Line {line}: {text}", code="structure")


def _utf8(raw: bytes) -> bytes:
    """The bytes in UTF-8, whatever encoding the document declares."""
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    name = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    declared = _declared(raw)
    if declared:
        name = declared[1].decode("ascii")
    if name.lower() in ("utf-8", "utf8"):
        return raw
    try:
        return raw.decode(name).encode("utf-8")
    except (LookupError, UnicodeError):
        raise BadRequest(f"The body is not valid text in the encoding {name}; send UTF-8.", code="structure") from None


class _Reader:
    """Builds the tree of FHIR elements; what is in a narrative stays one piece of text."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self.raw = raw
        self.limits = limits
        self.stack: list[_Node] = []
        self.root: _Node | None = None
        self.inside = 0
        self.start_byte = 0
        self.plain: list[str] = []
        self.parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.doctype

    def read(self) -> _Node:
        try:
            self.parser.Parse(self.raw, True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            where = f"line {error.lineno}, column {error.offset + 1}"
            raise BadRequest(f"The body is not XML: {what} at {where}.", code="structure") from None
        assert self.root is not None
        return self.root

    def doctype(self, *_: Any) -> None:
        raise _refuse(self.parser.CurrentLineNumber, "a document type is not allowed; remove <!DOCTYPE ...>.")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        space, _, tag = name.rpartition(" ")
        if self.inside:
            self.inside += 1
            if self.inside > 200:
                raise _refuse(line, "the narrative is nested more than 200 levels deep.")
            self.plain.append(_open(tag, attributes))
            return
        if len(self.stack) >= self.limits.depth:
            raise _refuse(line, f"the body is nested more than {self.limits.depth} levels deep.")
        node = _Node(tag, attributes, line)
        if space == XHTML and tag == "div" and self.stack:
            self.inside = 1
            self.start_byte = self.parser.CurrentByteIndex
            self.plain = [_open(tag, {"xmlns": XHTML, **attributes})]
        elif space != FHIR:
            where = f"in the namespace {space}" if space else "in no namespace"
            raise _refuse(line, f"<{tag}> is {where}; FHIR elements are in {FHIR}.")
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.root = node
        self.stack.append(node)

    def end(self, name: str) -> None:
        if self.inside:
            self.inside -= 1
            self.plain.append(f"</{name.rpartition(' ')[2]}>")
            if self.inside:
                return
            self.stack[-1].text = self.narrative()
        self.stack.pop()

    def narrative(self) -> str:
        """The text as it was written, unless it leans on namespaces declared outside of it."""
        close = self.raw.index(b">", self.parser.CurrentByteIndex) + 1
        written = self.raw[self.start_byte : close]
        head = written[: written.index(b">")]
        if head.startswith(b"<div") and XHTML.encode() in head:
            return written.decode()
        return "".join(self.plain)

    def text(self, text: str) -> None:
        if self.inside:
            self.plain.append(escape(text))
        elif not text.isspace():
            raise _refuse(self.parser.CurrentLineNumber, f"text is not allowed here: '{text.strip()[:40]}'.")


def _open(tag: str, attributes: dict[str, str]) -> str:
    return f"<{tag}" + "".join(f" {name.rpartition(' ')[2]}={quoteattr(v)}" for name, v in attributes.items()) + ">"


def _resource(node: _Node) -> dict[str, Any]:
    if not definitions().is_resource(node.tag):
        raise _refuse(node.line, f"<{node.tag}> is not a resource type of FHIR R4B.")
    return {"resourceType": node.tag, **_object(node, node.tag)}


def _object(node: _Node, content: str) -> dict[str, Any]:
    plan = xml_plan(content)
    value: dict[str, Any] = {}
    for name, text in node.attributes.items():
        step = plan.get(name)
        if step is not None and step.kind == "attribute":
            value[name] = text
        elif not name.startswith(_SCHEMA):
            raise _refuse(node.line, f"<{node.tag}> has no attribute '{name}'.")
    for child in node.children:
        step = plan.get(child.tag)
        if step is None or step.kind == "attribute":
            raise _refuse(child.line, f"<{node.tag}> has no element <{child.tag}>.")
        _add(value, child, step)
    return value


def _add(value: dict[str, Any], child: _Node, step: Step) -> None:
    """Puts one element into the object, and the id and extensions of a primitive beside it."""
    name = child.tag
    if not step.repeats and (name in value or "_" + name in value):
        raise _refuse(child.line, f"<{name}> does not repeat, but it is there twice.")
    item, sibling = _value(child, step)
    if not step.repeats:
        if item is not None:
            value[name] = item
        if sibling:
            value["_" + name] = sibling
        return
    items, siblings = value.get(name), value.get("_" + name)
    count = len(items if items is not None else siblings if siblings is not None else ())
    # Both arrays are filled up with null, and an array of nothing but null is left out.
    if item is not None and items is None:
        items = value[name] = [None] * count
    if sibling and siblings is None:
        siblings = value["_" + name] = [None] * count
    if items is not None:
        items.append(item)
    if siblings is not None:
        siblings.append(sibling or None)
    if items is None and siblings is None:
        raise _refuse(child.line, f"<{name}> has neither a value nor children.")


def _value(child: _Node, step: Step) -> tuple[Any, dict[str, Any] | None]:
    """(value, id and extensions of a primitive)"""
    if step.kind == "xhtml":
        return child.text, None
    if child.text:
        raise _refuse(child.line, "a narrative is only allowed in <text>.")
    if step.kind == "object":
        return _object(child, step.content), None
    if step.kind == "resource":
        if len(child.children) != 1 or child.attributes:
            raise _refuse(child.line, f"<{child.tag}> must hold exactly one resource.")
        return _resource(child.children[0]), None
    text = child.attributes.pop("value", None)
    sibling = _object(child, "Element")
    return (None if text is None else _primitive(text, step)), sibling


def _primitive(text: str, step: Step) -> Any:
    if step.kind == "number" and _number(text):
        return msgspec.Raw(text.encode())
    if step.kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
