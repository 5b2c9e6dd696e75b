"""Extensions that a resource uses, against their own definitions (R4B extensibility.html, defining-extensions.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from fhir_server.fhirpath import Context, FhirPathError, holds
from fhir_server.fhirpath.model import children
from fhir_server.fhirpath.types import ancestors
from fhir_server.fhirpath.values import Node
from fhir_server.profiles.profile import Profile
from fhir_server.profiles.validator import Knowledge, validate_profile
from fhir_server.r4b.outcome import Issue

_INDEX = re.compile(r"\[\d+\]")


def extension_issues(root: Node, knowledge: Knowledge, context: Context) -> list[Issue]:
    """For every extension: is it where its definition allows it, and what its definition says. A modifier extension
    that is not known is an error (it may change the meaning); any other unknown one is information."""
    return list(_walk(root, knowledge, context))


def _walk(node: Node, knowledge: Knowledge, context: Context) -> Iterator[Issue]:
    for child in children(node):
        if child.type == "Extension":
            yield from _extension(child, node, knowledge, context)
        elif isinstance(child.value, dict) and "resourceType" in child.value:
            root = context.root if child.key == "contained" else child
            yield from _walk(child, knowledge, replace(context, resource=child, root=root))
        else:
            yield from _walk(child, knowledge, context)


def _extension(node: Node, parent: Node, knowledge: Knowledge, context: Context) -> Iterator[Issue]:
    url = node.value.get("url") if isinstance(node.value, dict) else None
    if not isinstance(url, str) or ":" not in url:
        return
    profile = knowledge.profile(url)
    if profile is None:
        modifier = node.key == "modifierExtension"
        text = f"The extension {url} is not known here, so it was not checked."
        yield Issue("warning" if modifier else "information", "not-supported", text, node.path)
        return
    if not context_allows(profile, parent, context):
        yield Issue("error", "structure", f"The extension {url} may not be used on {_plain(parent)}.", node.path)
    yield from validate_profile(node, profile, knowledge, context)


def _plain(node: Node) -> str:
    return _INDEX.sub("", node.path)


def context_allows(profile: Profile, parent: Node, context: Context) -> bool:
    """True when one of the definition's contexts fits the element that holds the extension."""
    contexts = profile.resource.get("context", ())
    return not contexts or any(
        _fits(str(one.get("type")), str(one.get("expression", "")), parent, context) for one in contexts
    )


def _fits(kind: str, expression: str, parent: Node, context: Context) -> bool:
    if kind == "fhirpath":
        try:
            return context.resource is None or holds(f"({expression}).exists()", context.resource, context)
        except FhirPathError:
            return True
    if kind == "extension":
        return parent.type == "Extension" and parent.value.get("url") == expression
    if expression in ancestors(parent.type) or expression == "Element":
        return True
    path, expression = _plain(parent), expression.replace("[x]", "")
    if expression in (parent.type, f"{parent.parent.type}.{parent.key}" if parent.parent else ""):
        return True
    start = context.resource.type if context.resource is not None else ""
    inner = path.rsplit(start + ".", 1)[-1] if start else path
    return path == expression or f"{start}.{inner}" == expression or path.endswith(f".{expression}")
