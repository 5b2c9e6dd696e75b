"""FHIR JSON -> FHIR XML. R4B 2.6.1 (XML representation)."""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

import msgspec

from fhir_server.r4b.narrative import XHTML
from fhir_server.r4b.outcome import BadRequest
from fhir_server.r4b.xml_plan import FHIR, Step, xml_plan

# The text of a number is what XML shows, so it is never made a number.
_decoder = msgspec.json.Decoder(float_hook=str)
_illegal = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_special = re.compile('[&<>"\n\r\t\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]').search


def to_xml(raw: bytes, *, pretty: bool = False) -> bytes:
    """One resource's JSON as XML in UTF-8, with elements in the order of the standard and the same digits of decimals.

    A narrative is written as it is. Raises BadRequest for a resource that the standard's tables do not know."""
    data = _decoder.decode(raw)
    out: list[str] = ['<?xml version="1.0" encoding="UTF-8"?>']
    _Writer(out, pretty).resource(data, f' xmlns="{FHIR}"', 0)
    return "".join(out).encode("utf-8", "replace")


def _attribute(text: str) -> str:
    if _special(text) is None:
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    text = text.replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return _illegal.sub("\ufffd", text)


def _scalar(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return _attribute(str(value))


class _Writer:
    def __init__(self, out: list[str], pretty: bool) -> None:
        self.out = out
        self.pretty = pretty

    def gap(self, depth: int) -> str:
        return "\n" + "  " * depth if self.pretty else ""

    def resource(self, value: Any, attributes: str, depth: int) -> None:
        type_ = value.get("resourceType") if isinstance(value, dict) else None
        try:
            xml_plan(str(type_))
        except KeyError:
            raise BadRequest(f"'{type_}' is not a resource type of FHIR R4B.", code="structure") from None
        self.object(str(type_), value, str(type_), depth, attributes)

    def object(self, tag: str, value: Any, content: str, depth: int, attributes: str = "") -> None:
        plan = xml_plan(content)
        if not isinstance(value, dict):
            raise _unknown(content, tag)
        children: dict[str, Step] = {}
        for key in value:
            name = key[1:] if key[:1] == "_" else key
            step = plan.get(name)
            if step is None:
                if key == "resourceType":
                    continue
                raise _unknown(content, key)
            if step.kind == "attribute":
                attributes += f' {name}="{_scalar(value[key])}"'
            else:
                children[name] = step
        out = self.out
        out.append(f"{self.gap(depth)}<{tag}{attributes}")
        if not children:
            out.append("/>")
            return
        out.append(">")
        for name, step in sorted(children.items(), key=lambda item: item[1].order):
            self.property(name, step, value.get(name), value.get("_" + name), depth + 1)
        out.append(f"{self.gap(depth)}</{tag}>")

    def property(self, name: str, step: Step, value: Any, sibling: Any, depth: int) -> None:
        if not step.repeats:
            self.one(name, step, value, sibling, depth)
            return
        values = value if isinstance(value, list) else []
        siblings = sibling if isinstance(sibling, list) else []
        for index in range(max(len(values), len(siblings))):
            self.one(
                name,
                step,
                values[index] if index < len(values) else None,
                siblings[index] if index < len(siblings) else None,
                depth,
            )

    def one(self, name: str, step: Step, value: Any, sibling: Any, depth: int) -> None:
        if step.kind == "object":
            self.object(name, value, step.content, depth)
        elif step.kind == "resource":
            self.out.append(f"{self.gap(depth)}<{name}>")
            self.resource(value, "", depth + 1)
            self.out.append(f"{self.gap(depth)}</{name}>")
        elif step.kind == "xhtml":
            self.out.append(self.gap(depth) + _div(str(value)))
        elif sibling is None:
            self.out.append(f'{self.gap(depth)}<{name} value="{_scalar(value)}"/>')
        else:
            text = "" if value is None else f' value="{_scalar(value)}"'
            extended = {key: inner for key, inner in sibling.items() if key != "id"}
            identity = f' id="{_scalar(sibling["id"])}"' if "id" in sibling else ""
            self.object(name, extended, "Element", depth, identity + text)


def _div(text: str) -> str:
    """The narrative as it is when it is one well-formed element, else as plain text in a div."""
    parser = expat.ParserCreate("utf-8")
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError:
        return f'<div xmlns="{XHTML}">{_attribute(text)}</div>'
    return text.strip()


def _unknown(content: str, name: str) -> BadRequest:
    return BadRequest(f"{content} has no element '{name}', so it cannot be written as XML.", code="structure")
