"""LOINC in the form that Regenstrief publishes: Loinc.csv, and beside it the answer lists, the hierarchy of components
and the linguistic variants."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from terminology.building import Builder, Row
from terminology.loading.source import Member, Progress, Release
from terminology.server.systems import Property

Json = dict[str, Any]
LOINC: Final = "http://loinc.org"
_PROPERTIES: Final = (
    "COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS", "CLASSTYPE", "STATUS",
    "ORDER_OBS", "EXAMPLE_UCUM_UNITS", "PanelType", "VersionFirstReleased", "VersionLastChanged",
)  # fmt: skip
_NAMES: Final = ("SHORTNAME", "CONSUMER_NAME", "DisplayName")
_VARIANT: Final = re.compile(r"([a-z]{2})([A-Z]{2})\d*LinguisticVariant\.csv\Z")
_VERSION: Final = re.compile(r"[Ll]oinc_?(\d+\.\d+)")


class Loinc(Release):
    """See Release."""

    name = "LOINC"

    def __init__(self, path: str, files: Sequence[Member]) -> None:
        by_name = {one.base.lower(): one for one in files}
        self._terms = by_name["loinc.csv"]
        self._hierarchy = by_name.get("componenthierarchybysystem.csv")
        self._answers = by_name.get("answerlist.csv")
        self._variants = [one for one in files if _VARIANT.search(one.base)]
        self.size = sum(one.size for one in self.files())
        told = _VERSION.search(path) or next((m for one in files if (m := _VERSION.search(one.name))), None)
        self.version = told[1] if told else self._latest_change()

    def files(self) -> list[Member]:
        found = [self._terms, self._hierarchy, self._answers, *self._variants]
        return [one for one in found if one is not None]

    def _latest_change(self) -> str:
        versions = {row.get("VersionLastChanged", "") for row in rows_of(self._terms)}
        numbers = [version for version in versions if re.fullmatch(r"\d+\.\d+", version)]
        return max(numbers, key=lambda one: [int(part) for part in one.split(".")], default="")

    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        variants = self._languages()
        parents, parts = self._parents()
        lists = self._answer_lists()
        read = [self.size - self._terms.size]

        def concepts() -> Iterator[Row]:
            done: set[str] = set()
            for code, (text, above) in parts.items():
                yield Row(code, text, None, above)
                done.add(code)
            for number, row in enumerate(rows_of(self._terms), 1):
                code = row["LOINC_NUM"]
                read[0] += sum(map(len, row.values()))
                if not number % 1000:
                    progress(min(read[0], self.size), number)
                if code not in done:
                    yield term(row, parents.get(code, ()), variants.get(code, ()))
            seen: set[str] = set()
            for _, answers in lists.values():
                for code, text in answers:
                    if code not in seen:
                        seen.add(code)
                        yield Row(code, text)

        builder.system(meta(self.version), concepts())
        for list_id, (name, answers) in lists.items():
            include = {"system": LOINC, "concept": [{"code": code} for code, _ in answers]}
            builder.value_set(
                {
                    "resourceType": "ValueSet",
                    "url": f"{LOINC}/vs/{list_id}",
                    "version": self.version,
                    "title": name,
                    "status": "active",
                    "compose": {"include": [include]},
                }
            )
        builder.value_set(
            {
                "resourceType": "ValueSet",
                "url": f"{LOINC}/vs",
                "version": self.version,
                "title": "All LOINC codes",
                "status": "active",
                "compose": {"include": [{"system": LOINC}]},
            }
        )
        progress(self.size, builder.written)

    def _parents(self) -> tuple[dict[str, list[str]], dict[str, tuple[str, list[str]]]]:
        """(parents of every code, (name, parents) of the parts that are not terms)."""
        parents: dict[str, list[str]] = {}
        parts: dict[str, tuple[str, list[str]]] = {}
        if self._hierarchy is not None:
            for row in rows_of(self._hierarchy):
                code, parent = row["CODE"], row["IMMEDIATE_PARENT"]
                above = parents.setdefault(code, [])
                if parent and parent not in above:
                    above.append(parent)
                if code.startswith("LP"):
                    parts[code] = (row["CODE_TEXT"], above)
        return parents, parts

    def _answer_lists(self) -> dict[str, tuple[str, list[tuple[str, str]]]]:
        """id -> (name, answers as (code, text)) of the lists that say their answers."""
        found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        if self._answers is not None:
            for row in rows_of(self._answers):
                if row.get("AnswerStringId"):
                    _, answers = found.setdefault(row["AnswerListId"], (row.get("AnswerListName", ""), []))
                    answers.append((row["AnswerStringId"], row.get("DisplayText", "")))
        return found

    def _languages(self) -> dict[str, list[tuple[str, str]]]:
        """code -> (language, name) of the linguistic variants."""
        found: dict[str, list[tuple[str, str]]] = {}
        for member in self._variants:
            told = _VARIANT.search(member.base)
            assert told is not None
            for row in rows_of(member):
                name = row.get("LinguisticVariantDisplayName") or row.get("LONG_COMMON_NAME") or row.get("COMPONENT")
                if name:
                    found.setdefault(row["LOINC_NUM"], []).append((f"{told[1]}-{told[2]}", name))
        return found


def rows_of(member: Member) -> Iterator[dict[str, str]]:
    """Rows of a CSV file by the names of their columns."""
    yield from csv.DictReader(line.decode("utf-8-sig") for line in member.lines())


def term(row: dict[str, str], parents: Sequence[str], variants: Sequence[tuple[str, str]]) -> Row:
    said = [Property(name, "valueString", row[name]) for name in _PROPERTIES if row.get(name)]
    if row.get("STATUS") == "DEPRECATED":
        said.append(Property("inactive", "valueBoolean", True))
    display = row.get("LONG_COMMON_NAME") or row.get("COMPONENT")
    names: list[tuple[str | None, Json | None, str]] = []
    for column in _NAMES:
        if row.get(column) and row[column] != display:
            names.append(("en", {"system": LOINC, "code": column, "display": column}, row[column]))
    names += [(language, None, name) for language, name in variants]
    return Row(row["LOINC_NUM"], display, row.get("DefinitionDescription") or None, parents, said, names)


def meta(version: str) -> Json:
    properties = [{"code": name, "type": "string"} for name in _PROPERTIES]
    return {
        "resourceType": "CodeSystem",
        "url": LOINC,
        **({"version": version} if version else {}),
        "name": "LOINC",
        "title": "Logical Observation Identifiers, Names and Codes (LOINC)",
        "status": "active",
        "experimental": False,
        "publisher": "Regenstrief Institute, Inc.",
        "copyright": "This material contains content from LOINC (http://loinc.org). LOINC is copyright © Regenstrief "
        "Institute, Inc. and the LOINC Committee and is available at no cost under the license at "
        "http://loinc.org/license.",
        "language": "en",
        "caseSensitive": False,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": [*properties, {"code": "inactive", "type": "boolean"}],
    }


__all__ = ["LOINC", "Loinc"]
