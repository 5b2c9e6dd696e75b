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
_ESCAPED: Final = re.compile(rb'"(?:reference"\s*:\s*"|urn:|https?:)[^"\\]*\\')
_LINK: Final = re.compile(rb"""(?:href|src)\s*=\s*(?:\\"|')([^"'\\]*)""")
_QUOTED: Final = re.compile(rb'"((?:urn:(?:uuid|oid):|https?:/)[^"\\]*)"')
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
    if _is_escaped(raw):
        texts = [found.text for found in _walk(raw)]
    else:
        texts = [match.decode() for match in _REFERENCE.findall(raw) if b"?" in match]
    return {text for text in texts if "?" in text and parse_reference(text).kind == "conditional"}


def _is_escaped(raw: bytes) -> bool:
    """Whether a link may be written with escapes (``\\/``, ``\\u0041``), which the regular expressions do not read."""
    return (b"\\u" in raw or b"\\/" in raw) and _ESCAPED.search(raw) is not None


def _walk(raw: bytes) -> list[Found]:
    from fhir_server.r4b.references import find_references

    return [found for found in find_references(codec.decode(raw)) if found.kind == "reference"]


class Links:
    """fullUrl -> ``Type/id``, and conditional reference -> ``Type/id``."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)
        self._starts = tuple(
            b'"' + start
            for start in (b"urn:uuid:", b"urn:oid:", b"http")
            if any(u.encode().startswith(start) for u in targets)
        )
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
        if not _is_escaped(raw) and not self._in_narrative(raw, base):
            known = self._known

            def replace(match: re.Match[bytes]) -> bytes:
                key = (match[1], base)
                if key not in known:
                    text = match[1].decode()
                    new = self._conditional.get(text) or self.resolve(text, base)
                    known[key] = None if new is None else b'"reference":"%s"' % new.encode()
                return known[key] or match[0]

            rewritten = _REFERENCE.sub(replace, raw)
            if not self._left(rewritten, base):
                return rewritten
        return rewrite_references(codec.parse(raw, limits=limits), self._resolver(base, raw))

    def _in_narrative(self, raw: bytes, base: str | None) -> bool:
        """Whether the narrative may hold a link to replace."""
        if b"href" not in raw and b"src" not in raw:
            return False
        if b"\\u" in raw:
            return True
        return any(
            b"&" in link or self.resolve(link.decode(errors="replace"), base) is not None for link in _LINK.findall(raw)
        )

    def _left(self, raw: bytes, base: str | None) -> bool:
        """Whether a string beside the references equals a fullUrl; its element's type then decides."""
        if not any(start in raw for start in self._starts):
            return False
        return any(self.resolve(text.decode(errors="replace"), base) is not None for text in set(_QUOTED.findall(raw)))

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
