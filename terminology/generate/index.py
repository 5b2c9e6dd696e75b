"""Builds the index that the service maps: the code systems, value sets and concept maps of FHIR R4B and HL7
Terminology, ICD-10-CM and the SNOMED CT Global Patient Set. The file is gzipped when its name ends in .gz.

    python -m terminology.generate.index --core .../hl7.fhir.r4b.core-4.3.0/package \
        --expansions .../hl7.fhir.r4b.expansions-4.3.0/package --tho .../hl7.terminology.r4-7.0.1/package \
        --icd10cm .../icd10c-tabular-April-1-2026.xml --out FILE
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from terminology.building import Builder, Row
from terminology.content import ICD10CM, ICD10CM_VERSION, SNOMED, SNOMED_VERSION, rows
from terminology.server.systems import Property

Json = dict[str, Any]
THO = ("http://terminology.hl7.org/", "http://hl7.org/fhir/us/", "http://www.")
#: Properties of HL7's own bookkeeping, of no use to a client.
UNUSED = frozenset(("internalId", "synonymCode", "HL7usageNotes", "openIssue", "howApplies", "v2-table-status"))
GLOBAL_PATIENT_SET = "http://terminology.hl7.org/ValueSet/snomed-intl-gps"
GPS_VERSION = f"{SNOMED}/900000000000207008/version/{SNOMED_VERSION.replace('-', '')}"
NOTES = {
    "includes": "includes",
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "codeFirst": "codeFirst",
    "useAdditionalCode": "useAdditionalCode",
    "codeAlso": "codeAlso",
}
_TEXT = "valueString"


def resources(folder: Path, type: str) -> Iterator[Json]:
    """The resources of one type in an unpacked npm package, in the order of their names."""
    for path in sorted(folder.glob(f"{type}-*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def without_bookkeeping(resource: Json) -> Json:
    """A code system without the properties that only its authors use."""
    waiting = list(resource.get("concept") or ())
    while waiting:
        concept = waiting.pop()
        waiting.extend(concept.get("concept") or ())
        if "property" in concept:
            concept["property"] = [one for one in concept["property"] if one.get("code") not in UNUSED]
    if "property" in resource:
        resource["property"] = [one for one in resource["property"] if one.get("code") not in UNUSED]
    return resource


def icd10cm_meta() -> Json:
    properties = [
        {"code": "billable", "description": "May be reported: it has no subdivision.", "type": "boolean"},
        {"code": "chapter", "description": "Number of the chapter.", "type": "string"},
        {"code": "block", "description": "Range of the block, e.g. E08-E13.", "type": "string"},
        *({"code": name, "description": f"Tabular note: {name}.", "type": "string"} for name in NOTES.values()),
    ]
    return {
        "resourceType": "CodeSystem",
        "url": ICD10CM,
        "version": ICD10CM_VERSION,
        "name": "ICD10CM",
        "title": "International Classification of Diseases, 10th Revision, Clinical Modification",
        "status": "active",
        "experimental": False,
        "publisher": "National Center for Health Statistics",
        "copyright": "US Government work, public domain",
        "language": "en",
        "caseSensitive": False,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": properties,
    }


def icd10cm_notes(tabular: Path) -> dict[str, list[tuple[str, str]]]:
    """code -> (property, text) of the tabular list's notes."""
    found: dict[str, list[tuple[str, str]]] = {}
    for diag in etree.parse(str(tabular)).getroot().iter("diag"):
        for tag, name in NOTES.items():
            for note in diag.findall(f"{tag}/note"):
                text = " ".join((note.text or "").split())
                if text:
                    found.setdefault(diag.findtext("name", ""), []).append((name, text))
    return found


def icd10cm_rows(notes: dict[str, list[tuple[str, str]]]) -> Iterator[Row]:
    """Every code of the tabular list, and its completions by seventh characters."""
    chapter = block = ""
    with_children = {row[2] for row in rows("icd10cm.tsv.gz")}
    use = {"system": "http://hl7.org/fhir/designation-usage", "code": "synonym", "display": "inclusion term"}
    for kind, code, parent, title, terms, _, seventh, _leaf in rows("icd10cm.tsv.gz"):
        if kind == "chapter":
            continue
        if kind == "section":
            chapter, block = parent, code
            continue
        place = [Property("chapter", _TEXT, chapter), Property("block", _TEXT, block)]
        leaf = code not in with_children
        completions = completed(code, seventh) if leaf else []
        said = [Property(name, _TEXT, text) for name, text in notes.get(code, ())]
        billable = Property("billable", "valueBoolean", leaf and not completions)
        names = [(None, use, term) for term in terms.split("|") if term]
        yield Row(code, title, None, [parent] if "-" not in parent and parent else [], [billable, *place, *said], names)
        for full, meaning in completions:
            yield Row(full, f"{title}, {meaning}", None, [code], [Property("billable", "valueBoolean", True)])


