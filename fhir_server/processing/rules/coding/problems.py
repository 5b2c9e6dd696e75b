"""What in a note could be coded: recognised concepts, conditions without a phrase of their own, medicines, states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fhir_server.processing.engines import CodeRequest, ExtractRequest, Mention, Reason
from fhir_server.processing.rules.coding.lexicon import lexicon
from fhir_server.processing.rules.coding.tables import is_anchor, medicines, standing_in
from fhir_server.processing.rules.coding.windows import Window, window
from fhir_server.processing.rules.engine import REPORTED, layout, read
from terminology.fold import fold
from terminology.recognise import Concept, Found, recogniser
from terminology.words import word, words

Kind = Literal["condition", "medicine", "standing"]


def _listed(said: str) -> frozenset[str]:
    return frozenset(map(word, said.split()))


_HEADS = _listed(
    "fracture sprain strain laceration contusion dislocation burn abscess ulcer cancer carcinoma malignancy "
    "adenocarcinoma melanoma cyst infection dependence abuse hernia stenosis tear rupture perforation prolapse "
    "deficiency insufficiency failure syndrome disease disorder palsy paralysis dystrophy effusion embolism "
    "aneurysm fistula polyp stricture calculus degeneration dysfunction injury wound bite poisoning neoplasm tumor "
    "metastasis metastases withdrawal intoxication overdose block regurgitation prolapse deformity torsion ectopic "
    "pregnancy preeclampsia cellulitis gangrene hematoma concussion hemorrhage blindness deafness glaucoma "
    "cataract retinopathy exacerbation impaction incontinence retention"
)
_ENDINGS = (
    "itis", "osis", "oma", "emia", "pathy", "algia", "plegia", "paresis", "penia", "cytosis", "phobia", "megaly",
    "ectasis", "iasis", "trophy", "lithiasis", "uria", "thorax", "cele", "malacia", "sclerosis", "ism",
)  # fmt: skip
_NOT_HEADS = _listed("mechanism organism metabolism diagnosis prognosis coma hypnosis prism autism")
_WORD = re.compile(r"[a-z]{3,}")
_PAST = frozenset(("past_history", "surgical_history"))


@dataclass(slots=True)
class Problem:
    """One thing said of the patient, and the words around it. code: what recognition gives, "" when nothing."""

    kind: Kind
    start: int
    end: int
    code: str
    display: str
    snomed: str
    section: str | None
    status: str
    historical: bool
    window: Window
    when: str = "any"


_HISTORY = re.compile(
    r"(?:\b(?:history of|h/o|hx of|hx|s/p|status post|prior|previous|previously had|past|remote|resolved|"
    r"treated for|survivor of|recovered from)\b[^.;\n]*)$",
    re.I,
)


def problems(request: CodeRequest) -> tuple[list[Problem], list[tuple[Mention, Reason]]]:
    """The patient's problems in the order of the text, and what was set aside (negated, a relative's, imagined)."""
    text = request.text
    found = _found(text)
    laid = layout(text)
    asked = ExtractRequest(text, "", request.letter_date, request.birth_date)
    mine: list[Mention] = []
    aside: list[tuple[Mention, Reason]] = []
    for mention, reason in read(asked, found, laid, dated=False):
        if reason is None:
            mine.append(mention)
        else:
            aside.append((mention, reason))
    bounds = [bound for _, sentences in laid for bound in sentences] or [(0, len(text))]
    result: list[Problem] = []
    at = 0
    solid = [m for m in mine if _codeable(m) and not (m.icd10cm or "").startswith(("C77", "C78", "C79"))]
    starts = sorted({m.concept_start for m in solid} | {m.concept_start for m, _ in aside})
    ends = sorted({m.concept_end for m in solid} | {m.concept_end for m, _ in aside})
    for mention in mine:
        if not _codeable(mention):
            continue
        while at + 1 < len(bounds) and bounds[at][1] <= mention.concept_start:
            at += 1
        begin, end = bounds[at]
        start, stop = mention.concept_start, mention.concept_end
        floor = max((e for e in ends if e <= start), default=0)
        ceiling = min((s for s in starts if s >= stop), default=len(text))
        around = window(text, begin, end, start, stop, floor, ceiling)
        if not mention.icd10cm or mention.icd10cm[0] in "MST":
            around = _episode(around, text[begin:end])
        kind, when = _kind(mention)
        result.append(
            Problem(
                kind=kind,
                start=start,
                end=stop,
                code=mention.icd10cm or "",
                display=mention.display,
                snomed=mention.code,
                section=mention.section,
                status=mention.status,
                historical=mention.historical
                and (mention.section in _PAST or _HISTORY.search(text[max(begin, start - 120) : start]) is not None),
                window=around,
                when=when,
            )
        )
    return result, aside


_LATER = re.compile(r"\b(?:follow(?:ing)?[- ]?up|healing|subsequent|aftercare|recheck|re-?evaluation)\b", re.I)
_SEQUELA = re.compile(r"\b(?:sequela\w*|late effects?)\b", re.I)


def _episode(around: Window, sentence: str) -> Window:
    """Adds which encounter of an injury it is, when its sentence says so."""
    if _LATER.search(sentence):
        return Window(around.linked, around.wide | {"subsequent"}, around.start, around.end)
    if _SEQUELA.search(sentence):
        return Window(around.linked, around.wide | {"sequela"}, around.start, around.end)
    return around


_SPREAD = re.compile(
    r"\b(?:metastatic|metastasi[sz]ed|metasta[st]es|metastasis|mets|spread)(?: (?!to|in)[a-z]+){0,3} "
    r"(?:to|in) (?:the |his |her )?"
    r"(?:right |left )?([a-z]+(?: nodes?)?)(?:(?:,| and|, and) (?:the )?([a-z]+))?"
)


def _spread(folded: str) -> Iterator[Found]:
    """Where a cancer has spread to: the site's own code of secondary malignancy."""
    for hit in _SPREAD.finditer(folded):
        for group in (1, 2):
            if hit[group]:
                code = lexicon().exact(frozenset((*words(hit[group]), "secondary")))
                if code:
                    yield Found(hit.start(group), hit.end(group), Concept("", "", "disorder", code))


