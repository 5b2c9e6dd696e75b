"""FHIR packages, and files of CodeSystem, ValueSet and ConceptMap resources (alone, in a Bundle, or as NDJSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from terminology.building import Builder
from terminology.loading.source import Member, Progress, Release

Json = dict[str, Any]
_TYPES = ("CodeSystem", "ValueSet", "ConceptMap")


class FhirResources(Release):
    """See Release. A package has the name and version of its manifest; files have those of what they are in."""

    def __init__(self, name: str, version: str, files: Sequence[Member]) -> None:
        self.name, self.version = name, version
        self._files = list(files)
        self.size = sum(one.size for one in files)

    def files(self) -> list[Member]:
        return self._files

    def write(self, builder: Builder, progress: Progress, stage: Path) -> None:
        read = count = 0
        for member in self._files:
            for resource in resources_in(member):
                kind = resource["resourceType"]
                if kind == "CodeSystem":
                    count += builder.code_system(resource)
                elif kind == "ValueSet":
                    count += builder.value_set(resource)
                else:
                    count += builder.concept_map(resource)
            read += member.size
            progress(read, count)


def resources_in(member: Member) -> Iterator[Json]:
    """The terminology resources of a file. Raises ValueError for what is no JSON."""
    if member.name.endswith(".ndjson"):
        for line in member.lines():
            if line.strip():
                yield from _of(json.loads(line))
        return
    yield from _of(json.loads(member.content().decode("utf-8-sig")))


def _of(resource: Any) -> Iterator[Json]:
    if not isinstance(resource, dict):
        return
    if resource.get("resourceType") in _TYPES:
        yield resource
    elif resource.get("resourceType") == "Bundle":
        for entry in resource.get("entry") or ():
            yield from _of(entry.get("resource"))


def recognised(name: str, files: Sequence[Member]) -> FhirResources | None:
    """A package (there is a package.json), or the JSON files with terminology in them."""
    manifest = next((one for one in files if one.name in ("package/package.json", "package.json")), None)
    if manifest is not None:
        told = json.loads(manifest.content())
        inside = [one for one in files if "/example" not in one.name and one.base.split("-")[0] in _TYPES]
        inside = [one for one in inside if one.name.endswith(".json")]
        return FhirResources(str(told.get("name", name)), str(told.get("version", "")), inside) if inside else None
    chosen = [one for one in files if one.name.endswith((".json", ".ndjson")) and _has_some(one)]
    return FhirResources(name, "", chosen) if chosen else None


def _has_some(member: Member) -> bool:
    try:
        return next(resources_in(member), None) is not None
    except ValueError:
        return False
