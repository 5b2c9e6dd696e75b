"""What is in a path, and its way into an index file that is put into use when it is whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from terminology.building import Builder
from terminology.index import LAYOUT
from terminology.loaded import Loaded
from terminology.loaded import Release as Installed
from terminology.loading import claml, fhir
from terminology.loading.loinc import Loinc
from terminology.loading.rf2 import Rf2
from terminology.loading.rxnorm import RxNorm
from terminology.loading.source import NothingFound, Progress, Release, members


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one release. fresh: False when these files had been loaded before. counts: of the file."""

    title: str
    fresh: bool
    systems: int = 0
    concepts: int = 0
    value_sets: int = 0
    maps: int = 0


def recognise(path: Path) -> list[Release]:
    """The releases in a folder, archive or file. Raises NothingFound, OSError."""
    files = members(path)
    names = {one.base.lower() for one in files}
    found: list[Release] = []
    if any(re.match(r"sct2_concept_.*snapshot.*\.txt\Z", name) for name in names):
        found.append(Rf2(files))
    if "loinc.csv" in names:
        found.append(Loinc(str(path), files))
    if "rxnconso.rrf" in names:
        found.append(RxNorm(str(path), files))
    classification = claml.recognised(files)
    if classification is not None:
        found.append(classification)
    if not found:
        resources = fhir.recognised(path.name, files)
        if resources is not None:
            found.append(resources)
    if not found:
        raise NothingFound(
            f"There is nothing in {path} that can be loaded: a FHIR package, CodeSystem, ValueSet or ConceptMap files, "
            "Loinc.csv, a SNOMED CT RF2 snapshot, RXNCONSO.RRF, or a ClaML file."
        )
    return found


def load(
    release: Release,
    loaded: Loaded,
    progress: Progress,
    *,
    again: bool = False,
    started: Callable[[], None] = lambda: None,
) -> Done:
    """Build the index file of a release and put it into use; older ones of the same name go. What was loaded from the
    same files already is left as it is, so that a load that was interrupted goes on where it ended."""
    slug = re.sub(r"[^a-z0-9]+", "-", release.name.lower()).strip("-") or "content"
    file = f"{slug}-{release.fingerprint()}-{LAYOUT}.sqlite"
    if not again and any(one.file == file for one in loaded.releases()) and (loaded.folder / file).exists():
        return Done(release.title, fresh=False)
    started()
    loaded.folder.mkdir(parents=True, exist_ok=True)
    part = loaded.folder / f"{file}.part"
    builder = Builder(part)
    try:
        release.write(builder, progress, loaded.folder)
        done = Done(
            release.title,
            True,
            len(builder.systems),
            builder.written,
            len(builder.value_sets),
            len(builder.maps),
        )
        builder.close()
    except BaseException:
        builder.db.close()
        part.unlink(missing_ok=True)
        raise
    part.chmod(0o444)
    part.replace(loaded.folder / file)
    for old in loaded.install(Installed(release.name, release.title, file)):
        # A process that has the file open keeps it until it looks at the list again.
        old.unlink(missing_ok=True)
    return done
