"""SearchParameter resources that users add. R4B SearchParameter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhir_server.r4b.definitions import Component, SearchParameter, definitions
from fhir_server.r4b.outcome import Issue, Unprocessable
from fhir_server.search.paths import ExpressionError, leaves_of
from fhir_server.search.registry import Registry
from fhir_server.search.values import emitter

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*", re.ASCII)
_TYPES = frozenset({"number", "date", "string", "token", "reference", "composite", "quantity", "uri"})
_ANY_RESOURCE = frozenset({"Resource", "DomainResource"})


def search_parameter_of(resource: Mapping[str, Any], registry: Registry) -> SearchParameter:
    """A SearchParameter resource as a parameter to add. Raises Unprocessable with every problem found: a code that is
    taken or malformed, an unknown base or target, an expression that is missing, is not supported or finds nothing."""
    parameter = SearchParameter(
        code=resource.get("code", ""),
        type=resource.get("type", ""),
        expression=resource.get("expression", ""),
        bases=tuple(resource.get("base", ())),
        url=resource.get("url", ""),
        targets=tuple(resource.get("target", ())),
        components=tuple(
            Component(part.get("definition", "").partition("|")[0], part.get("expression", ""))
            for part in resource.get("component", ())
        ),
        comparators=tuple(resource.get("comparator", ())),
        modifiers=tuple(resource.get("modifier", ())),
        chain=tuple(resource.get("chain", ())),
        multiple_or=resource.get("multipleOr", True),
        multiple_and=resource.get("multipleAnd", True),
        id=resource.get("id", ""),
        name=resource.get("name", ""),
        description=resource.get("description", ""),
    )
    issues = [
        Issue("error", code, text, f"SearchParameter.{where}") for code, text, where in _problems(parameter, registry)
    ]
    if issues:
        raise Unprocessable(issues=issues)
    return parameter


def _problems(parameter: SearchParameter, registry: Registry) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if not parameter.url:
        found.append(("required", "A search parameter needs a url to be told from others.", "url"))
    if not _CODE.fullmatch(parameter.code):
        found.append(
            ("value", f"'{parameter.code}' cannot be a search parameter's code: use letters, digits, - and _.", "code")
        )
    if parameter.type not in _TYPES:
        found.append(("not-supported", f"Custom parameters of type '{parameter.type}' cannot be indexed.", "type"))
    if not parameter.bases:
        found.append(("required", "Say in base which resource types the parameter is for.", "base"))
    for kind, names in (("base", parameter.bases), ("target", parameter.targets)):
        for name in names:
            if not definitions().is_resource(name) and name not in _ANY_RESOURCE:
                found.append(("value", f"'{name}' is not a resource type.", kind))
    if not parameter.expression:
        found.append(
            (
                "required",
                "A parameter without an expression (FHIRPath) cannot be indexed; xpath is not read.",
                "expression",
            )
        )
    if found:
        return found
    for type in registry.types_of(parameter):
        if taken := registry.taken_by(type, parameter):
            found.append(("duplicate", f"{type} has a search parameter '{parameter.code}' already: {taken}.", "code"))
    found.extend(
        _component_problems(parameter, registry)
        if parameter.type == "composite"
        else _path_problems(parameter, registry)
    )
    return found


def _path_problems(parameter: SearchParameter, registry: Registry) -> list[tuple[str, str, str]]:
    found: set[str] = set()
    indexed = False
    for type in registry.types_of(parameter):
        try:
            leaves = leaves_of(parameter.expression, type)
        except ExpressionError as error:
            found.add(f"The expression cannot be compiled for {type}: {error}.")
            continue
        fits = any(emitter(parameter.type, leaf.type, leaf.element) is not None for leaf in leaves)
        indexed = indexed or fits
        if leaves and not fits:
            kinds = ", ".join(sorted({leaf.type for leaf in leaves}))
            found.add(f"The expression gives {kinds} on {type}, which a {parameter.type} parameter cannot index.")
    if not indexed and not found:
        found.add("The expression finds nothing on any of the base types.")
    return [("invalid", text, "expression") for text in sorted(found)[:5]]


def _component_problems(parameter: SearchParameter, registry: Registry) -> list[tuple[str, str, str]]:
    if len(parameter.components) < 2:
        return [("required", "A composite parameter needs at least two components.", "component")]
    found: list[tuple[str, str, str]] = []
    for number, component in enumerate(parameter.components):
        definition = registry.by_url(component.definition)
        where = f"component[{number}]"
        if definition is None:
            found.append(
                ("not-found", f"No search parameter has the url '{component.definition}'.", f"{where}.definition")
            )
            continue
        for type in registry.types_of(parameter):
            try:
                for leaf in leaves_of(parameter.expression, type):
                    leaves_of(component.expression, leaf.type)
            except ExpressionError as error:
                found.append(
                    ("invalid", f"The expression cannot be compiled for {type}: {error}.", f"{where}.expression")
                )
                break
    return found
