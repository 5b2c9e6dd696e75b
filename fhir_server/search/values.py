"""FHIR values -> index entries: one function for each kind of search parameter and type of element.

Every function takes (names, value, sink, el): the parameters that the value is for, the JSON value, where entries go,
and the ordinal of a composite's element (0 otherwise). R4B 3.1.1.4.4 - 3.1.1.4.17.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fhir_server.r4b.definitions import Element, definitions
from fhir_server.r4b.references import parse_reference
from fhir_server.r4b.times import time_range
from fhir_server.search.amounts import money, number, number_range, position, quantity, quantity_range, sampled_data
from fhir_server.search.entries import MAX_TIME, MIN_TIME
from fhir_server.search.fold import fold_often
from fhir_server.search.sink import Emit, Names, Sink

SPECIAL_VALUES = "http://terminology.hl7.org/CodeSystem/special-values"


def emitter(search_type: str, type: str, element: Element | None) -> Emit | None:
    """How a value of FHIR type `type` is indexed under a parameter of `search_type`; None when it is not."""
    if search_type == "token" and type == "code":
        return _code_emitter(element.binding.value_set if element is not None and element.binding else "")
    if search_type == "reference" and type == "Ingredient.manufacturer":
        # The standard's expression stops at the backbone element.
        return lambda names, value, sink, el: _reference(names, value.get("manufacturer"), sink, el)
    return _EMITTERS.get((search_type, type))


# --- token -----------------------------------------------------------------------------------------------------------


def implied_systems(element: Element | None) -> dict[str, str]:
    """code -> system, for an element of type code with a required binding; {} when the standard implies none."""
    return _systems(element.binding.value_set if element is not None and element.binding else "")


@lru_cache(maxsize=1024)
def _systems(value_set: str) -> dict[str, str]:
    codes = definitions().required_binding(value_set) if value_set else None
    return {code: system for system, code in codes.codes} if codes is not None else {}


@lru_cache(maxsize=1024)
def _code_emitter(value_set: str) -> Emit:
    systems: dict[str, str] | None = None

    def emit(names: Names, value: Any, sink: Sink, el: int) -> None:
        nonlocal systems
        if systems is None:
            systems = _systems(value_set)
        system = systems.get(value, "")
        for param in names.params:
            sink.tokens.append((param, system, _text(value), el))

    return emit


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _boolean(names: Names, value: Any, sink: Sink, el: int) -> None:
    code = "true" if value is True else "false"
    for param in names.params:
        sink.tokens.append((param, SPECIAL_VALUES, code, el))


def _plain_token(names: Names, value: Any, sink: Sink, el: int) -> None:
    for param in names.params:
        sink.tokens.append((param, "", _text(value), el))


def _coding(names: Names, value: Any, sink: Sink, el: int) -> None:
    system, code, display = value.get("system", ""), value.get("code", ""), value.get("display")
    for param in names.params:
        sink.tokens.append((param, system, code, el))
    if display and names.texts:
        folded = fold_often(display)
        for param in names.texts:
            sink.strings.append((param, folded, display, el))


def _concept(names: Names, value: Any, sink: Sink, el: int) -> None:
    codings, text = value.get("coding"), value.get("text")
    if codings:
        for coding in codings:
            _coding(names, coding, sink, el)
    else:
        for param in names.params:
            sink.tokens.append((param, "", "", el))
    if text and names.texts:
        folded = fold_often(text)
        for param in names.texts:
            sink.strings.append((param, folded, text, el))


def _identifier(names: Names, value: Any, sink: Sink, el: int) -> None:
    system, code = value.get("system", ""), value.get("value", "")
    for param in names.params:
        sink.tokens.append((param, system, code, el))
    kind = value.get("type")
    if not kind:
        return
    for coding in kind.get("coding", ()):
        type_code = coding.get("code")
        if type_code and code:
            for param in names.of_types:
                sink.tokens.append((param, coding.get("system", ""), f"{type_code}|{code}", el))
    text = kind.get("text")
    if text:
        for param in names.texts:
            sink.strings.append((param, fold_often(text), text, el))


def _contact_point(names: Names, value: Any, sink: Sink, el: int) -> None:
    # Telephone numbers and mail addresses are not case-sensitive (R4B 3.1.1.4.10: when in doubt, insensitive).
    code = value.get("value", "").casefold()
    system = value.get("system", "")
    for param in names.params:
        sink.tokens.append((param, system, code, el))


def _quantity_token(names: Names, value: Any, sink: Sink, el: int) -> None:
    for param in names.params:
        sink.tokens.append((param, value.get("system", ""), value.get("code", ""), el))


def _concept_of_reference(names: Names, value: Any, sink: Sink, el: int) -> None:
    concept = value.get("concept")
    if concept:
        _concept(names, concept, sink, el)


# --- string ----------------------------------------------------------------------------------------------------------


def _string(names: Names, value: Any, sink: Sink, el: int) -> None:
    folded = fold_often(_text(value))
    for param in names.params:
        sink.strings.append((param, folded, value, el))


def _human_name(names: Names, value: Any, sink: Sink, el: int) -> None:
    for part in ("text", "family"):
        if part in value:
            _string(names, value[part], sink, el)
    for part in ("given", "prefix", "suffix"):
        for text in value.get(part, ()):
            if text is not None:
                _string(names, text, sink, el)


def _address(names: Names, value: Any, sink: Sink, el: int) -> None:
    for part in ("text", "city", "district", "state", "postalCode", "country"):
        if part in value:
            _string(names, value[part], sink, el)
    for text in value.get("line", ()):
        if text is not None:
            _string(names, text, sink, el)


# --- date ------------------------------------------------------------------------------------------------------------


def _date(names: Names, value: Any, sink: Sink, el: int) -> None:
    found = time_range(value)
    if found is not None:
        for param in names.params:
            sink.dates.append((param, found[0], found[1], el))


def _period(names: Names, value: Any, sink: Sink, el: int) -> None:
    found = _period_range(value)
    if found is not None:
        for param in names.params:
            sink.dates.append((param, found[0], found[1], el))


def _period_range(value: Any) -> tuple[int, int] | None:
    start, end = value.get("start"), value.get("end")
    first = time_range(start) if start else None
    last = time_range(end) if end else None
    if first is None and last is None:
        return None
    return (first[0] if first else MIN_TIME), (last[1] if last else MAX_TIME)


def _timing(names: Names, value: Any, sink: Sink, el: int) -> None:
    """Only the outer limits of a schedule count (R4B 3.1.1.4.7)."""
    ranges = [found for event in value.get("event", ()) if event and (found := time_range(event)) is not None]
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if bounds and (found := _period_range(bounds)) is not None:
        ranges.append(found)
    if ranges:
        lo, hi = min(r[0] for r in ranges), max(r[1] for r in ranges)
        for param in names.params:
            sink.dates.append((param, lo, hi, el))


# --- reference and uri -----------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})", re.ASCII).fullmatch


def reference_key(text: str, base_urls: Sequence[str]) -> tuple[str, str]:
    """A literal reference as it is indexed: (type, id) here, ('', url) elsewhere, ('', '#id') contained."""
    match = _LOCAL(text)
    if match is not None and definitions().is_resource(match[1]):
        return match[1], match[2]
    if text.startswith("#"):
        return "", text
    parsed = parse_reference(text, base_urls)
    if parsed.kind == "local" and parsed.type and parsed.id:
        return parsed.type, parsed.id
    return "", parsed.url


def _reference(names: Names, value: Any, sink: Sink, el: int) -> None:
    text = value.get("reference")
    type, id = reference_key(text, sink.base_urls) if text else ("", "")
    for param in names.params:
        sink.references.append((param, type, id, el))
    identifier = value.get("identifier")
    if identifier:
        for param in names.identifiers:
            sink.tokens.append((param, identifier.get("system", ""), identifier.get("value", ""), el))
    display = value.get("display")
    if display and names.texts:
        folded = fold_often(display)
        for param in names.texts:
            sink.strings.append((param, folded, display, el))


def _reference_of_codeable(names: Names, value: Any, sink: Sink, el: int) -> None:
    reference = value.get("reference")
    if reference:
        _reference(names, reference, sink, el)


def _inline_resource(names: Names, value: Any, sink: Sink, el: int) -> None:
    """Bundle.composition and Bundle.message: the resource stands in place of a reference to it."""
    for param in names.params:
        sink.references.append((param, value["resourceType"], value.get("id", ""), el))


def _attachment(names: Names, value: Any, sink: Sink, el: int) -> None:
    if value.get("url"):
        type, id = reference_key(value["url"], sink.base_urls)
        for param in names.params:
            sink.references.append((param, type, id, el))


def _uri(names: Names, value: Any, sink: Sink, el: int) -> None:
    for param in names.params:
        sink.uris.append((param, _text(value), "", el))


def _canonical(names: Names, value: Any, sink: Sink, el: int) -> None:
    url, version = split_canonical(value)
    for param in names.params:
        sink.uris.append((param, url, version, el))


def split_canonical(text: str) -> tuple[str, str]:
    """``url|version#fragment`` -> (url, version or '')."""
    url, _, version = text.partition("|")
    return (url.partition("#")[0] or url), version.partition("#")[0]