_STAGE = re.compile(r"\bckd ?(?:stage ?)?([1-5][ab]?|iii[ab]?|iv|v)\b")
_STAGES = {"1": "N18.1", "2": "N18.2", "3": "N18.30", "3a": "N18.31", "3b": "N18.32", "4": "N18.4", "5": "N18.5"}


def _staged(folded: str) -> Iterator[Found]:
    """Chronic kidney disease as it is abbreviated: "CKD3b"."""
    for hit in _STAGE.finditer(folded):
        yield Found(hit.start(), hit.end(), Concept("", "", "disorder", _STAGES[word(hit[1])]))


def _codeable(mention: Mention) -> bool:
    return bool(mention.icd10cm) or mention.concept_type in ("disorder", "finding", "event", "morphologic abnormality")


def _kind(mention: Mention) -> tuple[Kind, str]:
    if mention.display.startswith("\0"):
        _, kind, when = mention.display.split("\0")
        return ("medicine" if kind == "medicine" else "standing"), when
    return "condition", "any"


_SHORT = re.compile(r"\b(?:hd|o2)\b")


@lru_cache(maxsize=16384)
def _is_head(said: str) -> bool:
    return (said.endswith(_ENDINGS) or word(said) in _HEADS) and said not in _NOT_HEADS


def _found(text: str) -> list[Found]:
    """Concepts, and what the recogniser does not know, in order and without overlap."""
    folded = fold(text)
    extra: list[Found] = []
    said = [(hit[0], hit.start(), hit.end()) for hit in _WORD.finditer(folded)]
    anchors = [(start, end) for one, start, end in said if is_anchor(one)]
    anchors += [(hit.start(), hit.end()) for hit in _SHORT.finditer(folded)]
    for start, end, standing in standing_in(folded, sorted(anchors)):
        tag = "procedure" if standing.when == "past" else "situation"
        extra.append(Found(start, end, Concept("", f"\0standing\0{standing.when}", tag, standing.code)))
    extra.extend(_spread(folded))
    extra.extend(_staged(folded))
    taken = [(e.start, e.end) for e in extra]
    known: list[Found] = []
    for found in recogniser().find(text):
        if found.concept.snomed and found.concept.tag not in REPORTED:
            continue
        if taken and any(found.start < stop and start < found.end for start, stop in taken):
            continue
        known.append(found)
    busy = sorted([*extra, *known], key=lambda f: f.start)
    names = medicines()
    more: list[Found] = []
    at = 0
    for one, start, end in said:
        code = names.get(one)
        head = code is None and _is_head(one)
        if code is None and not head:
            continue
        while at < len(busy) and busy[at].end <= start:
            at += 1
        inside = at < len(busy) and busy[at].start < end
        if code is not None:
            if inside and busy[at].concept.icd10cm:
                continue
            if inside:
                if busy[at] in known:
                    known.remove(busy[at])
                more.append(Found(busy[at].start, busy[at].end, Concept("", "\0medicine\0any", "situation", code)))
                continue
            more.append(Found(start, end, Concept("", "\0medicine\0any", "situation", code)))
        elif not inside:
            more.append(Found(start, end, Concept("", "", "disorder", "")))
    result: list[Found] = []
    for each in sorted([*extra, *known, *more], key=lambda f: (f.start, -f.end)):
        if not result or each.start >= result[-1].end:
            result.append(each)
    return result
