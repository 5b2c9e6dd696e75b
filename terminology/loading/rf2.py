"""SNOMED CT in Release Format 2, snapshot: concepts, descriptions, language reference sets, inferred relationships,
simple reference sets, simple and extended maps. What is large is staged in a database on disk, not in memory."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from terminology.building import Builder, Row
from terminology.content import SNOMED
from terminology.loading.source import Member, Progress, Release, table
from terminology.server.designations import FULLY_SPECIFIED, SYNONYM
from terminology.server.systems import Property

Json = dict[str, Any]
_IS_A: Final = "116680003"
_STATED: Final = "900000000000010007"
_DEFINED: Final = "900000000000073002"
_PREFERRED: Final = "900000000000548007"
_INTERNATIONAL: Final = "900000000000207008"
_CORE: Final = frozenset((_INTERNATIONAL, "900000000000012004"))
#: Language reference sets in the order in which their preferred terms are shown.
_ENGLISH: Final = ("900000000000509007", "900000000000508004")
_USES: Final = {
    FULLY_SPECIFIED: {"system": SNOMED, "code": FULLY_SPECIFIED, "display": "Fully specified name"},
    SYNONYM: {"system": SNOMED, "code": SYNONYM, "display": "Synonym"},
}
_DATE: Final = re.compile(r"_([A-Z]{2,3}\d*)_(\d{8})\.txt\Z")
#: Country of a file's name -> module of the edition.
_EDITIONS: Final = {
    "INT": _INTERNATIONAL,
    "US1000124": "731000124108",
    "GB1000000": "83821000000107",
    "GB": "83821000000107",
    "AU1000036": "32506021000036107",
    "CA1000087": "20611000087101",
    "NL1000146": "11000146104",
    "SE1000052": "45991000052106",
    "DK1000005": "554471000005108",
    "BE1000172": "11000172109",
    "CH1000195": "2011000195101",
    "NO1000202": "51000202101",
    "IE1000220": "11000220105",
    "NZ1000210": "21000210109",
    "EE1000181": "11000181102",
    "ES": "449081005",
}
#: Reference sets of extended maps -> what they map to.
_MAP_TARGETS: Final = {
    "6011000124106": "http://hl7.org/fhir/sid/icd-10-cm",
    "447562003": "http://hl7.org/fhir/sid/icd-10",
    "446608001": "http://hl7.org/fhir/sid/icd-o-3",
    "900000000000497000": "http://read.info/ctv3",
}
_CORRELATION: Final = {
    "447557004": "equivalent",
    "447559001": "narrower",
    "447558009": "wider",
    "447560006": "inexact",
    "447556008": "unmatched",
}
_CONDITION: Final = re.compile(r"IFA (\d+)")
_BATCH: Final = 20_000


class Rf2(Release):
    """See Release."""

    name = "SNOMED CT"

    def __init__(self, files: Sequence[Member]) -> None:
        chosen = [one for one in files if "Snapshot" in one.base and one.base.endswith(".txt")]
        self._concepts = [one for one in chosen if one.base.startswith("sct2_Concept_")]
        self._descriptions = [one for one in chosen if one.base.startswith("sct2_Description_")]
        self._relationships = [one for one in chosen if one.base.startswith("sct2_Relationship_")]
        refsets = [one for one in chosen if "Refset" in one.base]
        self._languages = [one for one in refsets if "Language" in one.base]
        self._simple = [one for one in refsets if re.search(r"Refset_Simple(?!Map)", one.base)]
        self._simple_maps = [one for one in refsets if "SimpleMap" in one.base]
        self._extended_maps = [one for one in refsets if "ExtendedMap" in one.base]
        self.size = sum(one.size for one in self.files())
        told = sorted((m[2], m[1]) for one in self._concepts if (m := _DATE.search(one.base)))
        date, country = told[-1] if told else ("", "INT")
        self.module = _EDITIONS.get(country) or self._module()
        self.version = f"{SNOMED}/{self.module}/version/{date}"

    def files(self) -> list[Member]:
        groups = (self._concepts, self._descriptions, self._relationships, self._languages, self._simple)
        return [one for group in (*groups, self._simple_maps, self._extended_maps) for one in group]

    def _module(self) -> str:
        """The module of the newest concepts that are not of the core: that of the edition."""
        newest: dict[str, str] = {}
        for member in self._concepts:
            for row in _body(member):
                if row[3] not in _CORE:
                    newest[row[3]] = max(newest.get(row[3], ""), row[1])
        return max(newest, key=lambda module: (newest[module], module), default=_INTERNATIONAL)

    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        path = stage / "rf2.stage"
        path.unlink(missing_ok=True)
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.executescript(_STAGE)
            self._stage(db, progress)
            types = [row[0] for row in db.execute("SELECT DISTINCT type FROM relations WHERE type<>?", (_IS_A,))]
            builder.system(self._meta(types), _rows(db, lambda count: progress(self.size, count)))
            for (refset,) in db.execute("SELECT DISTINCT refset FROM members").fetchall():
                codes = (row[0] for row in db.execute("SELECT concept FROM members WHERE refset=?", (refset,)))
                builder.members(SNOMED, self.version, refset, codes)
            self._maps(builder, db)
        finally:
            db.close()
            path.unlink(missing_ok=True)

    def _stage(self, db: sqlite3.Connection, progress: Progress) -> None:
        reader = _Reader(db, progress)
        reader.take(self._concepts, "INSERT OR REPLACE INTO concepts VALUES (?,?,?,?)", _concept)
        reader.take(self._descriptions, "INSERT INTO descriptions VALUES (?,?,?,?,?)", _description)
        reader.take(self._languages, "INSERT INTO languages VALUES (?,?)", _language)
        reader.take(self._relationships, "INSERT INTO relations VALUES (?,?,?)", _relation)
        reader.take(self._simple, "INSERT INTO members VALUES (?,?)", _member)
        reader.take(self._simple_maps, "INSERT INTO maps VALUES (?,?,1,1,'TRUE','',?,'')", _simple_map)
        reader.take(self._extended_maps, "INSERT INTO maps VALUES (?,?,?,?,?,?,?,?)", _extended_map)
        db.executescript(_STAGE_INDEXES)

    def _meta(self, types: Sequence[str]) -> Json:
        return {
            "resourceType": "CodeSystem",
            "url": SNOMED,
            "version": self.version,
            "name": "SNOMED_CT",
            "title": "SNOMED CT",
            "status": "active",
            "experimental": False,
            "publisher": "SNOMED International",
            "copyright": "This value includes content from SNOMED Clinical Terms (SNOMED CT), which is copyright of "
            "SNOMED International, used by permission under the operator's own licence.",
            "language": "en",
            "caseSensitive": True,
            "hierarchyMeaning": "is-a",
            "content": "complete",
            "property": [
                {"code": "inactive", "type": "boolean", "uri": "http://snomed.info/field/Concept.active"},
                {"code": "sufficientlyDefined", "type": "boolean"},
                {"code": "moduleId", "type": "code"},
                {"code": "effectiveTime", "type": "string"},
                *({"code": one, "type": "code", "uri": f"http://snomed.info/id/{one}"} for one in sorted(types)),
            ],
            "filter": [{"code": "constraint", "operator": ["="], "value": "ECL"}],
        }

    def _maps(self, builder: Builder, db: sqlite3.Connection) -> None:
        for (refset,) in db.execute("SELECT DISTINCT refset FROM maps").fetchall():
            target = _MAP_TARGETS.get(refset, f"http://snomed.info/id/{refset}")
            url = f"{SNOMED}?fhir_cm={refset}"
            told = {"resourceType": "ConceptMap", "url": url, "version": self.version, "status": "active"}
            told |= {"name": f"Map{refset}", "sourceUri": f"{SNOMED}?fhir_vs"}
            builder.map(told, [({"source": SNOMED, "target": target}, _elements(db, refset))])


_STAGE: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE concepts (id TEXT PRIMARY KEY, active INTEGER, module TEXT, extra TEXT) WITHOUT ROWID;
CREATE TABLE descriptions (id TEXT, concept TEXT, language TEXT, type TEXT, term TEXT);
CREATE TABLE languages (description TEXT, refset TEXT);
CREATE TABLE relations (child TEXT, type TEXT, target TEXT);
CREATE TABLE members (refset TEXT, concept TEXT);
CREATE TABLE maps (refset TEXT, concept TEXT, grp INTEGER, priority INTEGER, rule TEXT, advice TEXT, target TEXT,
  correlation TEXT);
"""
_STAGE_INDEXES: Final = """
CREATE INDEX by_concept ON descriptions (concept);
CREATE INDEX by_description ON languages (description);
CREATE INDEX by_child ON relations (child);
CREATE INDEX by_refset ON members (refset);
CREATE INDEX by_map ON maps (refset, concept, grp, priority);
"""


