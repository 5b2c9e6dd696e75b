"""Whether the text of a reference may stand where it stands. R4B 2.3.0 (references)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.primitives import show

_space = re.compile(r"\s").search
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch
_relative = re.compile(r"([A-Za-z]+)/([^/?#|\s]*)(?:/_history/([^/?#|\s]*))?(?:#\S*)?").fullmatch
_conditional = re.compile(r"([A-Za-z]+)\?\S+").fullmatch
_restful = re.compile(
    r"https?://[^\s?#]+/([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#\S*)?", re.ASCII
).fullmatch
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII).fullmatch


def reference_problem(text: str, contained: Mapping[str, str], inside: bool, conditional: bool) -> str | None:
    """A sentence when `text` is no reference that FHIR knows, else None."""
    if text[0] == "#":
        if text[1:] in contained or (text == "#" and inside):
            return None
        return f"{show(text)} points to a contained resource that is not there (ref-1)."
    return _syntax(text, conditional)


def target_problem(text: object, stated: object, targets: tuple[str, ...], contained: Mapping[str, str]) -> str | None:
    """A sentence when the type that the reference or Reference.type names is not one of `targets`, else None."""
    named = (_type_of(text) or contained.get(text[1:])) if isinstance(text, str) else None
    if type(stated) is str and stated:
        if named is not None and stated != named and definitions().is_resource(stated):
            return f"Reference.type says {stated}, but the reference is to {named}; make them the same."
        named = named or (stated if definitions().is_resource(stated) else None)
    if named is None or not targets or named in targets:
        return None
    return f"A reference to {named} is not allowed here; it must be to {' or '.join(targets)}."


@lru_cache(maxsize=16384)
def _syntax(text: str, conditional: bool) -> str | None:
    if _space(text):
        return f"{show(text)} is not a reference: it must not hold spaces."
    match = _relative(text)
    if match:
        type_, id_, version = match.groups()
        if not definitions().is_resource(type_):
            return f"{show(text)} is not a reference: FHIR R4B has no resource type {show(type_)}."
        if not _id(id_) or (version is not None and not _id(version)):
            return f"{show(text)} is not a reference: its id is not valid (1 to 64 of A-Z a-z 0-9 - .)."
        return None
    match = _conditional(text)
    if match and definitions().is_resource(match[1]):
        if conditional:
            return None
        return f"{show(text)} is a conditional reference; these are only allowed in a transaction Bundle."
    if _scheme(text):
        return None
    return f"{show(text)} is not a reference; write Type/id, an absolute URL, urn:uuid:... or #id."


@lru_cache(maxsize=16384)
def _type_of(text: str) -> str | None:
    match = _relative(text) or _restful(text) or _conditional(text)
    return match[1] if match and definitions().is_resource(match[1]) else None
