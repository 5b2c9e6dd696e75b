"""Combination codes: what the guidelines (Section I.B.9, I.A.15 "with") make one code of, though the note says it in
several places."""

from __future__ import annotations

import re

from fhir_server.processing.rules.coding.sheet import Line, Sheet
from fhir_server.processing.rules.coding.tabular import tabular

_POORLY = re.compile(
    r"(?:(?:poorly|inadequately|not well)[ -]controlled|out of control|poor (?:glycemic )?control)"
    r"(?:\W+\w+){0,5}\W+(?:diabetes|dm|diabetic)|(?:diabetes|dm2?|t2dm|t1dm)[^.\n;]{0,40}"
    r"(?:(?:poorly|inadequately|not well)[ -]controlled|out of control|poor (?:glycemic )?control)",
    re.I,
)
_AFTER_STROKE = re.compile(
    r"(?:residual|following|after|secondary to|due to|from|sequela\w*|late effects?|deficits?)[^.\n]{0,60}"
    r"(?:stroke|cva|infarct)|(?:stroke|cva|infarct\w*)[^.\n]{0,60}(?:with residual|residual|left with|sequela|result)",
    re.I,
)
_BMI = re.compile(r"\b(?:bmi|body mass index)\b[^0-9\n]{0,20}(\d{2}(?:\.\d)?)", re.I)
_ORGANISMS = (
    (re.compile(r"\be\.? ?coli\b|escherichia coli", re.I), "B96.20"),
    (re.compile(r"\bklebsiella", re.I), "B96.1"),
    (re.compile(r"\bpseudomonas", re.I), "B96.5"),
    (re.compile(r"\bproteus", re.I), "B96.4"),
    (re.compile(r"\benterococc", re.I), "B95.2"),
    (re.compile(r"\bmrsa\b|methicillin[- ]resistant staph", re.I), "B95.62"),
    (re.compile(r"\bmssa\b|staph(?:ylococcus)?\.? aureus", re.I), "B95.61"),
)
_TYPED_FLU = re.compile(r"\b(?:influenza|flu)(?: type)?[ -][ab]\b|\bh[135]n[1-9]\b", re.I)
_PYLORI = re.compile(r"\bh(?:elicobacter)?\.? pylori\b", re.I)


def combine(text: str, sheet: Sheet) -> None:
    """Applies every rule below to the sheet."""
    _diabetes(text, sheet)
    _hypertension(sheet)
    _heart(sheet)
    _lungs(text, sheet)
    _infections(text, sheet)
    _gut(sheet)
    _kidneys(sheet)
    _mind(text, sheet)
    _stroke(text, sheet)
    _weight(text, sheet)
    _pregnancy(text, sheet)


