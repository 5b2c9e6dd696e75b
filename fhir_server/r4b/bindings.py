"""Codes of elements that are bound with strength required. R4B 4.1.5 (bindings)."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from fhir_server.r4b.definitions import CodeSet, Element, definitions
from fhir_server.r4b.primitives import Test, Wrong, code, not_a, show

_VALUE_SETS = "http://hl7.org/fhir/ValueSet/"
_mime = re.compile(r"[A-Za-z0-9!#$&^_.+*-]+(?:/[A-Za-z0-9!#$&^_.+*-]+)?\s*(?:;.*)?").fullmatch
_language = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*", re.ASCII).fullmatch
_ucum = re.compile(r"[!-~]+", re.ASCII).fullmatch


def code_test(element: Element) -> Test | None:
    """The test for a code (or other string) element with a binding that closes it; None when any value will do."""
    binding = element.binding
    if binding is None:
        return None
    if binding.value_set == _VALUE_SETS + "languages":
        # The standard closes this one by its maximum value set, every BCP 47 tag.
        return _by_rule(_language, "a language tag (BCP 47), e.g. en-US")
    if binding.strength != "required":
        return None
    if binding.value_set == _VALUE_SETS + "mimetypes":
        return _by_rule(_mime, "a MIME type (BCP 13), e.g. text/plain")
    if binding.value_set == _VALUE_SETS + "ucum-units":
        return _by_rule(_ucum, "a UCUM unit, e.g. mg/dL")
    codes = definitions().required_binding(binding.value_set)
    return None if codes is None else _in_set(codes)


def _by_rule(matches: Any, what: str) -> Test:
    def test(value: Any) -> Wrong | None:
        if type(value) is not str:
            return not_a("a string", value)
        return None if matches(value) else ("code-invalid", f"{show(value)} is not {what}.")

    return test


def _in_set(codes: CodeSet) -> Test:
    plain = codes.plain

    def test(value: Any) -> Wrong | None:
        if type(value) is str and value in plain:
            return None
        return code(value) or ("code-invalid", f"{show(value)} is not one of the allowed codes; {hint(value, codes)}")

    return test


def hint(value: str, codes: CodeSet) -> str:
    """What to write instead, and where the list is."""
    near = get_close_matches(value[:40], codes.plain, 3, 0.6)
    if near:
        return f"did you mean {' or '.join(near)}? (value set {codes.url})"
    if len(codes.plain) <= 12:
        return f"use one of {', '.join(sorted(codes.plain))} (value set {codes.url})."
    return f"use a code of value set {codes.url}."


def concept_test(element: Element) -> CodeSet | None:
    """The closed set for a Coding, CodeableConcept, CodeableReference or Quantity element, if it is bound to one."""
    binding = element.binding
    if binding is None or binding.strength != "required":
        return None
    return definitions().required_binding(binding.value_set)


def concept_problem(type_: str, value: Any, codes: CodeSet) -> str | None:
    """None when the concept is in the set (or is wrong in ways that others report), else a sentence."""
    if type(value) is not dict:
        return None
    if type_ == "CodeableReference":
        concept = value.get("concept")
        return None if concept is None else concept_problem("CodeableConcept", concept, codes)
    if type_ == "CodeableConcept":
        codings = value.get("coding")
        if codings is None:
            if "extension" in value:
                return None
            return f"The concept has no coding, but a code is required here; {hint('', codes)}"
        if type(codings) is not list:
            return None
    else:
        codings = [value]
    shown = ""
    for coding in codings:
        if type(coding) is not dict:
            return None
        pair = (coding.get("system", ""), coding.get("code"))
        if pair[1] is None and type_ == "Quantity":
            return None
        if type(pair[0]) is not str or type(pair[1]) not in (str, type(None)) or pair in codes.codes:
            return None
        shown = shown or f"{pair[0]}|{pair[1] or ''}"
    return f"None of the codes is in the required set ({show(shown)}); {hint(shown.partition('|')[2], codes)}"
