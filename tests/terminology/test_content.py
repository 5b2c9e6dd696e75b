"""The shipped content is whole, and every curated code stands in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from terminology.content import DATA, rows
from terminology.generate.phrases import table

SYNONYMS = [row for row in rows("synonyms.tsv") if row[1] != "-"]


@pytest.fixture(scope="module")
def snomed() -> dict[str, str]:
    known = {code: fsn.rsplit("(", 1)[1].rstrip(")") for code, fsn in rows("snomed-gps.tsv.gz")}
    for _, _, codes, _ in rows("disease-ontology.tsv.gz"):
        for code in codes.split("|"):
            known.setdefault(code, "disorder")
    return known


def test_the_global_patient_set_is_complete() -> None:
    assert sum(1 for _ in rows("snomed-gps.tsv.gz")) == 26158


def test_there_are_at_least_600_curated_phrases() -> None:
    assert len({row[0] for row in SYNONYMS if row[1]}) >= 600


def test_every_curated_phrase_stands_once() -> None:
    phrases = [row[0] for row in rows("synonyms.tsv")]
    assert len(phrases) == len(set(phrases))


def test_every_curated_snomed_code_is_in_the_open_content(snomed: dict[str, str]) -> None:
    assert [row for row in SYNONYMS if row[1] and row[1] not in snomed] == []


def test_every_curated_semantic_type_is_that_of_the_fully_specified_name(snomed: dict[str, str]) -> None:
    assert [row for row in SYNONYMS if row[1] and snomed[row[1]] != row[3]] == []


def test_every_curated_icd10cm_code_is_billable() -> None:
    leaves: dict[str, str] = {row[1]: row[6] for row in rows("icd10cm.tsv.gz") if row[0] == "code" and row[7]}

    def billable(code: str) -> bool:
        if leaves.get(code) == "":
            return True
        stem = code[:-1].rstrip("X") if len(code) == 8 else code
        return any(f"{code[-1]}=" in leaves.get(s, "") for s in (code[:-1], stem, stem.rstrip(".")))

    assert [row for row in SYNONYMS if row[2] and not billable(row[2])] == []


def test_the_phrase_table_is_what_the_generator_makes() -> None:
    lines = gzip.decompress((DATA / "phrases.tsv.gz").read_bytes()).decode().splitlines()[1:]
    assert lines == ["\t".join(row) for row in table()]


def test_origin_and_licence_of_every_file_are_written_down() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert [
        p.name
        for p in Path(DATA).iterdir()
        if p.suffix != ".md" and f"`{p.name}`" not in readme and p.name[:4] != "ucum"
    ] == []


def test_the_snomed_licence_is_attributed() -> None:
    assert "Creative Commons Attribution 4.0" in (DATA / "README.md").read_text(encoding="utf-8")
