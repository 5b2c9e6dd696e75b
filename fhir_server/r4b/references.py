"""References between resources: what their text means, where they stand, and rewriting them. R4B 2.3 (references)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape, unescape
from typing import Any, Literal, NamedTuple

import msgspec

from fhir_server.r4b.codec import Draft, encode
from fhir_server.r4b.definitions import definitions

_relative = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?(?:#(.*))?", re.ASCII
).fullmatch
_restful = re.compile(
    r"(https?://[^\s?#|]+?)/([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?(?:#(.*))?",
    re.ASCII,
).fullmatch
_conditional = re.compile(r"(?:(https?://[^\s?#|]+?)/)?([A-Z][A-Za-z]+)\?(.+)", re.ASCII).fullmatch
_attribute = re.compile(r"""\b((?:href|src)\s*=\s*)("([^"]*)"|'([^']*)')""")
#: Types whose values R4B 3.1.0.11.2 has replaced in a transaction, besides references and narrative; not canonicals.
_LINKS = frozenset(("uri", "url", "oid", "uuid"))


@dataclass(frozen=True, slots=True)
class ParsedReference:
    """kind: local (``Patient/1``, or absolute at one of our base URLs), remote (another server's RESTful URL),
    contained (``#x``; id is x), urn (urn:uuid: or urn:oid:), conditional (``Patient?identifier=...``), other (any other
    URL). type and id are given for local and remote, version when there is ``/_history/v``; fragment without ``#``;
    url: the text without version and fragment; query: what follows ``?`` of a conditional one."""

    kind: Literal["local", "remote", "contained", "urn", "conditional", "other"]
    url: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    fragment: str | None = None
    query: str | None = None


def parse_reference(text: str, base_urls: Sequence[str] = ()) -> ParsedReference:
    """Never raises; `base_urls` are this server's own, without or with a slash at the end."""
    return _parse(text, tuple(base_urls))


@lru_cache(maxsize=16384)
def _parse(text: str, base_urls: tuple[str, ...]) -> ParsedReference:
    is_resource = definitions().is_resource
    if text.startswith("#"):
        return ParsedReference("contained", "", id=text[1:])
    match = _relative(text)
    if match and is_resource(match[1]):
        type_, id_, version, fragment = match.groups()
        return ParsedReference("local", f"{type_}/{id_}", type_, id_, version, fragment)
    if text.startswith("urn:"):
        url, _, fragment = text.partition("#")
        return ParsedReference("urn", url, fragment=fragment or None)
    ours = frozenset(base.rstrip("/") for base in base_urls)
    match = _restful(text)
    if match and is_resource(match[2]):
        base, type_, id_, version, fragment = match.groups()
        kind: Literal["local", "remote"] = "local" if base in ours else "remote"
        url = f"{type_}/{id_}" if kind == "local" else f"{base}/{type_}/{id_}"
        return ParsedReference(kind, url, type_, id_, version, fragment)
    match = _conditional(text)
    if match and is_resource(match[2]) and (match[1] is None or match[1] in ours):
        return ParsedReference("conditional", f"{match[2]}?{match[3]}", type=match[2], query=match[3])
    url, _, fragment = text.partition("#")
    return ParsedReference("other", url, fragment=fragment or None)


class Found(NamedTuple):
    """A link inside a resource. kind: reference (Reference.reference), uri (uri, url, oid, uuid) or
    narrative (href and src in the XHTML; one Found per attribute). path: keys and indexes from the resource down."""

    kind: Literal["reference", "uri", "narrative"]
    path: tuple[str | int, ...]
    text: str


def find_references(data: dict[str, Any]) -> Iterator[Found]:
    """Every link of a resource, contained resources, extensions and Bundle entries included, in document order.
    Elements that the standard does not know are not looked into."""
    type_ = data.get("resourceType")
    if isinstance(type_, str) and definitions().is_resource(type_):
        for kind, text, path in _walk(data, type_):
            yield Found(kind, tuple(reversed(path)), text)


