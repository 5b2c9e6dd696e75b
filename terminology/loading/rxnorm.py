"""RxNorm in the form that the National Library of Medicine publishes: RXNCONSO, RXNREL and RXNSAB in Rich Release
Format."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from terminology.building import Builder, Row
from terminology.loading.source import Member, Progress, Release, table
from terminology.server.systems import Property

Json = dict[str, Any]
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
#: Term types of normal names, the one to show first; the others are synonyms.
_PREFERRED: Final = ("IN", "PIN", "MIN", "BN", "SCD", "SBD", "GPCK", "BPCK", "SCDC", "SBDC", "SCDF", "SBDF", "SCDG",
                     "SBDG", "DF", "DFG", "PSN", "SY", "TMSY")  # fmt: skip
_RANK: Final = {kind: rank for rank, kind in enumerate(_PREFERRED)}
_DATE: Final = re.compile(r"(\d{8})")
_BATCH: Final = 20_000


class RxNorm(Release):
    """See Release."""

    name = "RxNorm"

    def __init__(self, path: str, files: Sequence[Member]) -> None:
        by_name = {one.base.upper(): one for one in files if "/prescribe/" not in f"/{one.name.lower()}"}
        by_name = by_name or {one.base.upper(): one for one in files}
        self._names = by_name["RXNCONSO.RRF"]
        self._relations = by_name.get("RXNREL.RRF")
        self._sources = by_name.get("RXNSAB.RRF")
        self.size = sum(one.size for one in self.files())
        self.version = self._stated() or (told[1] if (told := _DATE.search(path)) else "")

    def files(self) -> list[Member]:
        return [one for one in (self._names, self._relations, self._sources) if one is not None]

    def _stated(self) -> str:
        """The version that RXNSAB states of RXNORM itself, e.g. 20AA_240102F -> 2024-01-02 is left as it is."""
        if self._sources is not None:
            for row in table(self._sources, "|"):
                if len(row) > 6 and row[3] == "RXNORM" and row[6]:
                    return row[6]
        return ""

    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        path = stage / "rxnorm.stage"
        path.unlink(missing_ok=True)
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                "CREATE TABLE names (cui TEXT, rank INTEGER, kind TEXT, name TEXT, suppress TEXT);"
                "CREATE TABLE relations (cui TEXT, name TEXT, other TEXT)"
            )
            self._stage(db, progress)
            builder.system(meta(self.version), _concepts(db, lambda count: progress(self.size, count)))
        finally:
            db.close()
            path.unlink(missing_ok=True)

    def _stage(self, db: sqlite3.Connection, progress: Progress) -> None:
        read = 0
        batch: list[tuple[Any, ...]] = []
        for row in table(self._names, "|"):
            read += sum(map(len, row)) + len(row)
            # RXCUI LAT TS LUI STT SUI ISPREF RXAUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF
            if len(row) > 16 and row[11] == "RXNORM":
                batch.append((row[0], _RANK.get(row[12], len(_RANK)), row[12], row[14], row[16]))
                if len(batch) >= _BATCH:
                    db.executemany("INSERT INTO names VALUES (?,?,?,?,?)", batch)
                    batch.clear()
                    progress(read, 0)
        db.executemany("INSERT INTO names VALUES (?,?,?,?,?)", batch)
        if self._relations is not None:
            batch = []
            for row in table(self._relations, "|"):
                read += sum(map(len, row)) + len(row)
                # RXCUI1 RXAUI1 STYPE1 REL RXCUI2 RXAUI2 STYPE2 RELA RUI SRUI SAB ...: the second has RELA to the first
                if len(row) > 10 and row[10] == "RXNORM" and row[2] == row[6] == "CUI" and row[7]:
                    batch.append((row[4], row[7], row[0]))
                    if len(batch) >= _BATCH:
                        db.executemany("INSERT INTO relations VALUES (?,?,?)", batch)
                        batch.clear()
                        progress(read, 0)
            db.executemany("INSERT INTO relations VALUES (?,?,?)", batch)
        db.executescript("CREATE INDEX by_name ON names (cui, rank); CREATE INDEX by_relation ON relations (cui)")


def _concepts(db: sqlite3.Connection, progress: Any) -> Iterator[Row]:
    order = "SELECT DISTINCT cui FROM names ORDER BY CAST(cui AS INTEGER)"
    for count, (cui,) in enumerate(db.execute(order).fetchall(), 1):
        if not count % 1000:
            progress(count)
        names = db.execute("SELECT kind, name, suppress FROM names WHERE cui=? ORDER BY rank, rowid", (cui,)).fetchall()
        _, display, suppress = names[0]
        said = [Property("TTY", "valueCode", one) for one in dict.fromkeys(name[0] for name in names)]
        if suppress in ("O", "E", "Y") and all(name[2] != "N" for name in names):
            said.append(Property("inactive", "valueBoolean", True))
        parents = []
        relations = db.execute("SELECT name, other FROM relations WHERE cui=? ORDER BY name, other", (cui,))
        for relation, other in relations:
            if relation == "isa":
                parents.append(other)
            else:
                said.append(Property(relation, "valueCode", other))
        others = [("en", {"system": RXNORM, "code": one[0]}, one[1]) for one in names[1:] if one[1] != display]
        yield Row(cui, display, None, parents, said, others)


def meta(version: str) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": RXNORM,
        **({"version": version} if version else {}),
        "name": "RxNorm",
        "title": "RxNorm",
        "status": "active",
        "experimental": False,
        "publisher": "National Library of Medicine (NLM)",
        "copyright": "Using RxNorm codes of type SAB=RXNORM is open to all; other content is under the UMLS license.",
        "language": "en",
        "caseSensitive": False,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": [
            {"code": "TTY", "type": "code", "description": "Term type"},
            {"code": "inactive", "type": "boolean"},
            *(
                {"code": name, "type": "code"}
                for name in (
                    "has_ingredient", "ingredient_of", "has_tradename", "tradename_of", "has_dose_form",
                    "dose_form_of", "has_form", "form_of", "consists_of", "constitutes", "contains", "contained_in",
                    "has_precise_ingredient", "precise_ingredient_of", "has_ingredients", "ingredients_of", "has_part",
                    "part_of", "has_quantified_form", "quantified_form_of", "reformulated_to", "reformulation_of",
                    "has_doseformgroup", "doseformgroup_of", "inverse_isa",
                )
            ),
        ],
    }  # fmt: skip