def _body(member: Member) -> Iterator[list[str]]:
    rows = table(member, "\t")
    next(rows, None)
    yield from rows


class _Reader:
    """Takes the rows of files into the stage."""

    def __init__(self, db: sqlite3.Connection, progress: Progress) -> None:
        self._db = db
        self._progress = progress
        self._read = 0

    def take(self, files: Sequence[Member], insert: str, values: Callable[[list[str]], tuple[Any, ...] | None]) -> None:
        batch: list[tuple[Any, ...]] = []
        for member in files:
            for row in _body(member):
                self._read += sum(map(len, row)) + len(row)
                one = values(row)
                if one is not None:
                    batch.append(one)
                if len(batch) >= _BATCH:
                    self._db.executemany(insert, batch)
                    batch.clear()
                    self._progress(self._read, 0)
        self._db.executemany(insert, batch)


def _concept(row: list[str]) -> tuple[Any, ...]:
    # id effectiveTime active moduleId definitionStatusId
    return row[0], row[2] == "1", row[3], f"{row[1]}{'*' if row[4] == _DEFINED else ''}"


def _description(row: list[str]) -> tuple[Any, ...] | None:
    # id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId
    return (row[0], row[4], row[5], row[6], row[7]) if row[2] == "1" else None


def _language(row: list[str]) -> tuple[Any, ...] | None:
    # id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId
    return (row[5], row[4]) if row[2] == "1" and row[6] == _PREFERRED else None


