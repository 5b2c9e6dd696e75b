"""Values of tests in a text, and how they went from one document to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_NAMES = {
    "Hemoglobin A1c": r"(?:hemoglobin a1c|hba1c|hgba1c|hb a1c|a1c)",
    "Hemoglobin": r"(?:hemoglobin|haemoglobin|hgb|hb)",
    "Hematocrit": r"(?:hematocrit|hct)",
    "White cells": r"(?:wbc(?: count)?|white (?:blood )?(?:cell )?count|leukocytes)",
    "Platelets": r"(?:platelets?(?: count)?|plt)",
    "Creatinine": r"(?:serum )?(?:creatinine|cr)",
    "eGFR": r"(?:e?gfr)",
    "Urea nitrogen": r"(?:bun|urea(?: nitrogen)?)",
    "Sodium": r"(?:sodium|na)",
    "Potassium": r"(?:potassium|k)",
    "Glucose": r"(?:(?:fasting |random |blood )*glucose|fbs|blood sugar)",
    "Troponin": r"(?:(?:high[- ]sensitivity )?troponin(?:[- ][it])?)",
    "BNP": r"(?:nt-?pro-?bnp|bnp)",
    "LDL cholesterol": r"(?:ldl(?:[- ]c(?:holesterol)?)?)",
    "HDL cholesterol": r"(?:hdl(?:[- ]c(?:holesterol)?)?)",
    "Triglycerides": r"(?:triglycerides|tg)",
    "Total cholesterol": r"(?:total cholesterol|cholesterol)",
    "ALT": r"(?:alt|sgpt)",
    "AST": r"(?:ast|sgot)",
    "Bilirubin": r"(?:total )?bilirubin",
    "Albumin": r"albumin",
    "INR": r"inr",
    "TSH": r"tsh",
    "CRP": r"(?:c-reactive protein|crp)",
    "ESR": r"(?:esr|sed(?:imentation)? rate)",
    "Lactate": r"(?:lactate|lactic acid)",
    "PSA": r"psa",
    "Ferritin": r"ferritin",
    "Ejection fraction": r"(?:lv)?(?:ejection fraction|ef)",
    "Weight": r"(?:weight|wt)",
    "BMI": r"(?:bmi|body mass index)",
    "Blood pressure": r"(?:blood pressure|bp)",
}
_VALUE = (
    r"(?P<value>[<>]?\d{1,6}(?:,\d{3})?(?:\.\d+)?(?:\s?/\s?\d{2,3})?(?:\s?-\s?\d+(?:\.\d+)?(?=\s?%))?)"
    r"\s?(?P<unit>%|mg/dl|g/dl|mmol/l|meq/l|umol/l|\u00b5mol/l|pg/ml|ng/ml|ng/l|u/l|iu/l|miu/l|mm\s?hg|mm/h(?:r)?|k/ul|"
    r"x10\^?\d+/l|ml/min(?:/1\.73\s?m2)?|kg/m2|kg|lbs?|g/l)?"
)
_NUMBERED = {f"t{number}": name for number, name in enumerate(_NAMES)}
_TEST = re.compile(
    rf"(?<![\w-])(?:{'|'.join(f'(?P<t{number}>{said})' for number, said in enumerate(_NAMES.values()))})"
    r"(?:\s*\([^()]{1,20}\))?\s*(?:level|count)?\s*"
    rf"(?:was|is|of|at|:|=|now|today|up to|down to|remains|elevated at|,)?\s*{_VALUE}"
    r"(?![\w./]*\d)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Result:
    """One value: text[start:end] says it. number: for comparing, None for "150/90"."""

    name: str
    said: str
    value: str
    number: float | None
    start: int
    end: int


def results(text: str, start: int = 0, end: int | None = None) -> list[Result]:
    """The values in text[start:end], in its order."""
    found = []
    for hit in _TEST.finditer(text, start, len(text) if end is None else end):
        name = next(_NUMBERED[group] for group, said in hit.groupdict().items() if group in _NUMBERED and said)
        value = hit["value"]
        plain = value.replace(",", "").lstrip("<>")
        number = float(plain) if re.fullmatch(r"\d+(?:\.\d+)?", plain) else None
        shown = f"{value} {hit['unit']}" if hit["unit"] and hit["unit"] != "%" else value + (hit["unit"] or "")
        found.append(Result(name, hit[0].strip(), shown, number, hit.start(), hit.start() + len(hit[0].rstrip())))
    return found


def trend(numbers: list[float]) -> str:
    """ "rising", "falling", "stable" (within 5 % of the first) or "variable"."""
    first, last = numbers[0], numbers[-1]
    if abs(last - first) <= 0.05 * abs(first):
        return "stable"
    up = all(a <= b for a, b in pairwise(numbers))
    down = all(a >= b for a, b in pairwise(numbers))
    return "rising" if up else "falling" if down else "variable"
