"""Which format a request is in and which one its answer takes. R4B 3.1.0.1.8 (content types), 3.1.0.1.9 (versions).

A header's text is parsed once: everything here is cached by the text of the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fhir_server.r4b.outcome import NotAcceptable, UnsupportedMediaType
from fhir_server.rest.formats import FORMATS, Format, format_named, format_of

FHIR_VERSIONS: Final = {"4.3": "4.3.0", "4.0": "4.0.1"}
#: Resource types of R4B that R4 does not have.
ONLY_R4B: Final = frozenset(
    (
        "AdministrableProductDefinition",
        "Citation",
        "ClinicalUseDefinition",
        "EvidenceReport",
        "Ingredient",
        "ManufacturedItemDefinition",
        "MedicinalProductDefinition",
        "NutritionProduct",
        "PackagedProductDefinition",
        "RegulatedAuthorization",
        "SubscriptionStatus",
        "SubscriptionTopic",
        "SubstanceDefinition",
    )
)
_DEFAULT_VERSION: Final = "4.3"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the answer is written in. content_type is the whole header value; version "4.3" or "4.0"."""

    format: Format
    content_type: bytes
    version: str = _DEFAULT_VERSION


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One entry of an Accept header: lower-case type, parameters but q, quality 0..1, place in the header."""

    type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float
    place: int

    def parameter(self, name: str) -> str | None:
        return next((value for key, value in self.parameters if key == name), None)


def parse_media_type(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """``a/b; c="d"`` -> ("a/b", (("c", "d"),)); names lower-case."""
    head, *rest = text.split(";")
    parameters = []
    for part in rest:
        name, _, value = part.partition("=")
        if name.strip():
            parameters.append((name.strip().lower(), value.strip().strip('"')))
    return head.strip().lower(), tuple(parameters)


@lru_cache(maxsize=512)
def parse_accept(text: str) -> tuple[MediaRange, ...]:
    """Media ranges of an Accept header, best first (quality, then precision, then place). An odd q counts as 1."""
    ranges = []
    for place, part in enumerate(text.split(",")):
        if not part.strip():
            continue
        media, parameters = parse_media_type(part)
        quality, kept = 1.0, []
        for name, value in parameters:
            if name == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 1.0
            else:
                kept.append((name, value))
        # An unencoded '+' that a client's library turned into a space.
        ranges.append(MediaRange(media.replace("application/fhir ", "application/fhir+"), tuple(kept), quality, place))
    return tuple(sorted(ranges, key=lambda each: (-each.quality, _vagueness(each.type), each.place)))


def _vagueness(media: str) -> int:
    return 2 if media == "*/*" else 1 if media.endswith("/*") else 0


def _version(text: str | None) -> str | None:
    """The server's name of a fhirVersion parameter's value, "" when absent, None when the version is not spoken."""
    if text is None:
        return ""
    major_minor = ".".join(text.split(".")[:2])
    return major_minor if major_minor in FHIR_VERSIONS else None


@lru_cache(maxsize=512)
def accepted(accept: str, format_parameter: str = "") -> Accepted:
    """The answer's format. `_format` wins over Accept; neither: FHIR JSON. Raises NotAcceptable (406)."""
    if format_parameter:
        media, parameters = parse_media_type(format_parameter.replace(" ", "+"))
        found = format_named(media)
        version = _version(dict(parameters).get("fhirversion"))
        if found is None or version is None:
            raise NotAcceptable(f"_format is not one that this server writes; use one of: {_names()}.")
        return _accepted(found, found.media_types[0] if "/" not in media else media, version)
    ranges = parse_accept(accept or "*/*")
    refused = {each.type for each in ranges if each.quality == 0}
    for media_range in ranges:
        if media_range.quality == 0:
            continue
        version = _version(media_range.parameter("fhirversion"))
        if version is None:
            continue
        found, media = _matching(media_range.type, refused)
        if found is not None:
            return _accepted(found, media, version)
    raise NotAcceptable(f"Nothing that Accept names can be given (or not in that fhirVersion); use one of: {_names()}.")


def _matching(media: str, refused: set[str]) -> tuple[Format | None, str]:
    if media in ("*/*", "application/*", "text/*"):
        for found in FORMATS:
            offers = found.media_types if media != "text/*" else tuple(m for m in found.also if m.startswith("text/"))
            for offer in offers:
                if offer not in refused:
                    return found, offer
        return None, ""
    return format_of(media), media


def _accepted(found: Format, media: str, version: str) -> Accepted:
    shown = found.media_types[0] if media in found.legacy else media
    suffix = f"; fhirVersion={version}" if version else ""
    return Accepted(found, f"{shown}; charset=utf-8{suffix}".encode(), version or _DEFAULT_VERSION)


def _names() -> str:
    return ", ".join(each.media_types[0] for each in FORMATS)


@lru_cache(maxsize=512)
def body_format(content_type: str) -> Format:
    """The format of a request's body. No Content-Type counts as FHIR JSON. Raises UnsupportedMediaType (415)."""
    if not content_type:
        return FORMATS[0]
    media, parameters = parse_media_type(content_type)
    values = dict(parameters)
    found = format_of(media)
    if found is None:
        raise UnsupportedMediaType(f"The body's Content-Type is not one that is read here; use one of: {_names()}.")
    if values.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("FHIR is exchanged in UTF-8; send the body in UTF-8.")
    if _version(values.get("fhirversion")) is None:
        raise UnsupportedMediaType(f"fhirVersion of the body must be one of: {', '.join(FHIR_VERSIONS)}.")
    return found


def wants_fhir(accept: str, stored_type: str = "") -> bool:
    """False when a Binary's reader prefers the content itself to a FHIR resource.

    R4B Binary: "Accept" that names a FHIR format gets the resource; anything else gets the content in its own type.
    `*/*` and no Accept get the content, as a browser or a plain download would.
    """
    for media_range in parse_accept(accept or "*/*"):
        if media_range.quality == 0:
            continue
        found = format_of(media_range.type)
        return found is not None and media_range.type != stored_type.partition(";")[0].strip().lower()
    return False
