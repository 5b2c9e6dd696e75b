"""How each property of a type looks in XML, compiled from the tables when first needed. R4B 2.6.1 (XML)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fhir_server.r4b.definitions import definitions

FHIR = "http://hl7.org/fhir"

Kind = Literal["attribute", "string", "number", "boolean", "xhtml", "resource", "object"]

_WHOLE = ("integer", "positiveInt", "unsignedInt", "decimal")


@dataclass(frozen=True, slots=True)
class Step:
    """One property. order: its place in the schema; content: for an object, the key of what is inside it."""

    order: int
    kind: Kind
    repeats: bool
    content: str = ""


@lru_cache(maxsize=2048)
def xml_plan(content: str) -> Mapping[str, Step]:
    """Property name (``valueQuantity``) -> Step, for a resource type, data type or backbone path."""
    known = definitions()
    is_resource = known.is_resource(content)
    plan: dict[str, Step] = {}
    for order, element in enumerate(known.elements(content).values()):
        repeats = element.max != 1
        for name, type_ in element.json_names.items():
            kind: Kind = "object"
            inner = element.content or ""
            if (name == "id" and not is_resource) or (name == "url" and content == "Extension"):
                kind = "attribute"
            elif element.content is not None:
                pass
            elif type_.code == "Resource":
                kind = "resource"
            elif type_.code == "xhtml":
                kind = "xhtml"
            elif type_.code in _WHOLE:
                kind = "number"
            elif type_.code == "boolean":
                kind = "boolean"
            elif known.is_primitive(type_.code):
                kind = "string"
            else:
                inner = type_.code
            plan[name] = Step(order, kind, repeats, inner)
    return plan
