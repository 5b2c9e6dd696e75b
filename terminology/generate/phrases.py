"""Builds phrases.tsv.gz: every phrase by which the recogniser knows a concept, from the committed content.

    python -m terminology.generate.phrases

A phrase comes from a fully specified name (and its other word order, British spelling and plural), from a Disease
Ontology label whose cross-reference is unambiguous, or from the curated table, which always wins. One line a concept:
SNOMED CT code, display, semantic tag, ICD-10-CM code, phrases ("|" between; "^" before one that counts only in
capitals). A concept without code or tag stops a match ("hearing aids") and reports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from terminology.content import DATA, rows
from terminology.fold import fold
from terminology.generate.content import write

NAME = re.compile(r"^(?P<term>.*) \((?P<tag>[^()]*)\)$")

TYPES = frozenset(
    ("disorder", "finding", "procedure", "regime/therapy", "event", "morphologic abnormality", "medicinal product")
)
TOO_COMMON = frozenset(
    """disease shock scar wound burn fistula cyst polyp vomiting flushing flashing weal milia contusion abscess abrasion
    ischemia disorder syndrome poisoning injury infection neurosis partialism birthmark sprue coma mania
    trimming consultation aspiration inspection scraping injection excision reexcision traction procedure palpation
    triage imaging counseling education distraction centesis stereotests transfusion catheterization
    tenderness mass lesion""".split()  # noqa: SIM905
)
FINDINGS = frozenset(
    """apnea delusions anuria viremia cyanosis tachycardia bronchospasm pyuria bacteremia foot-drop hallucinations
    non-smoker ex-smoker dysarthria dyskinesia metatarsalgia asthenia hyperesthesia amenorrhea constipation formication
    otalgia neuralgia heartburn limping myoclonus jaundice claustrophobia ataxia dysphasia malingering headache tremor
    toothache polyuria proteinuria hypoventilation cholestasis anovulation hemospermia rigor stuttering mittelschmerz
    glycosuria amnesia azoospermia achalasia bradycardia dysuria cough oligomenorrhea polymenorrhea cramp hyperalgesia
    wheezing dyslexia lagophthalmos tinnitus diarrhea disorientated orthopnea hypomenorrhea hiccoughs hemoptysis apraxia
    hyperventilation stridor bruit dyspareunia vasospasm snoring photophobia palpitations oliguria fatigue retching
    hyperreflexia aphasia stupor photosensitivity paresthesia hypogammaglobulinemia nocturia waterbrash indigestion
    neutropenia neutrophilia lethargy spasticity leukorrhea stillbirth cachexia overweight erythema dyspnea edema
    tenesmus chorea petechiae tachypnea senility albuminuria dysesthesia incoordination ecchymosis encopresis
    microalbuminuria phonophobia menometrorrhagia malaise fever hypothermia menorrhagia lightheadedness hypesthesia
    vertigo dizziness giddiness hematochezia nausea purpura meningism anasarca hypovolemia homeless polypharmacy
    epistaxis obese""".split()  # noqa: SIM905
)
SKIPPED = re.compile(
    r"^(able to|unable to|does|does not|finding of|finding related|normal|no |history|family history|past history|"
    r"knowledge|education|on examination|o/e|abnormal |disorder of|disease of|procedure on|structure|use of|using|"
    r"assessment|referral|examination|evaluation|observation of|[^ ]+ (normal|absent|negative)$|ability)"
    r"|\b(education|monitoring|surveillance|assessment|support|education|counseling|regime|service|status|observable|"
    r"not|normal|administration|screening|referral|annual review|management|absent|able|and/or|or|training|"
    r"international classification|no subtype|lives with|household|requires|needs|able|preparation|care)\b"
)
BRITISH = [
    (re.compile(pattern), text)
    for pattern, text in [
        (r"\besoph", "oesoph"),
        (r"hem(?=orrh|at|o(?!nc)|angi|arthr|i?th)", "haem"),
        (r"edema", "oedema"),
        (r"anemi", "anaemi"),
        (r"([a-z])emi(a|c)\b", r"\1aemi\2"),
        (r"orrhea", "orrhoea"),
        (r"pediatric", "paediatric"),
        (r"\bfet(al|us)", r"foet\1"),
        (r"tumor", "tumour"),
        (r"gynec", "gynaec"),
        (r"\bceli", "coeli"),
        (r"cesarean", "caesarean"),
        (r"paresthes", "paraesthes"),
        (r"anesthe", "anaesthe"),
        (r"ischem", "ischaem"),
        (r"estrogen", "oestrogen"),
        (r"fiber", "fibre"),
        (r"apnea", "apnoea"),
        (r"dyspnea", "dyspnoea"),
        (r"orthopnea", "orthopnoea"),
        (r"leukocyt", "leucocyt"),
        (r"ized\b", "ised"),
        (r"ization", "isation"),
        (r"color", "colour"),
        (r"pnea\b", "pnoea"),
    ]
]
CANCER = re.compile(r"^(?:malignant (?:tumor|neoplasm)|carcinoma|cancer) of (?P<site>.+)$")
OF = re.compile(r"^(?P<head>[a-z]+(?: [a-z]+)?) of (?:the )?(?P<site>[a-z]+(?: [a-z]+){0,2})$")
NOT_TURNED = ("history", "lack", "loss", "fear", "use", "state", "sense", "level", "presence")
CAUSED = re.compile(r"^(?P<head>infection|disease|pneumonia|meningitis|sepsis) caused by (?P<agent>.+)$")


@dataclass(slots=True)
class Known:
    """One concept and how it is said. rank: 0 curated, 1 fully specified name, 2 derived, 3 Disease Ontology."""

    code: str
    display: str
    tag: str
    icd10cm: str = ""
    phrases: dict[str, int] = field(default_factory=dict)


def spellings(phrase: str) -> Iterator[str]:
    """The phrase, its British spelling, and each without apostrophes."""
    british = phrase
    for pattern, text in BRITISH:
        british = pattern.sub(text, british)
    for spelling in dict.fromkeys((phrase, british.replace("aaemi", "aemi").replace("aaem", "aem"))):
        yield spelling
        if "'s" in spelling:
            yield spelling.replace("'s", "s")
            yield spelling.replace("'s", "")


def plural(phrase: str) -> str | None:
    """The phrase with its last word in the plural, None where that makes no word."""
    last = phrase.rsplit(" ", 1)[-1]
    if (
        len(last) < 4
        or not last.isalpha()
        or last.endswith(("s", "ia", "ism", "osis", "itis", "us", "ed", "ing", "al"))
    ):
        return None
    if last.endswith("y") and last[-2] not in "aeiou":
        return phrase[:-1] + "ies"
    return phrase + ("es" if last.endswith(("x", "ch", "sh")) else "s")


def orders(term: str) -> Iterator[tuple[str, int]]:
    """(phrase, rank) of a name and of the other orders its words are said in."""
    yield term, 1
    parts = term.split(", ")
    if len(parts) == 2 and not parts[1].startswith(("with", "due", "not", "initial", "without")):
        yield f"{parts[1]} {parts[0]}", 2
        if parts[1] in ("disease", "device", "function", "nos", "unspecified"):
            yield parts[0], 2
    if found := CANCER.match(term):
        site = found["site"].removeprefix("the ")
        if "malignant" in term:
            for phrase in (f"{site} cancer", f"cancer of {site}", f"cancer of the {site}"):
                yield phrase, 2
        yield f"carcinoma of {site}", 2
        if "malignant" in term:
            yield f"malignant neoplasm of {site}", 2
            yield f"malignant tumor of {site}", 2
    elif (found := OF.match(term)) and found["head"] not in NOT_TURNED:
        yield f"{found['site']} {found['head']}", 2
        yield f"{found['head']} of the {found['site']}", 2
    if found := CAUSED.match(term):
        yield f"{found['agent']} {found['head']}", 2
    if " due to " in term:
        yield term.replace(" due to ", " secondary to "), 2


def said(term: str, tag: str) -> Iterator[tuple[str, int]]:
    """Every (phrase, rank) by which a fully specified name may be recognised; nothing for what is too common."""
    term = " ".join(re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", term.lower()).split())
    if tag == "medicinal product":
        found = re.fullmatch(r"product containing (?:only )?([a-z]+(?: [a-z]+)?)", term)
        if found and found[1].split()[0] not in ("sodium", "human", "thyroid", "dextran", "iodine", "copper"):
            yield found[1], 1
        return
    if SKIPPED.search(term):
        return
    for phrase, rank in orders(term):
        words = phrase.split()
        single = len(words) == 1
        if single and (tag in ("event", "morphologic abnormality", "regime/therapy") or phrase in TOO_COMMON):
            continue
        if single and tag == "finding" and phrase not in FINDINGS:
            continue
        if len(words) > 9 or len(phrase) < 4:
            continue
        for spelling in spellings(phrase):
            yield spelling, rank
            if tag != "regime/therapy" and (many := plural(spelling)):
                yield many, 2


def icd10cm_by_title() -> dict[str, str]:
    """ICD-10-CM leaf by its folded title or inclusion term, where only one leaf has it."""
    found: dict[str, set[str]] = {}
    for kind, code, _, title, inclusion, _, seventh, leaf in rows("icd10cm.tsv.gz"):
        if kind != "code" or not leaf or seventh:
            continue
        for text in (title, *inclusion.split("|")):
            text = re.sub(r",? (unspecified|nos|without complications?)$", "", fold(text))
            if text:
                found.setdefault(" ".join(text.split()), set()).add(code)
    return {text: next(iter(codes)) for text, codes in found.items() if len(codes) == 1}


def concepts() -> list[Known]:
    """Every concept with its phrases; no phrase belongs to two."""
    titles = icd10cm_by_title()
    leaves = {row[1] for row in rows("icd10cm.tsv.gz") if row[0] == "code" and row[7] and not row[6]}
    known: dict[str, Known] = {}
    claims: dict[str, tuple[int, int, str]] = {}

    def claim(concept: Known, phrase: str, rank: int) -> None:
        phrase = " ".join(fold(phrase).split())
        claims[phrase] = min((rank, len(concept.display), concept.code), claims.get(phrase, (9, 0, "")))

    for code, fsn in rows("snomed-gps.tsv.gz"):
        match = NAME.match(fsn)
        if not match:
            continue
        term, tag = match["term"], match["tag"]
        concept = known[code] = Known(code, fsn, tag, titles.get(" ".join(fold(term).split()), ""))
        if tag in TYPES:
            for phrase, rank in said(term, tag):
                claim(concept, phrase, rank)
    for _, label, snomed, icd10cm in rows("disease-ontology.tsv.gz"):
        one = known.get(snomed)
        if one is None or one.tag not in TYPES:
            continue
        if icd10cm in leaves and not one.icd10cm:
            one.icd10cm = icd10cm
        for phrase, _ in said(label, "disorder"):
            claim(one, phrase, 3)
    capitals: set[str] = set()
    for number, (phrase, snomed, icd10cm, tag, case) in enumerate(rows("synonyms.tsv")):
        if snomed == "-":
            concept = known.setdefault("-", Known("-", "", ""))
        elif snomed:
            concept = known.get(snomed) or known.setdefault(snomed, Known(snomed, label_of(snomed, phrase, tag), tag))
            concept.icd10cm = icd10cm or concept.icd10cm
        else:
            concept = known.setdefault(f"?{number}", Known(f"?{number}", "", tag, icd10cm))
        variants = (
            [phrase]
            if case
            else [s for v in (phrase, plural(phrase) if snomed != "-" else None) if v for s in spellings(v)]
        )
        for variant in variants:
            claim(concept, variant, 0 if variant == phrase else 1)
        if case:
            capitals.add(fold(phrase))
    for phrase, (rank, _, code) in claims.items():
        known[code].phrases[("^" if phrase in capitals else "") + phrase] = rank
    return [concept for concept in known.values() if concept.phrases]


def label_of(code: str, phrase: str, tag: str) -> str:
    """A display for a concept outside the Global Patient Set, from the Disease Ontology."""
    for _, label, snomed, _ in rows("disease-ontology.tsv.gz"):
        if code in snomed.split("|"):
            return f"{label[0].upper()}{label[1:]} ({tag})"
    return f"{phrase[0].upper()}{phrase[1:]} ({tag})"


def table() -> Iterator[tuple[str, ...]]:
    """The lines of phrases.tsv.gz, in a fixed order."""
    for concept in sorted(concepts(), key=lambda c: c.code):
        code = "" if concept.code.startswith("?") or concept.code == "-" else concept.code
        yield code, concept.display, concept.tag, concept.icd10cm, "|".join(sorted(concept.phrases))


def main(out: Path = DATA) -> None:
    print(write(out / "phrases.tsv.gz", ("snomed", "display", "tag", "icd10cm", "phrases"), table()))


if __name__ == "__main__":
    main()
