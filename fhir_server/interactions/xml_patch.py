"""XML Patch (RFC 5261) over the XML form of a resource, all or nothing. Pure.

Selectors are RFC 5261's part of XPath 1.0, and in predicates also paths, because FHIR keeps values in attributes
(``f:Patient/f:identifier[f:system/@value='urn:x']``). An unprefixed name without a default namespace is FHIR's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from lxml import etree

from fhir_server.r4b.outcome import BadRequest, Unprocessable
from fhir_server.r4b.xml_plan import FHIR

_MOST: Final = 10_000
_LONGEST: Final = 4096
_NAME: Final = r"[A-Za-z_][\w.\-]*"
_TOKEN: Final = re.compile(
    rf"(?P<space>\s+)|(?P<literal>'[^']*'|\"[^\"]*\")|(?P<number>\d+)|(?P<call>(?:last|position|text|comment)\s*\(\s*\))"
    rf"|(?P<name>@?(?:{_NAME}:)?{_NAME})|(?P<symbol>[/\[\].*=@])"
)
#: Stands for the default namespace, which XPath 1.0 has not.
_UNPREFIXED: Final = "fhir-default"
_OPERATIONS: Final = ("add", "replace", "remove")


def apply(document: bytes, patch: bytes) -> bytes:
    """The patched XML document. document: one resource's XML.

    Raises BadRequest when `patch` is not an XML Patch document, Unprocessable when an operation cannot be done on this
    document. The expression of the issue is the operation's place, e.g. ``/diff/*[2]``."""
    operations = [each for each in _parsed(patch) if isinstance(each.tag, str)]
    if not operations:
        raise BadRequest("An XML Patch holds the elements add, replace and remove.", code="structure")
    if len(operations) > _MOST:
        raise BadRequest(f"An XML Patch has at most {_MOST:,} operations.", code="too-long")
    tree = etree.ElementTree(etree.fromstring(document, _parser()))
    for place, operation in enumerate(operations, 1):
        _apply(tree, operation, f"/diff/*[{place}]")
    result: bytes = etree.tostring(tree, encoding="utf-8")
    return result


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _parsed(patch: bytes) -> Any:
    try:
        root = etree.fromstring(patch, _parser())
    except etree.XMLSyntaxError as error:
        raise BadRequest(f"The patch is not XML: {error.msg}.", code="structure") from None
    if root.getroottree().docinfo.doctype:
        raise BadRequest("A document type is not allowed; remove <!DOCTYPE ...>.", code="structure")
    return root


def _apply(tree: Any, operation: Any, where: str) -> None:
    name = etree.QName(operation).localname
    if name not in _OPERATIONS:
        raise BadRequest(f"<{name}> is not an operation; use add, replace or remove.", code="value", expression=where)
    known = {"add": {"sel", "pos", "type"}, "replace": {"sel"}, "remove": {"sel", "ws"}}[name]
    odd = sorted(set(operation.attrib) - known)
    if odd:
        raise BadRequest(f"<{name}> has no attribute '{odd[0]}'.", code="value", expression=where)
    target = _target(tree, operation, where)
    if name == "add":
        _add(tree, operation, target, where)
    elif name == "replace":
        _replace(tree, operation, target, where)
    else:
        _remove(tree, operation, target, where)


def _target(tree: Any, operation: Any, where: str) -> Any:
    """The one node that `sel` names."""
    selector = operation.get("sel")
    if not selector:
        raise BadRequest("An operation needs the attribute 'sel'.", code="required", expression=where)
    path, spaces = _xpath(selector, operation.nsmap, where)
    try:
        found = tree.xpath(path, namespaces=spaces)
    except etree.XPathError:
        raise BadRequest(f"'{selector}' is not a selector.", code="value", expression=where) from None
    if not isinstance(found, list):
        raise BadRequest(f"'{selector}' does not select a node.", code="value", expression=where)
    if len(found) != 1:
        many = "nothing" if not found else f"{len(found)} nodes"
        raise Unprocessable(f"'{selector}' selects {many}; it must select one.", code="not-found", expression=where)
    return found[0]