def completed(code: str, seventh: str) -> list[tuple[str, str]]:
    """(code, meaning) with each seventh character that it takes, padded with X to the sixth place."""
    dotted = code if "." in code else f"{code}."
    found = []
    for part in seventh.split("|"):
        letter, _, meaning = part.partition("=")
        if letter:
            found.append((dotted.ljust(7, "X") + letter, meaning))
    return found


def snomed_meta() -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": SNOMED,
        "version": GPS_VERSION,
        "name": "SNOMED_CT",
        "title": "SNOMED CT (Global Patient Set)",
        "status": "active",
        "experimental": False,
        "publisher": "SNOMED International",
        "copyright": "SNOMED International Global Patient Set, CC BY 4.0",
        "language": "en",
        "caseSensitive": True,
        "content": "fragment",
    }


def unpinned(resource: Json, known: set[tuple[str, str | None]]) -> Json:
    """A value set that names no version of a code system that is not here: HL7 publishes one version of each."""
    compose = resource.get("compose")
    if not compose:
        return resource
    changed = dict(compose)
    for part in ("include", "exclude"):
        if part in compose:
            changed[part] = [
                {k: v for k, v in one.items() if k != "version" or (one.get("system", ""), v) in known}
                for one in compose[part]
            ]
    return {**resource, "compose": changed}


def with_members(resource: Json, expansion: Json | None, known: set[str]) -> Json:
    """A value set; with HL7's expansion when its definition needs content that is not here."""
    compose = resource.get("compose")
    if resource.get("url") == GLOBAL_PATIENT_SET:
        return {**resource, "compose": {"include": [{"system": SNOMED, "version": GPS_VERSION}]}}
    if expansion is None or not compose or not _foreign(compose, known):
        return resource
    members = _members(expansion)
    if not members:
        return resource
    # The definition cannot be worked out here, so the codes that HL7 found stand in for it.
    by_system: dict[str, list[Json]] = {}
    for system, code, display in members:
        by_system.setdefault(system, []).append({"code": code, **({"display": display} if display else {})})
    kept = {key: value for key, value in resource.items() if key != "compose"}
    return {
        **kept,
        "expansion": {
            "timestamp": _timestamp(expansion),
            "contains": [{"system": system, **item} for system, items in by_system.items() for item in items],
        },
    }


def _timestamp(resource: Json) -> str:
    return str((resource.get("expansion") or {}).get("timestamp", "2022-05-28T00:00:00Z"))


def _foreign(compose: Json, known: set[str]) -> bool:
    """True when an include takes more than enumerated codes of a system whose content is not here."""
    return any(
        "concept" not in include and include.get("system") and include["system"] not in known
        for include in compose.get("include", ())
    )


def _members(resource: Json) -> list[tuple[str, str, str]] | None:
    expansion = resource.get("expansion", {})
    if any("toocostly" in e.get("url", "") for e in expansion.get("extension", ())):
        return None
    found: list[tuple[str, str, str]] = []

    def walk(items: Iterable[Json]) -> None:
        for item in items:
            if item.get("code") and not item.get("abstract"):
                found.append((item.get("system", ""), item["code"], item.get("display", "")))
            walk(item.get("contains", ()))

    walk(expansion.get("contains", ()))
    total = expansion.get("total")
    return None if total is not None and total > len(found) else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("core", "expansions", "tho", "icd10cm", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    plain = given.out.with_suffix("") if given.out.suffix == ".gz" else given.out
    builder = Builder(plain)
    builder.system(icd10cm_meta(), icd10cm_rows(icd10cm_notes(given.icd10cm)))
    builder.system(snomed_meta(), (Row(code, fsn) for code, fsn in rows("snomed-gps.tsv.gz")))
    urls = {ICD10CM, SNOMED}
    # What both publish is taken from HL7 Terminology, where it is kept; what FHIR owns, from FHIR.
    sources = ((given.core, False), (given.tho, True), (given.core, True))
    for folder, mine in sources:
        for resource in resources(folder, "CodeSystem"):
            url = str(resource.get("url", ""))
            if (
                (mine or not url.startswith(THO))
                and url not in urls
                and builder.code_system(without_bookkeeping(resource))
            ):
                urls.add(url)
    known = urls - {SNOMED}
    expansions = {r.get("url"): r for r in resources(given.expansions, "ValueSet")}
    sets: set[str] = set()
    maps: set[str] = set()
    for folder, mine in sources:
        for resource in resources(folder, "ValueSet"):
            url = str(resource.get("url", ""))
            if (mine or not url.startswith(THO)) and url not in sets:
                builder.value_set(with_members(unpinned(resource, set(builder.systems)), expansions.get(url), known))
                sets.add(url)
        for resource in resources(folder, "ConceptMap"):
            url = str(resource.get("url", ""))
            if url and url not in maps:
                builder.concept_map(resource)
                maps.add(url)
    builder.close()
    if plain != given.out:
        with given.out.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(plain.read_bytes())
        plain.unlink()
    size = given.out.stat().st_size
    print(f"{len(urls)} code systems, {len(sets)} value sets, {len(maps)} concept maps, {size} bytes")


if __name__ == "__main__":
    main()