_TOKENS: dict[str, Emit] = {
    "Coding": _coding,
    "CodeableConcept": _concept,
    "CodeableReference": _concept_of_reference,
    "Identifier": _identifier,
    "ContactPoint": _contact_point,
    "Quantity": _quantity_token,
    "boolean": _boolean,
}
_PRIMITIVE_TOKENS = ("string", "id", "uri", "url", "canonical", "oid", "uuid", "date", "dateTime", "markdown")
_QUANTITIES = ("Quantity", "Age", "Duration", "Count", "Distance", "SimpleQuantity", "MoneyQuantity")
_EMITTERS: dict[tuple[str, str], Emit] = {
    **{("token", type): emit for type, emit in _TOKENS.items()},
    **{("token", type): _plain_token for type in _PRIMITIVE_TOKENS},
    **{("string", type): _string for type in ("string", "markdown", "code", "id", "uri", "url", "canonical")},
    ("string", "HumanName"): _human_name,
    ("string", "Address"): _address,
    **{("date", type): _date for type in ("date", "dateTime", "instant")},
    ("date", "Period"): _period,
    ("date", "Timing"): _timing,
    **{("number", type): number for type in ("decimal", "integer", "positiveInt", "unsignedInt")},
    ("number", "Range"): number_range,
    **{("quantity", type): quantity for type in _QUANTITIES},
    ("quantity", "Range"): quantity_range,
    ("quantity", "SampledData"): sampled_data,
    ("quantity", "Money"): money,
    ("reference", "Reference"): _reference,
    ("reference", "CodeableReference"): _reference_of_codeable,
    ("reference", "Resource"): _inline_resource,
    ("reference", "Attachment"): _attachment,
    ("reference", "canonical"): _canonical,
    ("reference", "uri"): _uri,
    ("reference", "url"): _uri,
    **{("uri", type): _uri for type in ("uri", "url", "oid", "uuid")},
    ("uri", "canonical"): _canonical,
    ("special", "Location.position"): position,
}
