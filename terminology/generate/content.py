"""Builds snomed-gps.tsv.gz, icd10cm.tsv.gz and disease-ontology.tsv.gz from their published sources.

    python -m terminology.generate.content --gps ValueSet-snomed-intl-gps.json \
        --icd10cm icd10c-tabular-April-1-2026.xml --doid disease-ontology-xrefs.tsv.gz --out terminology/data
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lxml import etree


def gps_rows(value_set: Path) -> Iterator[tuple[str, ...]]:
    """code, fully specified name: every concept of the SNOMED CT Global Patient Set."""
    for include in json.loads(value_set.read_text())["compose"]["include"]:
        for concept in include["concept"]:
            yield concept["code"], concept["display"]


def _notes(element: etree._Element, tag: str) -> str:
    return "|".join(" ".join((note.text or "").split()) for note in element.findall(f"{tag}/note"))


def _seventh(element: etree._Element) -> str:
    return "|".join(
        f"{e.get('char')}={' '.join((e.text or '').split())}" for e in element.findall("sevenChrDef/extension")
    )


def icd10cm_rows(tabular: Path) -> Iterator[tuple[str, ...]]:
    """kind, code, parent, title, inclusion terms, includes, seventh characters (inherited downwards), leaf flag.

    kind is chapter, section or code. A code that takes a seventh character stands without it: its completions follow
    from the seventh characters ("A=initial encounter|D=..."), padded with X to the sixth place.
    """
    root = etree.parse(str(tabular)).getroot()
    for chapter in root.findall("chapter"):
        number = chapter.findtext("name", "")
        yield "chapter", number, "", chapter.findtext("desc", ""), "", _notes(chapter, "includes"), "", ""
        for section in chapter.findall("section"):
            block = section.get("id", "")
            if not section.findall("diag"):
                continue
            yield "section", block, number, section.findtext("desc", ""), "", _notes(section, "includes"), "", ""
            for diag in section.findall("diag"):
                yield from _diag(diag, block, "")


def _diag(diag: etree._Element, parent: str, seventh: str) -> Iterator[tuple[str, ...]]:
    code = diag.findtext("name", "")
    seventh = _seventh(diag) or seventh
    children = diag.findall("diag")
    title = " ".join(diag.findtext("desc", "").split())
    terms = _notes(diag, "inclusionTerm")
    yield "code", code, parent, title, terms, _notes(diag, "includes"), seventh, "" if children else "1"
    for child in children:
        yield from _diag(child, code, seventh)


def doid_rows(xrefs: Path) -> Iterator[tuple[str, ...]]:
    """DOID, label, SNOMED CT codes, ICD-10-CM codes ("|" between several) of every term that has one."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    labels: dict[str, str] = {}
    with gzip.open(xrefs, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            system, _, code = row["xref"].partition(":")
            labels[row["id"]] = row["label"]
            found[row["id"]]["SNOMED" if system.startswith("SNOMEDCT") else system].add(code)
    for doid, systems in sorted(found.items()):
        snomed, icd = systems.get("SNOMED", set()), systems.get("ICD10CM", set())
        if snomed or icd:
            yield doid, labels[doid], "|".join(sorted(snomed)), "|".join(sorted(icd))


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Writes a gzipped TSV that is the same byte for byte on every run; returns the number of rows."""
    lines = ["\t".join(header), *("\t".join(row) for row in rows)]
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return len(lines) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("gps", "icd10cm", "doid"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.gps:
        print(write(given.out / "snomed-gps.tsv.gz", ("code", "fsn"), gps_rows(given.gps)))
    if given.icd10cm:
        header = ("kind", "code", "parent", "title", "inclusion", "includes", "seventh", "leaf")
        print(write(given.out / "icd10cm.tsv.gz", header, icd10cm_rows(given.icd10cm)))
    if given.doid:
        print(
            write(given.out / "disease-ontology.tsv.gz", ("doid", "label", "snomed", "icd10cm"), doid_rows(given.doid))
        )


if __name__ == "__main__":
    main()
