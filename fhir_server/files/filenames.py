"""File names as clients send them, made harmless: they are shown and stored, and never opened."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 200
"""Characters kept of a name; its extension stays."""

_SEPARATORS: Final = re.compile(r"[/\\]")


def harmless(name: str | None, *, default: str = "file") -> str:
    """The last part of a path, without control and formatting characters (which could turn "fdp.exe" around), without
    leading dots, at most LONGEST characters. Never empty, never "." or ".."."""
    last = _SEPARATORS.split(name or "")[-1]
    kept = "".join(char for char in unicodedata.normalize("NFC", last) if unicodedata.category(char)[0] != "C")
    kept = " ".join(kept.split()).lstrip(".").strip()
    if len(kept) > LONGEST:
        stem, dot, extension = kept.rpartition(".")
        kept = f"{stem[: LONGEST - len(extension) - 1]}.{extension}" if dot and len(extension) <= 10 else kept[:LONGEST]
    return kept or default
