"""Versions of code systems and value sets: which one is later, and which ones a pattern allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_WILD = frozenset({"x", "X", "*"})
_DATE = re.compile(r"\d{4}(-?\d{2}(-?\d{2})?)?\Z")
_SNOMED = "http://snomed.info/sct/"


@lru_cache(maxsize=1024)
def order(version: str | None) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts versions from early to late: numbers as numbers, and releases after their previews."""
    if not version:
        return ()
    main, _, label = version.partition("-") if not _DATE.match(version) else (version, "", "")
    parts = [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"[./\-]", main)]
    parts.append((1, 0, "") if not label else (0, 0, label))
    return tuple(parts)


def latest(versions: Iterable[str | None]) -> str | None:
    """The latest of several, None when there is none."""
    return max(versions, key=order, default=None)


def has_wildcards(version: str) -> bool:
    """True for ``1.x``, ``1.0.*`` and ``1.0?``."""
    core = re.split(r"[-+]", version, maxsplit=1)[0]
    return version.endswith("?") or any(part in _WILD for part in core.split("."))


def matches(pattern: str, version: str | None) -> bool:
    """True when `version` is `pattern`, or one that it allows: ``1.x`` allows 1.2.0, a SNOMED CT edition any of its
    versions, ``2024`` or ``2024-03`` a date within."""
    if version is None:
        return False
    if pattern == version:
        return True
    if pattern.startswith(_SNOMED):
        return version.startswith(f"{pattern}/version/")
    if _DATE.match(pattern) and len(pattern) < len(version) and _DATE.match(version):
        return version.startswith(pattern)
    if not has_wildcards(pattern):
        return False
    open_ended = pattern.endswith("?")
    asked = pattern.removesuffix("?").split(".")
    have = re.split(r"[-+]", version, maxsplit=1)[0].split(".")
    if len(asked) > len(have) or (len(asked) < len(have) and not open_ended and asked[-1] not in _WILD):
        return False
    return all(one in _WILD or one == other for one, other in zip(asked, have, strict=False))


def listed(versions: Iterable[str | None]) -> str:
    """Versions for a message: ``1.0.0``, ``1.0.0 or 1.2.0``, ``1, 2 and 3``."""
    known = sorted({version for version in versions if version})
    if len(known) <= 2:
        return " or ".join(known)
    return f"{', '.join(known[:-1])} and {known[-1]}"