def rewrite_references(draft: Draft, resolve: Callable[[Found], str | None]) -> Draft:
    """The draft with every link replaced for which `resolve` gives a text; all other bytes stay. Returns the same draft
    when nothing changes; never changes the draft it is given."""
    edits: dict[Any, Any] = {}
    for found in find_references(draft.data):
        new = resolve(found)
        if new is None or new == found.text:
            continue
        node = edits
        for step in found.path[:-1]:
            node = node.setdefault(step, {})
        last = found.path[-1]
        if found.kind == "narrative":
            node.setdefault(last, _Narrative()).links[found.text] = new
        else:
            node[last] = new
    if not edits:
        return draft
    data, raw = _splice(msgspec.Raw(draft.raw), draft.data, edits)
    return Draft(draft.type, draft.id, data, raw)


class _Narrative:
    """Links of one div to replace: old -> new, both without XML escapes."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}

    def applied(self, div: str) -> str:
        def replace(match: re.Match[str]) -> str:
            new = self.links.get(_link(match))
            return match[0] if new is None else f'{match[1]}"{escape(new)}"'

        return _attribute.sub(replace, div)


def _link(match: re.Match[str]) -> str:
    return unescape(match[3] if match[3] is not None else match[4])


def _splice(raw: bytes | msgspec.Raw, value: Any, edit: Any) -> tuple[Any, bytes]:
    """(new value, new bytes): only the branches on the way to an edit are opened."""
    if isinstance(edit, str):
        return edit, encode(edit)
    if isinstance(edit, _Narrative):
        new = edit.applied(value)
        return new, encode(new)
    if isinstance(value, dict):
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        changed = dict(value)
        parts = []
        for name, part in members.items():
            text: bytes | msgspec.Raw = part
            if name in edit:
                changed[name], text = _splice(part, value[name], edit[name])
            parts.append(b"%s:%s" % (encode(name), text))
        return changed, b"{" + b",".join(parts) + b"}"
    items: list[bytes | msgspec.Raw] = list(msgspec.json.decode(raw, type=list[msgspec.Raw]))
    listed = list(value)
    for index, inner in edit.items():
        listed[index], items[index] = _splice(items[index], value[index], inner)
    return listed, b"[" + b",".join(items) + b"]"


#: (kind, text, path from the link up to where the walk began), so that only what is found costs a path.
_Trace = tuple[Literal["reference", "uri", "narrative"], str, list[str | int]]


def _walk(value: dict[str, Any], content: str) -> list[_Trace]:
    plan = _plan(content)
    traces: list[_Trace] = []
    for name, member in value.items():
        step = plan.get(name)
        if step is None:
            continue
        if type(member) is list:
            for index, item in enumerate(member):
                for trace in _step(item, step):
                    trace[2].append(index)
                    trace[2].append(name)
                    traces.append(trace)
        else:
            for trace in _step(member, step):
                trace[2].append(name)
                traces.append(trace)
    return traces


def _step(value: Any, step: str) -> Sequence[_Trace]:
    if type(value) is dict:
        if step[0] == "=":
            return ()
        if step == "Resource":
            inner = value.get("resourceType")
            return _walk(value, inner) if isinstance(inner, str) and definitions().is_resource(inner) else ()
        return _walk(value, step)
    if type(value) is not str:
        return ()
    if step == "=reference":
        return (("reference", value, []),)
    if step == "=uri":
        return (("uri", value, []),)
    if step == "=xhtml":
        return [("narrative", _link(match), []) for match in _attribute.finditer(value)]
    return ()


@lru_cache(maxsize=4096)
def _plan(content: str) -> Mapping[str, str]:
    """Property -> where to go on: a content key, "Resource", or =reference, =uri, =xhtml for a link itself."""
    steps: dict[str, str] = {}
    for element in definitions().elements(content).values():
        for name, type_ in element.json_names.items():
            if content == "Reference" and name == "reference":
                steps[name] = "=reference"
            elif element.content is not None:
                steps[name] = element.content
            elif type_.code in _LINKS:
                steps[name] = "=uri"
            elif type_.code == "xhtml":
                steps[name] = "=xhtml"
            elif type_.code != "Resource" and definitions().is_primitive(type_.code):
                # Only extensions can hold a link there.
                steps["_" + name] = "Element"
                continue
            else:
                steps[name] = type_.code
            if steps[name].startswith("="):
                steps["_" + name] = "Element"
    return steps
