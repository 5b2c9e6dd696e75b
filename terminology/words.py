"""Words as a coder compares them: one form for plurals, British spellings, adjectives of organs and roman numerals.

Used when the lexicon is built and when a text is coded, so that both sides agree.
"""

from __future__ import annotations

import re
from functools import lru_cache

from terminology.fold import fold

_WORD = re.compile(r"[a-z]+(?:'s)?|\d+[a-z]?(?![a-z])")
_BRITISH = (
    ("haemo", "hemo"), ("haema", "hema"), ("anaem", "anem"), ("aemia", "emia"), ("oedem", "edem"), ("oesoph", "esoph"),
    ("diarrhoea", "diarrhea"), ("dyspnoe", "dyspne"), ("apnoe", "apne"), ("foet", "fet"), ("paed", "ped"),
    ("gynaec", "gynec"), ("tumour", "tumor"), ("orthopaed", "orthoped"), ("ischaem", "ischem"),
    ("caecum", "cecum"), ("coeliac", "celiac"), ("oestro", "estro"), ("faec", "fec"),
)  # fmt: skip
_SAME = {
    one: common
    for common, others in {
        "kidney": "renal",
        "heart": "cardiac",
        "liver": "hepatic",
        "lung": "pulmonary",
        "brain": "cerebral",
        "stomach": "gastric",
        "intestine": "intestinal bowel",
        "bladder": "vesical",
        "prostate": "prostatic",
        "pancreas": "pancreatic",
        "colon": "colonic",
        "skin": "cutaneous",
        "spleen": "splenic",
        "ovary": "ovarian ovaries",
        "uterus": "uterine",
        "cervix": "cervical",
        "breast": "mammary",
        "tooth": "teeth dental",
        "foot": "feet",
        "vertebra": "vertebral vertebrae",
        "myocardial": "myocardium",
        "infarction": "infarct infarcts",
        "embolism": "embolus emboli pulmonaryembolus",
        "thrombosis": "thrombus thrombi thrombotic",
        "thyroid": "thyroidal",
        "artery": "arterial arteries",
        "limb": "limbs extremity extremities",
        "vein": "venous veins",
        "nerve": "nerves neural",
        "diabetes": "diabetic diabetics dm",
        "hypertension": "hypertensive htn",
        "alcohol": "alcoholic ethanol etoh",
        "asthma": "asthmatic",
        "epilepsy": "epileptic",
        "hemorrhage": "bleed bleeding bleeds hemorrhagic hemorrhaging bled",
        "malignant": "cancer cancers carcinoma carcinomas malignancy adenocarcinoma cancerous",
        "secondary": "metastasis metastases metastatic mets",
        "fracture": "fractures fractured broken",
        "laceration": "lacerated lacerations",
        "dislocation": "dislocated",
        "sprain": "sprained",
        "strain": "strained",
        "ulcer": "ulceration ulcerated ulcers ulcerative",
        "perforation": "perforated",
        "rupture": "ruptured",
        "obstruction": "obstructed obstructing obstructive",
        "exacerbation": "exacerbated flare exacerbations",
        "recurrent": "recurring recurrence",
        "inflammation": "inflamed",
        "infection": "infected infections infectious",
        "dependence": "dependent addiction addicted",
        "withdrawal": "withdrawing",
        "intoxication": "intoxicated",
        "remission": "remitted",
        "mild": "slight",
        "bilateral": "both bilaterally",
        "right": "rt",
        "left": "lt",
        "gangrene": "gangrenous",
        "sepsis": "septic",
        "anemia": "anemic",
        "obesity": "obese",
        "depression": "depressed depressive",
        "anxiety": "anxious",
        "psychosis": "psychotic",
        "hypoxia": "hypoxic hypoxemic hypoxemia",
        "hypercapnia": "hypercapnic hypercarbic hypercarbia",
        "traumatic": "trauma",
        "allergy": "allergic allergies",
        "bacterium": "bacterial bacteria",
        "virus": "viral",
        "fungus": "fungal",
        "congenital": "inborn",
        "calculus": "calculi stone stones",
        "sequela": "sequelae",
        "staphylococcus": "staphylococcal staph",
        "streptococcus": "streptococcal strep",
        "pneumococcus": "pneumococcal",
        "pseudomonas": "pseudomonal",
        "finger": "fingers",
        "toe": "toes",
        "leg": "legs",
        "esophagus": "esophageal",
        "rectum": "rectal",
        "trachea": "tracheal",
        "ureter": "ureteral ureteric",
        "urethra": "urethral",
        "spine": "spinal",
        "abdomen": "abdominal",
        "rib": "ribs costal",
        "hip": "hips",
        "eye": "ocular eyes",
        "ear": "aural ears otic",
        "nose": "nasal",
        "tonsil": "tonsillar tonsils",
        "1": "i one",
        "2": "ii two",
        "3": "iii three",
        "4": "iv four",
        "5": "v five",
        "3a": "iiia",
        "3b": "iiib",
    }.items()
    for one in others.split()
}
STOP = frozenset(
    "a an the of in on at by for to from due and or with as is was his her their this that than into nec nos "  # noqa: SIM905
    "specified elsewhere classified classifiable unspecified mellitus neoplasm neoplastic see also condition "
    "diseased type form nature".split()
)
_COMMON = frozenset(_SAME.values())
"""Words that tell no two codes apart. Without "type", "type 2" is still told from "type 1" by the number."""
_KEEP_S = ("ss", "us", "is", "os", "as")


@lru_cache(maxsize=65536)
def word(said: str) -> str:
    """The common form of one folded word."""
    if said.endswith("'s"):
        said = said[:-2]
    for british, american in _BRITISH:
        if british in said:
            said = said.replace(british, american)
    if said in _SAME:
        return _SAME[said]
    if said in _COMMON:
        return said
    if len(said) > 3 and said.endswith("s") and not said.endswith(_KEEP_S):
        said = f"{said[:-3]}y" if said.endswith("ies") else said[:-1]
        said = _SAME.get(said, said)
    return said


def words(text: str) -> list[str]:
    """The telling words of a text in common form, in its order."""
    return [w for w in (word(found) for found in _WORD.findall(fold(text))) if w not in STOP]