def _diabetes(text: str, sheet: Sheet) -> None:
    lines = sheet.having("E08-E13")
    if not lines:
        return
    kind = _kind_of_diabetes(lines)
    for line in lines:
        category = line.code[:3]
        if category != kind and category in ("E10", "E11"):
            moved = kind + line.code[3:]
            if tabular().billable(moved):
                sheet.combine(
                    moved, [line], "The complication takes the type of diabetes stated elsewhere in the note."
                )
    base = sheet.having(f"{kind}.9") or sheet.having(kind)[:1]

    def add(suffix: str, of: list[Line], keep: bool, what: str) -> None:
        if of:
            why = f"Diabetes with {what}: the classification presumes the link (guideline I.A.15)."
            said = frozenset().union(*(p.window.wide for line in of for p in line.problems))
            sheet.combine(tabular().complete(f"{kind}.{suffix}", said) or "", [*base, *of], why, keep=True)
            if not keep:
                sheet.strike(of)

    add("22", sheet.having("N18"), True, "chronic kidney disease")
    neuropathy = sheet.having("G62.9", "G60.9", "G63", "G62.89")
    poly = any(
        {"peripheral", "polyneuropathy", "feet", "foot"} & p.window.linked for n in neuropathy for p in n.problems
    )
    add("42" if poly else "40", neuropathy, False, "neuropathy")
    add("359", sheet.having("H35.2"), False, "proliferative retinopathy")
    add("319", sheet.having("H35.00", "H35.09"), False, "retinopathy")
    add("36", sheet.having("H26.9", "H25.9"), False, "cataract")
    add("43", sheet.having("K31.84"), True, "gastroparesis")
    add("51", sheet.having("I73.9"), False, "peripheral angiopathy")
    add("51", sheet.having("I70.2"), True, "peripheral angiopathy")
    foot = sheet.having("L97.4", "L97.5")
    add("621", foot, True, "foot ulcer")
    if not foot:
        add("622", sheet.having("L97"), True, "skin ulcer")
    add("69", sheet.having("M86"), True, "osteomyelitis")
    add("65", sheet.having("R73.9"), False, "hyperglycemia")
    add("649", sheet.having("E16.2", "E16.1"), False, "hypoglycemia")
    add("21", sheet.having("N28.9"), False, "nephropathy")
    for ulcer in sheet.having(f"{kind}.621"):
        if not sheet.having("L97"):
            said = frozenset().union(*(p.window.wide for p in ulcer.problems))
            side = "1" if "right" in said else "2" if "left" in said else "0"
            sheet.combine(f"L97.5{side}9", [ulcer], "Diabetic foot ulcer: use additional code for its site.", keep=True)
    if _POORLY.search(text) and base:
        sheet.combine(f"{kind}.65", base, "Poorly controlled diabetes is coded with hyperglycemia (Index).", keep=True)
    if len(sheet.having(kind)) > 1:
        sheet.strike(sheet.having(f"{kind}.9", f"{kind}.8"))
    if len(sheet.having(f"{kind}.4")) > 1:
        sheet.strike(sheet.having(f"{kind}.40"))


def _kind_of_diabetes(lines: list[Line]) -> str:
    stated = {line.code[:3] for line in lines if any({"1", "2"} & p.window.linked for p in line.problems)}
    for kind in ("E08", "E09", "E13", "E10"):
        if any(line.code.startswith(kind) for line in lines) and (kind != "E10" or "E11" not in stated):
            return kind
    return "E11"


def _hypertension(sheet: Sheet) -> None:
    dialysis = sheet.having("Z99.2")
    if dialysis and not sheet.having("N18.6") and sheet.having("N18"):
        sheet.combine("N18.6", sheet.having("N18"), "Chronic kidney disease that requires chronic dialysis is N18.6.")
    pressure = sheet.having("I10", "I11", "I12", "I13")
    if not pressure:
        return
    failure, kidney = sheet.having("I50"), sheet.having("N18")
    late = bool(sheet.having("N18.5", "N18.6"))
    presumed = "the classification presumes the link (guideline I.C.9.a)."
    if failure and kidney:
        code, with_what = ("I13.2" if late else "I13.0"), [*failure, *kidney]
        why = f"Hypertension with heart failure and chronic kidney disease: {presumed}"
    elif failure:
        code, with_what, why = "I11.0", failure, f"Hypertension with heart failure: {presumed}"
    elif kidney:
        code, with_what = ("I12.0" if late else "I12.9"), kidney
        why = f"Hypertension with chronic kidney disease: {presumed}"
    else:
        return
    keep = {line.code for line in with_what}
    sheet.combine(code, [*pressure, *with_what], why, keep=True)
    sheet.strike(line for line in pressure if line.code != code and line.code not in keep)


def _heart(sheet: Sheet) -> None:
    vessels, angina = sheet.having("I25.10"), sheet.having("I20")
    if vessels and angina:
        code = "I25.110" if sheet.having("I20.0") else "I25.119"
        sheet.combine(code, [*vessels, *angina], "Coronary disease with angina is one code (guideline I.C.9.b).")
    if sheet.having("E78.00", "E78.01") and sheet.having("E78.1"):
        sheet.combine("E78.2", sheet.having("E78.00", "E78.01", "E78.1"), "Both kinds of lipids are raised.")


