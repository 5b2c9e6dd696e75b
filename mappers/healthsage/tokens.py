"""What a token is, for HealthSage's usage figures: the vendor does not say, so the definition here is our own.

A token is a run of up to 4 letters, digits or underscores, or one other character that is not a space. Input tokens
are those of the note and the specialty; output tokens those of the extractions as compact JSON, without the fields that
the server makes up (`id`, `shortened_id`). The same note therefore always costs the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")


def count(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def output_tokens(extractions: Iterable[Mapping[str, Any]]) -> int:
    kept = [{name: value for name, value in each.items() if name not in ("id", "shortened_id")} for each in extractions]
    return count(json.dumps({"extractions": kept}, separators=(",", ":"), ensure_ascii=False))
