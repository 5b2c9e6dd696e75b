"""Dates in a note: where they stand and what FHIR partial date they mean, counted from the letter's date.

Only what the text says: "2021" is a year, "three months ago" a month, "in her twenties" nothing. A month or a day
without a year is the last such one before the letter.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Dated:
    """text[start:end] speaks of the partial date `value`; with `until` it is a span ("from 2018 to 2020").

    ends: the text says that something ended then. onset: it says how long something has lasted ("for 3 days")."""

    start: int
    end: int
    value: str | None
    until: str | None = None
    ends: bool = False
    onset: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """What dates are counted from: the letter's date and, when known, the patient's birth date."""

    letter: date
    born: date | None = None


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january",
            "feb february febr",
            "mar march",
            "apr april",
            "may",
            "jun june",
            "jul july",
            "aug august",
            "sep sept september",
            "oct october",
            "nov november",
            "dec december",
        ),
        1,
    )
    for name in names.split()
}
_WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "  # noqa: SIM905
        "seventeen eighteen nineteen twenty".split()
    )
} | {
    "a": 1,
    "an": 1,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "a couple": 2,
    "a couple of": 2,
    "couple of": 2,
    "half a": 0,
}
_MONTH = (
    r"(?:jan(?:uary)?|febr?(?:uary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
_COUNT = r"(?:\d{1,3}|" + "|".join(sorted((w.replace(" ", r"\s+") for w in _WORDS), key=len, reverse=True)) + ")"
_UNIT = r"(?:days?|weeks?|wks?|months?|mos?|years?|yrs?)"
_EDGE = r"(?<![\w/.$-])"

_POINT = re.compile(
    _EDGE
    + r"(?:"
    + rf"(?P<iso>{_YEAR}-(?:1[0-2]|0[1-9])(?:-(?:3[01]|[12]\d|0[1-9]))?)(?![\d-])"
    + rf"|(?P<slash>\d{{1,2}}(?P<sep>[/.-])\d{{1,2}}(?P=sep)(?:{_YEAR}|\d\d))(?![\d/])"
    + rf"|(?P<my>(?:1[0-2]|0?[1-9])/{_YEAR})(?![\d/])"
    + rf"|(?P<mdy>{_MONTH}\.?\s+{_DAY}(?:st|nd|rd|th)?,?\s+(?:of\s+)?{_YEAR})\b"
    + rf"|(?P<dmy>{_DAY}(?:st|nd|rd|th)?(?:\s+of)?[\s-]+{_MONTH}\.?,?[\s-]+{_YEAR})\b"
    + rf"|(?P<m_y>{_MONTH}\.?,?(?:\s+of)?[\s-]+(?:{_YEAR}|['\u2019]\d\d))\b"
    + rf"|(?P<md>{_MONTH}\.?\s+{_DAY}(?:st|nd|rd|th)?)\b(?!\s*(?:mg|ml|%|/))"
    + rf"|(?P<dm>{_DAY}(?:st|nd|rd|th)?(?:\s+of)?\s+{_MONTH})\b"
    + rf"|(?P<span>{_YEAR}\s?[-\u2013]\s?(?:{_YEAR}|present|\d\d(?!\d)))"
    + r"|(?P<decade>(?:19|20)\d0['\u2019]?s|(?<=\bthe )(?:(?:early|mid|late)[- ]+)?['\u2019]?[6-9]0['\u2019]?s)\b"
    + rf"|(?P<year>{_YEAR})(?![\d/]|-\d|\.\d|\s*(?:mg|ml|mcg|units?|cc|kcal|calories|steps|g|iu|m|feet|ft|"
    + r"hours?|hrs?|cells|grams|k)\b)"
    + r"|(?P<short>['\u2019]\d\d)(?![\d'\u2019s])"
    + r")",
    re.I,
)
_RELATIVE = re.compile(
    rf"\b(?P<ago>(?:(?:about|approximately|almost|nearly|around|over|roughly|some|more\s+than|at\s+least)\s+)?(?P<n>{_COUNT})\s+(?P<u>{_UNIT})\s+(?:ago|back|earlier|previously))\b"
    rf"|\b(?P<dur>(?:for|over|during|within|in)\s+(?:about\s+|approximately\s+|at\s+least\s+|almost\s+|nearly\s+)?(?:the\s+)?(?:past|last|previous|preceding)\s+(?:(?P<dn>{_COUNT})\s+)?(?P<du>{_UNIT}))\b"
    rf"|\b(?P<dur2>(?:for|x|times|lasting)\s*(?:about\s+|approximately\s+|at\s+least\s+|almost\s+|nearly\s+|over\s+)?(?P<en>{_COUNT})\s+(?P<eu>{_UNIT}))\b(?!\s+(?:old|of\s+age))"
    rf"|\b(?P<hist>(?P<hn>{_COUNT})[\s-]+(?P<hu>day|week|wk|month|year|yr)s?[\s-]+(?:long\s+)?(?:(?:history|hx|h/o)(?:\s+of)?|of))\b"
    r"|\b(?P<last>(?:last|this|this\s+past|the\s+past|earlier\s+this|earlier\s+in\s+the|past)\s+(?P<lu>week|month|year|summer|winter|spring|fall|autumn)|yesterday|last\s+night|the\s+day\s+before|today|this\s+(?:morning|afternoon|evening)|tonight)\b"
    r"|\b(?P<age>(?:at|around|since|by)\s+(?:the\s+)?age(?:\s+of)?\s+(?P<an>\d{1,2})|at\s+(?P<an2>\d{1,2})\s+years\s+(?:old|of\s+age)|when\s+(?:he|she|they|the\s+patient|patient)\s+was\s+(?:(?:about|around|only)\s+)?(?P<an3>\d{1,2})(?:\s+years\s+old)?)\b(?!\s*(?:mg|days|weeks|months))",
    re.I,
)
_INM = re.compile(
    r"\b(?P<cue>in|since|last|this\s+past|until|by|during|around|early|late)\s+(?:early\s+|late\s+|mid[- ]?)?"
    rf"(?P<m>{_MONTH})\b(?!\.?,?\s*(?:\d|of\s+{_YEAR}))"
)
_ENDS = re.compile(
    r"(?:\b(?:resolved|until|till|through|ended|stopped|remission(?:\s+since)?|ceased|healed|cured|recovered|discontinued|"
    r"abated|subsided|cleared|gone|completed|finished|quit)\b[\s,]*(?:(?:completely|fully|spontaneously|by|in|on|around|as\s+of|about|"
    r"early|late|mid|the|from|since|after|treatment|it)\s*)*)$",
    re.I,
)
_TO = re.compile(r"^\s*(?:to|until|till|through|thru|and|[-\u2013\u2014])\s*$", re.I)
_CENTURY = 100
_OLDEST = 1900


def find_dates(text: str, clock: Clock) -> list[Dated]:
    """The dates of a text in its order, without overlap; spans joined; ends marked."""
    if not _maybe(text):
        return []
    hits: list[Dated] = []
    for found in _POINT.finditer(text):
        kind = "slash" if found.lastgroup == "sep" else str(found.lastgroup)
        value, until = _point(kind, found[0], clock)
        if value is not None or kind == "decade":
            start, end = found.span()
            hits.append(Dated(start, end, value, until))
    for found in _INM.finditer(text.lower()) if _ascii_lower_safe(text) else ():
        raw = text[found.start("m")]
        if raw.isupper():
            month = _MONTHS[found["m"]]
            hits.append(Dated(found.start("m"), found.end("m"), _recent_month(month, clock)))
    for found in _RELATIVE.finditer(text):
        dated = _relative(found, clock)
        if dated is not None:
            hits.append(dated)
    hits.sort(key=lambda hit: (hit.start, -hit.end))
    free = -1
    kept = []
    for hit in hits:
        if hit.start >= free:
            kept.append(hit)
            free = hit.end
    return _spans(text, kept)


def _maybe(text: str) -> bool:
    return _HINT.search(text) is not None


_HINT = re.compile(
    r"\d|\bago\b|\blast\b|\bpast\b|yesterday|today|tonight|\bthis\b|\bsince\b|\bearlier\b|"
    r"\bback\b|\bfor\b|\bin (?:[JFMASOND])|\blasting\b|\b[a-z]+[- ](?:day|week|month|year)",
    re.I,
)


def _ascii_lower_safe(text: str) -> bool:
    return len(text.lower()) == len(text)


def _spans(text: str, kept: list[Dated]) -> list[Dated]:
    result: list[Dated] = []
    for hit in kept:
        before = text[max(0, hit.start - 60) : hit.start]
        if result and hit.value and not hit.onset and _TO.match(text[result[-1].end : hit.start]) and result[-1].value:
            first = result[-1]
            joiner = text[first.end : hit.start].strip().lower()
            opening = text[max(0, first.start - 12) : first.start].lower().split()
            if joiner != "and" or (opening and opening[-1] == "between"):
                result[-1] = Dated(first.start, hit.end, first.value, hit.until or hit.value)
                continue
        if hit.value and not hit.until and not hit.onset and _ENDS.search(before):
            hit = Dated(hit.start, hit.end, hit.value, None, ends=True)
        result.append(hit)
    return result


def _year(two: int, clock: Clock) -> int:
    century = clock.letter.year // _CENTURY * _CENTURY
    year = century + two
    return year if year <= clock.letter.year + 1 else year - _CENTURY


def _partial(year: int, month: int | None = None, day: int | None = None) -> str | None:
    if not _OLDEST <= year <= 9999:
        return None
    if month is None:
        return f"{year:04d}"
    if not 1 <= month <= 12:
        return None
    if day is None:
        return f"{year:04d}-{month:02d}"
    if not 1 <= day <= monthrange(year, month)[1]:
        return None
    return f"{year:04d}-{month:02d}-{day:02d}"


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _month_of(text: str) -> int:
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in _MONTHS:
            return _MONTHS[word]
    raise ValueError(text)


def _recent_month(month: int, clock: Clock) -> str | None:
    year = clock.letter.year if month <= clock.letter.month else clock.letter.year - 1
    return _partial(year, month)


def _recent_day(month: int, day: int, clock: Clock) -> str | None:
    year = clock.letter.year
    if (month, day) > (clock.letter.month, clock.letter.day):
        year -= 1
    return _partial(year, month, day)


def _iso(text: str, clock: Clock) -> str | None:
    return _partial(*(int(part) for part in text.split("-")))


def _slash(text: str, clock: Clock) -> str | None:
    one, two, last = (int(part) for part in re.split(r"[/.-]", text))
    year = last if last >= _CENTURY else _year(last, clock)
    return _partial(year, two, one) if one > 12 else _partial(year, one, two)


def _mdy(text: str, clock: Clock) -> str | None:
    numbers = re.findall(r"\d+", text)
    return _partial(int(numbers[-1]), _month_of(text), int(numbers[0]))


def _my(text: str, clock: Clock) -> str | None:
    month, year = text.split("/")
    return _partial(int(year), int(month))


def _m_y(text: str, clock: Clock) -> str | None:
    number = re.findall(r"\d+", text)[-1]
    return _partial(int(number) if len(number) == 4 else _year(int(number), clock), _month_of(text))


def _md(text: str, clock: Clock) -> str | None:
    return _recent_day(_month_of(text), _number(text), clock)


def _decade(text: str, clock: Clock) -> str | None:
    digits = re.sub(r"\D", "", text)
    return _partial(int(digits) if len(digits) == 4 else 1900 + int(digits))


def _plain_year(text: str, clock: Clock) -> str | None:
    return _partial(int(text)) if int(text) <= clock.letter.year + 2 else None


def _short(text: str, clock: Clock) -> str | None:
    return _partial(_year(_number(text), clock))


_POINTS: dict[str, Callable[[str, Clock], str | None]] = {
    "iso": _iso,
    "slash": _slash,
    "my": _my,
    "mdy": _mdy,
    "dmy": _mdy,
    "m_y": _m_y,
    "md": _md,
    "dm": _md,
    "decade": _decade,
    "year": _plain_year,
    "short": _short,
}


def _point(kind: str, text: str, clock: Clock) -> tuple[str | None, str | None]:
    if kind == "span":
        first, last = re.split(r"\s?[-\u2013]\s?", text, maxsplit=1)
        if last.lower() == "present":
            return _partial(int(first)), None
        end = int(last) if len(last) == 4 else int(first[:2] + last)
        return (_partial(int(first)), _partial(end)) if end >= int(first) else (None, None)
    return _POINTS[kind](text, clock), None


def back(clock: Clock, count: int, unit: str) -> str | None:
    """The partial date `count` units before the letter; weeks and days give a day, months a month, years a year."""
    letter = clock.letter
    unit = unit.lower()
    if unit.startswith("y"):
        return _partial(letter.year - count)
    if unit.startswith("mo"):
        months = letter.year * 12 + letter.month - 1 - count
        return _partial(months // 12, months % 12 + 1)
    then = letter - timedelta(days=count * (7 if unit.startswith("w") else 1))
    return then.isoformat()


def _count(text: str | None) -> int | None:
    if text is None:
        return 1
    text = " ".join(text.lower().split())
    return int(text) if text.isdigit() else _WORDS.get(text)


_SEASONS = {"spring": 3, "summer": 6, "fall": 9, "autumn": 9, "winter": 12}


def _relative(found: re.Match[str], clock: Clock) -> Dated | None:
    start, end = found.span()
    for count, unit, onset in (("n", "u", False), ("dn", "du", True), ("en", "eu", True), ("hn", "hu", True)):
        if found[unit]:
            number = _count(found[count])
            if not number or number > 110 * 12:
                return None
            value = back(clock, number, found[unit])
            return Dated(start, end, value, onset=onset) if value else None
    if found["last"]:
        words = found["last"].lower()
        unit = (found["lu"] or "").lower()
        if unit in _SEASONS:
            return None
        if unit:
            this = words.startswith(("this", "earlier")) and "past" not in words
            value = back(clock, 0 if this else 1, unit) if unit != "week" or not this else None
        elif words in ("yesterday", "last night", "the day before"):
            value = back(clock, 1, "day")
        else:
            value = back(clock, 0, "day")
        return Dated(start, end, value) if value else None
    age = found["an"] or found["an2"] or found["an3"]
    if age and clock.born:
        return Dated(start, end, _partial(clock.born.year + int(age)))
    return None


def relative(value: str, letter: date) -> str:
    """How far a partial date lies from the letter, in its own precision: "(Y-4)", "(M-18)", "(D-3)", "(D+7)"."""
    parts = [int(part) for part in value.split("-")]
    if len(parts) == 1:
        unit, distance = "Y", parts[0] - letter.year
    elif len(parts) == 2:
        unit, distance = "M", (parts[0] - letter.year) * 12 + parts[1] - letter.month
    else:
        unit, distance = "D", (date(*parts) - letter).days
    return f"({unit}{'+' if distance > 0 else '-'}{abs(distance)})"