def _lungs(text: str, sheet: Sheet) -> None:
    copd = sheet.having("J44.9", "J44.1")
    acute = sheet.having("J12-J18", "J20", "J22")
    if copd and acute:
        sheet.combine("J44.0", [*copd, *acute], "COPD with an acute lower respiratory infection.", keep=True)
        sheet.strike(sheet.having("J44.9"))
    if sheet.having("J44.1") and sheet.having("J44.9"):
        sheet.strike(sheet.having("J44.9"))
    if sheet.having("J43") and sheet.having("J44.9"):
        sheet.strike(sheet.having("J44.9"))
    if sheet.having("J44.9") and sheet.having("J45"):
        sheet.combine("J44.89", sheet.having("J44.9"), "Asthma with COPD is coded to J44.89 (Index).")
    pneumonia = sheet.having("J18.9", "J12.89", "J12.9")
    if sheet.having("U07.1") and pneumonia:
        sheet.combine("J12.82", pneumonia, "Pneumonia with COVID-19.")
    if sheet.having("J12.82") and not sheet.having("U07.1"):
        sheet.combine("U07.1", sheet.having("J12.82"), "Pneumonia in COVID-19: code COVID-19 first.", keep=True)
    if _TYPED_FLU.search(text):
        for line in sheet.having("J11"):
            sheet.combine("J10" + line.code[3:], [line], "The influenza virus is identified.")
    for flu, code in (("J11.1", "J11.00"), ("J10.1", "J10.00")):
        if sheet.having(flu) and sheet.having("J18.9"):
            sheet.combine(code, [*sheet.having(flu), *sheet.having("J18.9")], "Influenza with pneumonia.")


def _infections(text: str, sheet: Sheet) -> None:
    severe = sheet.having("R65.2")
    if severe and not sheet.having("A40", "A41"):
        sheet.combine("A41.9", severe, "Severe sepsis is coded after the infection (guideline I.C.1.d).", keep=True)
    if sheet.having("A41.9") and len(sheet.having("A40", "A41")) > 1:
        sheet.strike(sheet.having("A41.9"))
    seats = sheet.having("N39.0", "N10", "N30", "L03", "L02", "L08", "M86", "N41", "K65", "L89", "T81.4")
    for pattern, code in _ORGANISMS:
        if seats and pattern.search(text) and not sheet.having("A41.0", "A41.5", "J15"):
            sheet.combine(code, seats[:1], "The organism is stated; the infection's code asks for it.", keep=True)
    ulcers = sheet.having("K25-K29")
    if ulcers and _PYLORI.search(text):
        sheet.combine("B96.81", ulcers[:1], "The organism is stated; the ulcer's code asks for it.", keep=True)


_BLEEDS = {
    "K57.30": "K57.31", "K57.32": "K57.33", "K57.90": "K57.91", "K25.9": "K25.4", "K26.9": "K26.4", "K27.9": "K27.4",
    "K29.70": "K29.71", "K29.00": "K29.01", "K29.50": "K29.51", "K25.3": "K25.0", "K26.3": "K26.0",
}  # fmt: skip


def _gut(sheet: Sheet) -> None:
    bleeding = sheet.having("K92.0", "K92.1", "K92.2", "K62.5")
    for dry, bled in _BLEEDS.items():
        lines = sheet.having(dry)
        if bleeding and lines:
            sheet.combine(bled, [*lines, *bleeding], "With bleeding: the classification presumes the link.")
    stones = sheet.having("K80.20")
    for inflamed, code in (("K81.0", "K80.00"), ("K81.1", "K80.10"), ("K81.9", "K80.10")):
        if stones and sheet.having(inflamed):
            sheet.combine(code, [*stones, *sheet.having(inflamed)], "Gallstones with cholecystitis are one code.")
    if sheet.having("K70.30") and sheet.having("R18"):
        sheet.combine("K70.31", [*sheet.having("K70.30"), *sheet.having("R18")], "Alcoholic cirrhosis with ascites.")
    varices = sheet.having("I85.00", "I85.01")
    if varices and sheet.having("K74", "K70.3"):
        code = "I85.11" if bleeding or sheet.having("I85.01") else "I85.10"
        sheet.combine(code, varices, "Esophageal varices in cirrhosis are secondary.")
        sheet.strike(bleeding)