def _relation(row: list[str]) -> tuple[Any, ...] | None:
    # id effectiveTime active moduleId sourceId destinationId group typeId characteristicTypeId modifierId
    return (row[4], row[7], row[5]) if row[2] == "1" and row[8] != _STATED else None


def _member(row: list[str]) -> tuple[Any, ...] | None:
    return (row[4], row[5]) if row[2] == "1" else None


def _simple_map(row: list[str]) -> tuple[Any, ...] | None:
    return (row[4], row[5], row[6]) if row[2] == "1" and row[6] else None


def _extended_map(row: list[str]) -> tuple[Any, ...] | None:
    # ... refsetId referencedComponentId mapGroup mapPriority mapRule mapAdvice mapTarget correlationId mapCategoryId
    if row[2] != "1":
        return None
    return row[4], row[5], int(row[6]), int(row[7]), row[8], row[9], row[10], row[11]


def _rows(db: sqlite3.Connection, progress: Callable[[int], None]) -> Iterator[Row]:
    concepts = db.execute("SELECT id, active, module, extra FROM concepts ORDER BY length(id), id").fetchall()
    for count, (id, active, module, extra) in enumerate(concepts, 1):
        if not count % 1000:
            progress(count)
        said = [Property("moduleId", "valueCode", module)]
        said.append(Property("effectiveTime", "valueString", extra.rstrip("*")))
        said.append(Property("sufficientlyDefined", "valueBoolean", extra.endswith("*")))
        if not active:
            said.append(Property("inactive", "valueBoolean", True))
        parents = []
        for kind, target in db.execute("SELECT DISTINCT type, target FROM relations WHERE child=?", (id,)):
            if kind == _IS_A:
                parents.append(target)
            else:
                said.append(Property(kind, "valueCode", target))
        display, names = _names(db, id)
        yield Row(id, display, None, parents, said, names)


def _names(db: sqlite3.Connection, id: str) -> tuple[str | None, list[tuple[str | None, Json | None, str]]]:
    """(the preferred synonym in English, or what comes nearest; all descriptions)."""
    ask = (
        "SELECT d.language, d.type, d.term, (SELECT group_concat(refset) FROM languages WHERE description=d.id)"
        " FROM descriptions d WHERE d.concept=? ORDER BY d.type, length(d.id), d.id"
    )
    found = db.execute(ask, (id,)).fetchall()

    def rank(row: tuple[Any, ...]) -> tuple[int, int, int]:
        language, kind, _, refsets = row
        preferred = set((refsets or "").split(","))
        place = next((n for n, one in enumerate(_ENGLISH) if one in preferred), len(_ENGLISH) + (not refsets))
        return (language != "en", kind != SYNONYM, place)

    display = min(found, key=rank)[2] if found else None
    names: list[tuple[str | None, Json | None, str]] = [
        (language, _USES.get(kind), term) for language, kind, term, _ in found if term != display or kind != SYNONYM
    ]
    return display, names


def _elements(db: sqlite3.Connection, refset: str) -> Iterator[Json]:
    """The elements of a map: targets in the order of groups and priorities; a rule that asks for another finding is a
    dependency, and its advice a comment."""
    ask = "SELECT concept, grp, priority, rule, advice, target, correlation FROM maps WHERE refset=?"
    rows = db.execute(f"{ask} ORDER BY concept, grp, priority", (refset,))
    for concept, several in groupby(rows, key=lambda row: row[0]):
        targets: list[Json] = []
        for _, _, _, rule, advice, code, correlation in several:
            target: Json = {"equivalence": _CORRELATION.get(correlation, "relatedto" if code else "unmatched")}
            if code:
                target["code"] = code
            if advice:
                target["comment"] = advice
            told = _CONDITION.search(rule)
            if told:
                property = f"http://snomed.info/id/{told[1]}"
                target["dependsOn"] = [{"property": property, "system": SNOMED, "value": told[1]}]
            targets.append(target)
        yield {"code": concept, "target": targets}
