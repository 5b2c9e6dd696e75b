"""Reference parameters, by id, type/id, URL, identifier and hierarchy. R4B 3.1.1.4.13."""

from __future__ import annotations

import re

from fhir_server.r4b.definitions import definitions
from fhir_server.search.criteria.context import Context, Field, Need, UnsupportedModifier, any_of, bad
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.criteria.tokens import plain
from fhir_server.search.fold import fold
from fhir_server.search.query import Node, Nothing, Reference, String, Uri
from fhir_server.search.values import reference_key, split_canonical

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII).fullmatch
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+", re.ASCII).fullmatch
#: The parameter that makes a hierarchy of a type's resources (R4B 3.1.1.4.13, "above" and "below").
_HIERARCHIES = {
    "Location": "partof",
    "Organization": "partof",
    "Encounter": "part-of",
    "Procedure": "part-of",
    "Observation": "part-of",
    "Task": "part-of",
    "CarePlan": "part-of",
    "ResearchStudy": "partof",
    "MedicationStatement": "part-of",
    "Communication": "part-of",
    "ImmunizationRecommendation": "",
}


def reference(field: Field, modifier: str, value: str, context: Context) -> Node:
    match modifier:
        case "":
            return _literal(field, "", value, context)
        case "identifier":
            return plain(field, f"{field.param}:identifier", value)
        case "text":
            return String(f"{field.param}:text", "starts", fold(unescape(value)))
        case "above" | "below":
            return _hierarchy(field, modifier, value, context)
        case _ if definitions().is_resource(modifier):
            if modifier not in field.targets:
                raise bad(field.name, f"'{field.param}' does not refer to {modifier}")
            return _literal(field, modifier, value, context)
        case _:
            raise UnsupportedModifier(
                f"the modifier ':{modifier}' is not defined for reference parameters, nor is it a type"
            )


def _literal(field: Field, wanted: str, value: str, context: Context) -> Node:
    nodes: list[Node] = []
    if "reference" in field.shape.tables:
        nodes.append(Reference(field.param, *_key(field, wanted, unescape(value), context)))
    if "uri" in field.shape.tables:
        url, version = split_canonical("|".join(unescape(part) for part in split(value, "|")))
        nodes.append(Uri(field.param, "exact", url, version or None))
    return any_of(nodes)


def _key(field: Field, wanted: str, text: str, context: Context) -> tuple[str | None, str]:
    if _ID(text):
        if wanted:
            return wanted, text
        # A parameter with one target leaves no doubt which type is meant, and is found faster with it.
        return (field.targets[0] if len(field.targets) == 1 else None), text
    type, id = reference_key(text, context.base_urls)
    if type:
        if wanted and type != wanted:
            raise bad(field.name, f"'{text}' is not a {wanted}")
        return type, id
    if _ABSOLUTE(text) or "uri" in field.shape.tables:
        return "", id
    raise bad(field.name, f"'{text}' is not an id, type/id or absolute URL")


def _hierarchy(field: Field, modifier: str, value: str, context: Context) -> Node:
    type, id = _key(field, "", unescape(value), context)
    if type is None:
        raise bad(field.name, f":{modifier} needs type/id")
    via = _HIERARCHIES.get(type, "")
    if not via:
        raise bad(field.name, f"{type or 'a remote resource'} has no hierarchy, which :{modifier} needs")
    there, members = context.answer(Need("below" if modifier == "below" else "above", f"{type}/{id}", via))
    if not there:
        return Nothing()
    return any_of([Reference(field.param, type, id), *(Reference(field.param, *member) for member in members or ())])