def _kidneys(sheet: Sheet) -> None:
    prostate = sheet.having("N40.0")
    if prostate and sheet.having("R33", "R35", "R39.1", "N13.8"):
        sheet.combine("N40.1", prostate, "Enlarged prostate with urinary symptoms.")
    if sheet.having("N30.00") and sheet.having("R31"):
        sheet.combine("N30.01", [*sheet.having("N30.00"), *sheet.having("R31")], "Cystitis with hematuria.")
    swollen, stone = sheet.having("N13.30"), sheet.having("N20")
    if swollen and stone:
        sheet.combine("N13.2", [*swollen, *stone], "Hydronephrosis with a stone is one code.")
    if sheet.having("N10", "N30") and sheet.having("N39.0"):
        sheet.strike(sheet.having("N39.0"))


def _mind(text: str, sheet: Sheet) -> None:
    brain = sheet.having("G30", "G31.83", "G20", "G10")
    dementia = sheet.having("F03")
    if brain and dementia:
        for line in dementia:
            same = "F02.8" + line.code[5:] if line.code.startswith("F03.9") else "F02" + line.code[3:]
            code = _disturbed(text) if line.code == "F03.90" else same
            sheet.combine(code, [line], "Dementia in a disease classified elsewhere: code that first.")
    elif sheet.having("G30") and re.search(r"\bdementia\b", text, re.I) and not sheet.having("F02"):
        lines = sheet.having("G30")
        sheet.combine(
            _disturbed(text), lines, "The Index gives Alzheimer's disease with dementia two codes.", keep=True
        )
    if sheet.having("F17"):
        sheet.strike(sheet.having("Z72.0", "Z87.891"))


def _disturbed(text: str) -> str:
    if re.search(r"\bagitat", text, re.I):
        return "F02.811"
    return "F02.818" if re.search(r"behaviou?ral disturbance", text, re.I) else "F02.80"


_WEEKS = re.compile(
    r"\b(?P<at>\d{1,2})(?: ?\+ ?\d| \d/7)? ?(?:weeks?|wks?)(?: gestation| pregnant|,|\.| of| with| by)|\bga (\d{1,2})",
    re.I,
)


def _pregnancy(text: str, sheet: Sheet) -> None:
    lines = sheet.having("O")
    weeks = _WEEKS.search(text)
    if lines and weeks:
        number = int(weeks["at"] or weeks[2])
        if 8 <= number <= 42:
            sheet.combine(f"Z3A.{number:02d}", lines[:1], f"{number} weeks of gestation stated.", keep=True)


_SEQUELAE = (("R47.01", "I69.320"), ("R47.1", "I69.322"), ("R13", "I69.391"), ("R29.810", "I69.392"))


def _stroke(text: str, sheet: Sheet) -> None:
    past = [*sheet.having("Z86.73"), *sheet.having("I63.9")]
    if not past or not _AFTER_STROKE.search(text):
        return
    why = "What remains of an earlier stroke is coded as its sequela (guideline I.C.9.d)."
    for line in sheet.having("G81"):
        said = frozenset().union(*(p.window.wide for p in line.problems))
        code = "I69.351" if "right" in said else "I69.354" if "left" in said else "I69.359"
        sheet.combine(code, [line], why)
    for deficit, code in _SEQUELAE:
        if sheet.having(deficit):
            sheet.combine(code, sheet.having(deficit), why)
    if sheet.having("I69"):
        sheet.strike(past)


def _weight(text: str, sheet: Sheet) -> None:
    weight = sheet.having("E66", "R63.4", "R63.6", "E40-E46")
    found = _BMI.search(text)
    if not weight or not found:
        return
    index = float(found[1])
    if index < 20:
        code = "Z68.1"
    elif index < 40:
        code = f"Z68.{int(index)}"
    else:
        code = f"Z68.4{1 if index < 45 else 2 if index < 50 else 3 if index < 60 else 4 if index < 70 else 5}"
    sheet.combine(code, weight[:1], f"Body mass index {found[1]} stated with a diagnosis of weight.", keep=True)
