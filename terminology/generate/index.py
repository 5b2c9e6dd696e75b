"""Builds the index that the service maps: the code systems and value sets of FHIR R4B and HL7 Terminology, ICD-10-CM
and the SNOMED CT Global Patient Set. The file is gzipped when its name ends in .gz.

    python -m terminology.generate.index --core .../hl7.fhir.r4b.core-4.3.0/package \
        --expansions .../hl7.fhir.r4b.expansions-4.3.0/package --tho .../hl7.terminology.r4-7.0.1/package --out FILE
"""

from __future__ import annotations

import argparse
import gzip
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from terminology.content import ICD10CM, ICD10CM_VERSION, SNOMED, SNOMED_VERSION, rows
from terminology.index import SCHEMA

Json = dict[str, Any]
THO = ("http://terminology.hl7.org/", "http://hl7.org/fhir/us/", "http://www.")
#: Properties of HL7's own bookkeeping, of no use to a client.
UNUSED = frozenset(("internalId", "synonymCode", "HL7usageNotes", "openIssue", "howApplies", "v2-table-status"))
GLOBAL_PATIENT_SET = "http://terminology.hl7.org/ValueSet/snomed-intl-gps"


def resources(folder: Path, type: str) -> Iterator[Json]:
    """The resources of one type in an unpacked npm package, in the order of their names."""
    for path in sorted(folder.glob(f"{type}-*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


class Builder:
    """Writes the index. A url is taken from the first source that has it."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.db = sqlite3.connect(path)
        self.db.executescript("PRAGMA journal_mode=OFF; PRAGMA page_size=4096;")
        self.db.executescript(SCHEMA)
        self.systems: dict[str, int] = {}
        self.sets: dict[str, int] = {}

    def system(self, resource: Json) -> None:
        url, content = resource.get("url"), resource.get("content")
        if not url or url in self.systems or content not in ("complete", "fragment"):
            return
        number = self._system(url, resource, content, resource.get("caseSensitive", True))
        concepts: list[tuple[str, str, str, int]] = []
        edges: list[tuple[str, str]] = []
        properties: list[tuple[str, str, str]] = []
        self._walk(resource.get("concept", ()), None, concepts, edges, properties)
        self._write(number, concepts, edges, properties)

    def _system(self, url: str, resource: Json, content: str, case_sensitive: bool) -> int:
        number = self.systems[url] = len(self.systems) + 1
        self.db.execute(
            "INSERT INTO systems VALUES (?,?,?,?,?,?,?)",
            (
                number,
                url,
                resource.get("version"),
                resource.get("name"),
                resource.get("title"),
                content,
                case_sensitive,
            ),
        )
        return number

    def _write(
        self,
        number: int,
        concepts: Iterable[tuple[str, str | None, str | None, int]],
        edges: Iterable[tuple[str, str]],
        properties: Iterable[tuple[str, str, str]],
    ) -> None:
        self.db.executemany("INSERT OR IGNORE INTO concepts VALUES (?,?,?,?,?)", [(number, *c) for c in concepts])
        self.db.executemany("INSERT OR IGNORE INTO edges VALUES (?,?,?)", [(number, *e) for e in edges])
        self.db.executemany("INSERT OR IGNORE INTO properties VALUES (?,?,?,?)", [(number, *p) for p in properties])

    def _walk(
        self,
        concepts: Iterable[Json],
        parent: str | None,
        out: list[tuple[str, str, str, int]],
        edges: list[tuple[str, str]],
        properties: list[tuple[str, str, str]],
    ) -> None:
        for concept in concepts:
            code = concept["code"]
            out.append((code, concept.get("display"), concept.get("definition"), len(out)))  # type: ignore[arg-type]
            if parent is not None:
                edges.append((code, parent))
            for item in concept.get("property", ()):
                name = item["code"]
                value = next((item[k] for k in item if k.startswith("value")), None)
                if isinstance(value, dict):
                    value = value.get("code")
                if name in ("parent", "subsumedBy") and value:
                    edges.append((code, str(value)))
                elif name == "child" and value:
                    edges.append((str(value), code))
                elif name not in UNUSED and value is not None:
                    text = str(value).lower() if isinstance(value, bool) else str(value)
                    properties.append((code, name, text))
            self._walk(concept.get("concept", ()), code, out, edges, properties)

    def value_set(self, resource: Json, expansion: Json | None) -> None:
        url = resource.get("url")
        if not url or url in self.sets:
            return
        number = self.sets[url] = len(self.sets) + 1
        compose = resource.get("compose")
        if url == GLOBAL_PATIENT_SET:
            compose = {"include": [{"system": SNOMED, "filter": [{"property": "content", "op": "=", "value": "gps"}]}]}
        members = _members(expansion) if expansion and compose and _foreign(compose, self.systems) else None
        self.db.execute(
            "INSERT INTO value_sets VALUES (?,?,?,?,?,?,?)",
            (
                number,
                url,
                resource.get("version"),
                resource.get("name"),
                resource.get("title"),
                json.dumps(_lean(compose), separators=(",", ":")) if compose else None,
                json.dumps(members, separators=(",", ":")) if members else None,
            ),
        )

    def icd10cm(self) -> None:
        number = self._system(
            ICD10CM, {"version": ICD10CM_VERSION, "name": "ICD10CM", "title": "ICD-10-CM"}, "complete", False
        )
        concepts: list[tuple[str, str | None, str | None, int]] = []
        edges: list[tuple[str, str]] = []
        sevenths: list[tuple[str, str, str]] = []
        for kind, code, parent, title, _, _, seventh, _ in rows("icd10cm.tsv.gz"):
            if kind == "chapter":
                continue
            if kind == "section":
                continue
            concepts.append((code, title, None, len(concepts)))
            if "-" not in parent and parent:
                edges.append((code, parent))
            if seventh:
                sevenths.append((code, "seventh", _codes(seventh)))
        self._write(number, concepts, edges, sevenths)

    def snomed(self) -> None:
        number = self._system(
            SNOMED,
            {
                "version": f"{SNOMED}/900000000000207008/version/{SNOMED_VERSION.replace('-', '')}",
                "name": "SNOMED_CT",
                "title": "SNOMED CT (Global Patient Set)",
            },
            "fragment",
            True,
        )
        concepts = [(code, fsn, None, at) for at, (code, fsn) in enumerate(rows("snomed-gps.tsv.gz"))]
        self._write(number, concepts, (), ())

    def close(self) -> None:
        self.db.commit()
        self.db.execute("VACUUM")
        self.db.close()


def _codes(seventh: str) -> str:
    return "".join(part.split("=", 1)[0] for part in seventh.split("|"))


def _lean(compose: Json) -> Json:
    """A compose without designations and extensions."""
    keep = ("system", "version", "concept", "filter", "valueSet")
    lean: Json = {}
    for part in ("include", "exclude"):
        if part in compose:
            lean[part] = [
                {
                    k: ([{c: x[c] for c in ("code", "display") if c in x} for x in v] if k == "concept" else v)
                    for k, v in include.items()
                    if k in keep
                }
                for include in compose[part]
            ]
    return lean


def _foreign(compose: Json, systems: dict[str, int]) -> bool:
    """True when an include takes more than enumerated codes of a system whose content is not here."""
    return any(
        "concept" not in include
        and include.get("system")
        and (include["system"] not in systems or include["system"] == SNOMED)
        for include in compose.get("include", ())
    )


def _members(resource: Json) -> list[list[str]] | None:
    expansion = resource.get("expansion", {})
    if any("toocostly" in e.get("url", "") for e in expansion.get("extension", ())):
        return None
    found: list[list[str]] = []

    def walk(items: Iterable[Json]) -> None:
        for item in items:
            if item.get("code") and not item.get("abstract"):
                found.append([item.get("system", ""), item["code"], item.get("display", "")])
            walk(item.get("contains", ()))

    walk(expansion.get("contains", ()))
    total = expansion.get("total")
    return None if total is not None and total > len(found) else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("core", "expansions", "tho", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    plain = given.out.with_suffix("") if given.out.suffix == ".gz" else given.out
    builder = Builder(plain)
    builder.icd10cm()
    builder.snomed()
    for folder, mine in ((given.core, False), (given.tho, True), (given.core, True)):
        for resource in resources(folder, "CodeSystem"):
            if mine or not str(resource.get("url", "")).startswith(THO):
                builder.system(resource)
    expansions = {r.get("url"): r for r in resources(given.expansions, "ValueSet")}
    for folder, mine in ((given.core, False), (given.tho, True), (given.core, True)):
        for resource in resources(folder, "ValueSet"):
            if mine or not str(resource.get("url", "")).startswith(THO):
                builder.value_set(resource, expansions.get(resource.get("url")))
    builder.close()
    if plain != given.out:
        with given.out.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(plain.read_bytes())
        plain.unlink()
    print(len(builder.systems), "code systems,", len(builder.sets), "value sets,", given.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
