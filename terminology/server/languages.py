"""Languages as clients ask for them (Accept-Language, displayLanguage) and as designations state them (BCP 47)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SUBTAG = re.compile(r"[A-Za-z0-9]{1,8}\Z")
#: How much of a tag must agree, from the strictest.
FULL, REGION, LANGUAGE = 3, 2, 1
#: Quality of the wildcard that an $expand adds: any language is better than none.
_ANY = 0.01


@dataclass(frozen=True, slots=True)
class Tag:
    """A language tag by its parts, in lower case; rest: variants, extensions and private use."""

    text: str
    language: str
    script: str = ""
    region: str = ""
    rest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One language of a list. code may be ``*``. implied: not asked for in so many words."""

    code: str
    quality: float = 1.0
    implied: bool = False


Languages = tuple[Wanted, ...]


@lru_cache(maxsize=1024)
def tag(text: str) -> Tag:
    """The parts of a language tag. Raises ValueError for what is none."""
    parts = text.split("-")
    if not all(_SUBTAG.match(part) for part in parts) or not (parts[0].isalpha() and 2 <= len(parts[0]) <= 8):
        if text.lower().startswith(("i-", "x-")) and all(_SUBTAG.match(part) for part in parts):
            return Tag(text, text.lower())
        raise ValueError(f"{text!r} is not a language tag")
    language, *rest = [part.lower() for part in parts]
    while rest and len(rest[0]) == 3 and rest[0].isalpha():
        language += "-" + rest.pop(0)
    script = rest.pop(0) if rest and len(rest[0]) == 4 and rest[0].isalpha() else ""
    region = ""
    if rest and ((len(rest[0]) == 2 and rest[0].isalpha()) or (len(rest[0]) == 3 and rest[0].isdecimal())):
        region = rest.pop(0)
    return Tag(text, language, script, region, tuple(rest))


@lru_cache(maxsize=512)
def parse(text: str, wildcard: bool) -> Languages:
    """An Accept-Language value, best first. wildcard: add ``*`` when it is not there. Raises ValueError."""
    found: list[Wanted] = []
    for part in text.split(","):
        code, _, parameter = (piece.strip() for piece in part.partition(";"))
        if not code:
            continue
        if code != "*":
            tag(code)
        quality = 1.0
        if parameter:
            name, _, value = (piece.strip() for piece in parameter.partition("="))
            if name != "q":
                raise ValueError(f"{parameter!r} is not a quality")
            quality = float(value)
        found.append(Wanted(code, quality))
    if not found:
        raise ValueError("no language")
    if wildcard and not any(one.code == "*" for one in found):
        found.append(Wanted("*", _ANY, implied=True))
    return tuple(sorted(found, key=lambda one: -one.quality))


def same(asked: str, stated: str, depth: int) -> bool:
    """True when two tags agree as far as `depth`."""
    if asked == stated:
        return True
    try:
        one, other = tag(asked), tag(stated)
    except ValueError:
        return False
    if one.language != other.language:
        return False
    if depth >= REGION and (one.region != other.region or one.script != other.script):
        return False
    return depth < FULL or one.rest == other.rest


def allows(wanted: Wanted, stated: str | None, depth: int) -> bool:
    """True when a designation in the language `stated` is what `wanted` asks for."""
    if wanted.quality <= 0:
        return False
    if wanted.code == "*":
        return True
    return stated is not None and same(wanted.code, stated, depth)


def any_allows(languages: Languages | None, stated: str | None, depth: int) -> bool:
    """As `allows`, for a list; a designation without a language, and no list at all, are always fine."""
    if stated is None or languages is None:
        return True
    return any(allows(one, stated, depth) for one in languages)


def shown(languages: Languages | None) -> str:
    """For messages: ``de``, ``en, en-AU; q=0.4``, ``--`` for none."""
    if languages is None:
        return "--"
    return ", ".join(
        one.code if one.quality == 1 else f"{one.code}; q={_number(one.quality)}"
        for one in languages
        if one.code != "*" and not one.implied
    )


def echoed(languages: Languages) -> str:
    """As a displayLanguage parameter: ``de,*;q=0``."""
    return ",".join(
        one.code if one.quality == 1 else f"{one.code};q={_number(one.quality)}" for one in languages if not one.implied
    )


def _number(value: float) -> str:
    return f"{value:g}"
