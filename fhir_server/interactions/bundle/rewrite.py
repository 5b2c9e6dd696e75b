"""Links of a transaction's resources to what the entries become. R4B 3.1.0.11.2, 2.36.4.1 (resolving references).

Most resources need one pass of a regular expression over their bytes. Where a link may stand elsewhere than in
Reference.reference (uri, url, oid, uuid, narrative), the table-driven walk of fhir_server.r4b.references does it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.references import Found, parse_reference, rewrite_references

if TYPE_CHECKING:
    from fhir_server.r4b.codec import Limits

_REFERENCE: Final = re.compile(rb'"reference"\s*:\s*"([^"\\]*)"')
_ESCAPED: Final = re.compile(rb'"reference"\s*:\s*"[^"\\]*\\')
_LINK: Final = re.compile(rb"""\b(?:href|src)\s*=\s*(?:\\"|')([^"'\\]*)""")
_URN: Final = re.compile(rb'"(urn:(?:uuid|oid):[^"\\]*)"')
_URL: Final = re.compile(rb'"(https?:(?:/|\\/)[^"]*)"')
_RESTFUL: Final = re.compile(
    r"(https?://.+)/([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")


def base_of(full_url: str | None) -> str | None:
    """The RESTful base that relative references in an entry with this fullUrl start from, None without one."""
    match = _RESTFUL.fullmatch(full_url) if full_url and full_url.startswith("http") else None
    return match[1] if match is not None and definitions().is_resource(match[2]) else None


def conditional_references(raw: bytes) -> set[str]:
    """Texts of the conditional references (``Patient?identifier=...``) in a resource's bytes."""
    if b"?" not in raw:
        return set()
    if _ESCAPED.search(raw):
        texts = [found.text for found in _walk(raw)]
    else:
        texts = [match.decode() for match in _REFERENCE.findall(raw) if b"?" in match]
    return {text for text in texts if "?" in text and parse_reference(text).kind == "conditional"}


def _walk(raw: bytes) -> list[Found]:
    from fhir_server.r4b.references import find_references

    return [found for found in find_references(codec.decode(raw)) if found.kind == "reference"]


class Links:
    """fullUrl -> ``Type/id``, and conditional reference -> ``Type/id``."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)
        self._urls = any(url.startswith("http") for url in targets)
        self._conditional: dict[str, str] = {}
        self._known: dict[tuple[bytes, str | None], bytes | None] = {}

    def add_conditional(self, resolved: Mapping[str, str]) -> None:
        self._conditional.update(resolved)
        self._known.clear()

    def resolve(self, text: str, base: str | None) -> str | None:
        """What a link becomes, None when it stays. Fragments and versions stay on it."""
        found = self._targets.get(text)
        if found is not None:
            return found
        if base is not None and _RELATIVE.fullmatch(text):
            found = self._targets.get(f"{base}/{text}")
            if found is not None:
                return found
        head, mark, fragment = text.partition("#")
        if mark:
            found = self.resolve(head, base) if head else None
            return None if found is None else f"{found}#{fragment}"
        head, mark, version = text.rpartition("/_history/")
        if mark:
            found = self.resolve(head, base)
            return None if found is None else f"{found}/_history/{version}"
        return None

    def rewrite(self, raw: bytes, base: str | None, limits: Limits) -> bytes | Draft:
        """A resource's bytes with its links replaced; a Draft when they had to be parsed for it."""
        if not self._targets and not self._conditional:
            return raw
        if self._needs_walk(raw, base):
            return rewrite_references(codec.parse(raw, limits=limits), self._resolver(base, raw))
        known = self._known

        def replace(match: re.Match[bytes]) -> bytes:
            key = (match[1], base)
            if key not in known:
                text = match[1].decode()
                new = self._conditional.get(text) or self.resolve(text, base)
                known[key] = None if new is None else b'"reference":"%s"' % new.encode()
            return known[key] or match[0]

        return _REFERENCE.sub(replace, raw)

    def _needs_walk(self, raw: bytes, base: str | None) -> bool:
        if b"\\u" in raw or _ESCAPED.search(raw):
            return True
        for link in _LINK.findall(raw):
            if b"&" in link or self.resolve(link.decode(errors="replace"), base) is not None:
                return True
        # Beside the references there may be other elements that equal a fullUrl.
        found = _URN.findall(raw)
        if self._urls:
            found += _URL.findall(raw)
        if not found:
            return False
        referenced = _REFERENCE.findall(raw)
        if len(found) <= len(referenced) and not self._urls and _same(found, referenced):
            return False
        others = list(found)
        for text in referenced:
            if text in others:
                others.remove(text)
        return any(
            b"\\" in text or self.resolve(text.decode(errors="replace"), base) is not None for text in set(others)
        )

    def _resolver(self, base: str | None, raw: bytes) -> _Resolver:
        return _Resolver(self, base, raw)

    def conditional(self, text: str) -> str | None:
        return self._conditional.get(text)


class _Resolver:
    def __init__(self, links: Links, base: str | None, raw: bytes) -> None:
        self._links, self._base = links, base
        self._type = codec.decode(raw).get("resourceType", "")

    def __call__(self, found: Found) -> str | None:
        if found.kind == "uri" and _is_canonical(self._type, found):
            # R4B 3.1.0.11.2: elements of type canonical are not replaced.
            return None
        if found.kind == "reference":
            new = self._links.conditional(found.text)
            if new is not None:
                return new
        return self._links.resolve(found.text, self._base)


def _same(urns: list[bytes], referenced: list[bytes]) -> bool:
    return urns == [text for text in referenced if text.startswith(b"urn:")]


def _is_canonical(type: str, found: Found) -> bool:
    """Whether the element at a path is a canonical. Contained resources are taken by name of the last element only."""
    content, code = type, ""
    for step in found.path:
        if isinstance(step, int):
            continue
        try:
            elements = definitions().elements(content)
        except KeyError:
            return False
        for element in elements.values():
            target = element.json_names.get(step)
            if target is not None:
                code = target.code
                content = element.content or code
                break
        else:
            return False
    return code == "canonical"
