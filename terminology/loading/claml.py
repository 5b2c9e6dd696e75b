"""Classifications of the WHO in ClaML (Classification Markup Language): ICD-10 as it is licensed to an operator."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lxml import etree

from terminology.building import Builder, Row
from terminology.loading.source import Member, Progress, Release
from terminology.server.systems import Property

Json = dict[str, Any]
ICD10: Final = "http://hl7.org/fhir/sid/icd-10"
_NOTES: Final = ("inclusion", "exclusion", "note", "coding-hint", "definition")


class Claml(Release):
    """See Release."""

    name = "ICD-10"

    def __init__(self, member: Member) -> None:
        self._member = member
        self.size = member.size
        self.version = ""
        for _, element in etree.iterparse(io.BytesIO(member.content()), tag="Title", resolve_entities=False):
            self.version = element.get("version", "")
            break

    def files(self) -> list[Member]:
        return [self._member]

    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        builder.system(self._meta(), self._rows(progress))

    def _rows(self, progress: Progress) -> Iterator[Row]:
        content = io.BytesIO(self._member.content())
        for count, (_, element) in enumerate(etree.iterparse(content, tag="Class", resolve_entities=False), 1):
            display, notes = None, []
            for rubric in element.findall("Rubric"):
                text = " ".join(" ".join(rubric.itertext()).split())
                if rubric.get("kind") == "preferred" and display is None:
                    display = text
                elif rubric.get("kind") in _NOTES:
                    notes.append(Property(rubric.get("kind"), "valueString", text))
            said = [Property("kind", "valueCode", element.get("kind", "")), *notes]
            parents = [one.get("code") for one in element.findall("SuperClass")]
            yield Row(element.get("code"), display, None, parents, said)
            element.clear()
            if not count % 500:
                progress(min(content.tell(), self.size), count)

    def _meta(self) -> Json:
        return {
            "resourceType": "CodeSystem",
            "url": ICD10,
            **({"version": self.version} if self.version else {}),
            "name": "ICD10",
            "title": "International Classification of Diseases, 10th Revision",
            "status": "active",
            "experimental": False,
            "publisher": "World Health Organization",
            "copyright": "© World Health Organization",
            "language": "en",
            "caseSensitive": False,
            "hierarchyMeaning": "is-a",
            "content": "complete",
            "property": [{"code": name, "type": "string"} for name in ("kind", *_NOTES)],
        }


def is_claml(member: Member) -> bool:
    if not member.name.endswith(".xml"):
        return False
    start = b"".join(line for line, _ in zip(member.lines(), range(10), strict=False))
    return b"<ClaML" in start


def recognised(files: Sequence[Member]) -> Claml | None:
    found = next((one for one in files if is_claml(one)), None)
    return None if found is None else Claml(found)