def _xpath(selector: str, declared: Mapping[str | None, str], where: str) -> tuple[str, dict[str, str]]:
    """(XPath, its namespaces). Names without a prefix get one."""
    if len(selector) > _LONGEST:
        raise BadRequest("A selector is too long.", code="too-long", expression=where)
    spaces = {prefix: uri for prefix, uri in declared.items() if prefix}
    spaces[_UNPREFIXED] = declared.get(None) or FHIR
    parts: list[str] = []
    at = 0
    while at < len(selector):
        match = _TOKEN.match(selector, at)
        if match is None:
            raise BadRequest(
                f"'{selector}' is not a selector of XML Patch (at '{selector[at : at + 20]}').",
                code="value",
                expression=where,
            )
        at = match.end()
        text = match[0]
        if match["name"] and not text.startswith("@") and ":" not in text:
            text = f"{_UNPREFIXED}:{text}"
        elif match["name"] and ":" in text and text.lstrip("@").partition(":")[0] not in {*spaces, "xml"}:
            raise BadRequest(f"The prefix in '{text}' is not declared.", code="value", expression=where)
        parts.append(text)
    path = "".join(parts)
    if "//" in path:
        raise BadRequest(f"'{selector}': write every step of the path.", code="value", expression=where)
    # A relative path starts at the document, not at its root element.
    return path if path.startswith("/") else f"/{path}", spaces


def _is_attribute(node: Any) -> bool:
    return bool(getattr(node, "is_attribute", False))


def _add(tree: Any, operation: Any, target: Any, where: str) -> None:
    if not isinstance(getattr(target, "tag", None), str):
        raise Unprocessable("<add> needs an element to add to.", expression=where)
    kind, place = operation.get("type"), operation.get("pos")
    if kind is not None:
        if not kind.startswith("@") or place is not None:
            raise BadRequest('The type of <add> is an attribute: type="@name", without pos.', expression=where)
        name = kind[1:]
        if name in target.attrib:
            raise Unprocessable(f"The attribute '{name}' is there already; replace it.", expression=where)
        target.set(name, _text(operation))
        return
    added = _elements(operation, where)
    if place in ("before", "after"):
        parent = target.getparent()
        if parent is None:
            raise Unprocessable("Nothing can stand beside the root.", expression=where)
        index = parent.index(target) + (place == "after")
    elif place == "prepend":
        parent, index = target, 0
    elif place is None:
        parent, index = target, len(target)
    else:
        raise BadRequest("The pos of <add> is before, after or prepend.", code="value", expression=where)
    for offset, element in enumerate(added):
        parent.insert(index + offset, element)


def _replace(tree: Any, operation: Any, target: Any, where: str) -> None:
    if _is_attribute(target):
        target.getparent().set(target.attrname, _text(operation))
        return
    if not isinstance(getattr(target, "tag", None), str):
        raise Unprocessable("<replace> works on an element or an attribute.", expression=where)
    added = _elements(operation, where)
    if len(added) != 1:
        raise BadRequest("<replace> of an element holds exactly one element.", code="structure", expression=where)
    parent = target.getparent()
    if parent is None:
        tree._setroot(added[0])
        return
    parent.replace(target, added[0])


def _remove(tree: Any, operation: Any, target: Any, where: str) -> None:
    # ws asks to take the white space beside it along: what is kept here has none.
    if operation.get("ws") not in (None, "before", "after", "both"):
        raise BadRequest("The ws of <remove> is before, after or both.", code="value", expression=where)
    if _is_attribute(target):
        del target.getparent().attrib[target.attrname]
        return
    parent = target.getparent() if hasattr(target, "getparent") else None
    if parent is None or not isinstance(getattr(target, "tag", None), str):
        raise Unprocessable("<remove> works on an element below the root, or an attribute.", expression=where)
    parent.remove(target)


def _text(operation: Any) -> str:
    return (operation.text or "").strip()


def _elements(operation: Any, where: str) -> list[Any]:
    """Copies of what the operation holds, in FHIR's namespace where they have none."""
    found = []
    for child in operation:
        if not isinstance(child.tag, str):
            continue
        copied = deepcopy(child)
        copied.tail = None
        for element in copied.iter():
            if isinstance(element.tag, str) and not element.tag.startswith("{"):
                element.tag = f"{{{FHIR}}}{element.tag}"
        found.append(copied)
    if not found:
        raise BadRequest("The operation holds no element.", code="structure", expression=where)
    return found
