"""String and uri parameters. R4B 3.1.1.4.8 and 3.1.1.4.14."""

from __future__ import annotations

from urllib.parse import urlsplit

from fhir_server.search.criteria.context import Context, Field, UnsupportedModifier, any_of, bad
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.fold import fold
from fhir_server.search.query import Node, String, Uri
from fhir_server.search.values import split_canonical


def string(field: Field, modifier: str, value: str, context: Context) -> Node:
    text = unescape(value)
    match modifier:
        case "" | "text":
            return String(field.param, "starts", fold(text))
        case "contains":
            return String(field.param, "contains", fold(text))
        case "exact":
            return String(field.param, "exact", text)
        case _:
            raise UnsupportedModifier(
                f"the modifier ':{modifier}' is not defined for string parameters such as '{field.param}'"
            )


def uri(field: Field, modifier: str, value: str, context: Context) -> Node:
    version: str | None = None
    if "canonical" in field.shape.types:
        parts = [unescape(part) for part in split(value, "|")]
        if len(parts) > 2 or not parts[0]:
            raise bad(field.name, f"'{value}' is not url or url|version")
        url, version = split_canonical("|".join(parts))
    else:
        url = unescape(value)
    match modifier:
        case "":
            return Uri(field.param, "exact", url, version or None)
        case "below":
            return Uri(field.param, "below", url, version or None)
        case "above":
            return any_of([Uri(field.param, "exact", each, version or None) for each in _ancestors(url)])
        case _:
            raise UnsupportedModifier(
                f"the modifier ':{modifier}' is not defined for uri parameters such as '{field.param}'"
            )


def _ancestors(url: str) -> list[str]:
    """The url and everything above it on its path, with and without a slash at the end; only itself for a urn."""
    parts = urlsplit(url)
    if not parts.netloc:
        return [url]
    base, steps = f"{parts.scheme}://{parts.netloc}", [step for step in parts.path.split("/") if step]
    found = [url]
    for length in range(len(steps), -1, -1):
        above = "/".join([base, *steps[:length]])
        found += [above, f"{above}/"]
    return list(dict.fromkeys(found))
