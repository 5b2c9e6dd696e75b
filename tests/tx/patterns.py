"""Compares an answer with the pattern that HL7's terminology tests give for it. The order of arrays never matters."""

from __future__ import annotations

import re
from typing import Any

_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_KINDS = {
    "$$": r"(?s:.*)",
    "$instant$": _INSTANT,
    "$date$": rf"\d{{4}}-\d\d-\d\d|{_INSTANT}",
    "$uuid$": r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "$string$": r"(?s:\S(.*\S)?)?",
    "$id$": r"[A-Za-z0-9\-.]{1,64}",
    "$url$": r"(https?://|www\.)\S+",
    "$token$": r"\w[\w.\-]*",
    "$semver$": r"\d+\.\d+\.\d+(-[0-9A-Za-z.\-]+)?(\+[0-9A-Za-z.\-]+)?",
}


class Comparer:
    """version: the server's FHIR version, e.g. 4.3.0. modes: those the runner is in. loose: what is not in the pattern
    is allowed (for capability statements). externals: this server's own wording of messages, by number."""

    def __init__(
        self, version: str, modes: frozenset[str], *, loose: bool = False, externals: dict[str, str] | None = None
    ) -> None:
        self._externals = externals or {}
        self._version = version
        self._modes = modes
        self._loose = loose

    def difference(self, pattern: Any, actual: Any, path: str = "") -> str | None:
        """What is wrong first, or None."""
        if isinstance(pattern, dict):
            return self._objects(pattern, actual, path) if isinstance(actual, dict) else f"{path}: not an object"
        if isinstance(pattern, list):
            return self._arrays(pattern, actual, path) if isinstance(actual, list) else f"{path}: not an array"
        if isinstance(pattern, str) and isinstance(actual, str):
            return None if self._text(pattern, actual) else f"{path}: expected {pattern!r}, got {actual!r}"
        if isinstance(pattern, bool) or isinstance(actual, bool) or not isinstance(pattern, int | float):
            return None if pattern == actual and type(pattern) is type(actual) else f"{path}: {pattern!r} / {actual!r}"
        if isinstance(actual, int | float) and float(pattern) == float(actual):
            return None
        return f"{path}: expected {pattern!r}, got {actual!r}"

    def _objects(self, pattern: dict[str, Any], actual: dict[str, Any], path: str) -> str | None:
        optional = set(pattern.get("$optional-properties$", ()))
        counted = set(pattern.get("$count-arrays$", ()))
        for name in actual:
            if name not in pattern and not self._loose:
                return f"{path}.{name}: unexpected ({str(actual[name])[:200]})"
        for name, expected in pattern.items():
            if name.startswith("$"):
                continue
            if name not in actual:
                if name in optional or "*" in optional or self._all_optional(expected):
                    continue
                return f"{path}.{name}: missing"
            if name in counted:
                if len(actual[name]) != len(expected):
                    return f"{path}.{name}: {len(expected)} items expected, {len(actual[name])} found"
                continue
            wrong = self.difference(expected, actual[name], f"{path}.{name}")
            if wrong:
                return wrong
        return None

    def _all_optional(self, expected: Any) -> bool:
        return isinstance(expected, list) and all(not isinstance(one, dict) or "$optional$" in one for one in expected)

    def _arrays(self, pattern: list[Any], actual: list[Any], path: str) -> str | None:
        free = list(range(len(actual)))
        first_wrong = None
        ordered = sorted(range(len(pattern)), key=lambda i: self._is_optional(pattern[i]))
        for place in ordered:
            expected = pattern[place]
            wrongs = []
            for number in free:
                wrong = self.difference(expected, actual[number], f"{path}[{place}]")
                if wrong is None:
                    free.remove(number)
                    break
                wrongs.append((_likeness(expected, actual[number]), wrong))
            else:
                if not self._is_optional(expected):
                    best = max(wrongs, key=lambda one: one[0])[1] if wrongs else f"{path}[{place}]: missing"
                    first_wrong = first_wrong or f"{best}"
        if first_wrong:
            return first_wrong
        if free and not self._loose:
            return f"{path}: unexpected item {str(actual[free[0]])[:300]}"
        return None

    def _is_optional(self, expected: Any) -> bool:
        mark = expected.get("$optional$") if isinstance(expected, dict) else None
        if mark is None or isinstance(mark, bool):
            return bool(mark)
        if mark.startswith("!"):
            return mark[1:] not in self._modes
        if mark.startswith("warning:"):
            return True
        if mark.startswith("version:"):
            return self._version.startswith(mark.removeprefix("version:"))
        return mark in self._modes

    def _text(self, pattern: str, actual: str) -> bool:
        if pattern in _KINDS:
            return re.fullmatch(_KINDS[pattern], actual) is not None
        if pattern == "$version$":
            return actual == self._version
        if pattern.startswith("$choice:"):
            return actual in pattern[8:-1].split("|")
        if pattern.startswith("$fragments:"):
            return all(part.lower() in actual.lower() for part in pattern[11:-1].split("|"))
        if pattern.startswith("$external:"):
            parts = pattern[1:-1].split(":", 2)
            if self._externals.get(parts[1]) == actual:
                return True
            return len(parts) < 3 or all(part.lower() in actual.lower() for part in parts[2].split("|"))
        expected = pattern.replace("$version$", self._version)
        return expected == actual or _letters(expected) == _letters(actual) != ""


def _letters(text: str) -> str:
    """What HL7's own runner compares of texts that differ: it reads both as base64, which passes over punctuation and
    ends at an equals sign."""
    return re.sub(r"[^A-Za-z0-9+/_\-]", "", text.partition("=")[0])


def _likeness(expected: Any, actual: Any) -> int:
    """How many plain values two objects share, to tell which one was meant."""
    if not isinstance(expected, dict) or not isinstance(actual, dict):
        return 0
    found = 0
    for name, value in expected.items():
        have = actual.get(name)
        if isinstance(value, dict | list):
            found += name in actual
            if name == "details" and isinstance(have, dict):
                found += 2 * (str(value.get("coding")) == str(have.get("coding")))
        elif value == have:
            found += 3
    return found
