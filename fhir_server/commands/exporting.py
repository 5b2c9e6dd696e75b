"""``fhir-server export``: NDJSON per resource type and a manifest, written as the store is read."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.commands.progress import Progress, progress
from fhir_server.opening import Opened, open_hub
from fhir_server.settings import Settings
from fhir_server.store.protocol import Version

MANIFEST: Final = "manifest.json"
_PAGE: Final = 1000
_GZIP_LEVEL: Final = 3
_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """What to take: () and None are no limit. since: microseconds since 1970. patients: ids."""

    types: tuple[str, ...] = ()
    since: int | None = None
    patients: tuple[str, ...] = ()


@click.command(name="export")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar=environment("export_out"),
    show_envvar=True,
    help="Directory to write to; made when it is not there.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    envvar=environment("export_type"),
    show_envvar=True,
    help="Only this resource type; may be repeated, or several separated by commas.",
)
@click.option(
    "--since",
    metavar="INSTANT",
    envvar=environment("export_since"),
    show_envvar=True,
    help="Only what was last changed at or after this date or instant, e.g. 2026-01-31T00:00:00Z.",
)
@click.option(
    "--patient",
    "patients",
    multiple=True,
    envvar=environment("export_patient"),
    show_envvar=True,
    help="Only what is in this patient's compartment (an id, or Patient/id); may be repeated.",
)
@click.option(
    "--gzip", "zipped", is_flag=True, envvar=environment("export_gzip"), show_envvar=True, help="Write TYPE.ndjson.gz."
)
@settings_options(*DATA)
def command(
    settings: Settings, out: Path, types: tuple[str, ...], since: str | None, patients: tuple[str, ...], zipped: bool
) -> None:
    """Write every resource of the store to DIR/TYPE.ndjson, with a manifest.json beside them.

    It reads one moment of the store, in constant memory; a server on the same store may go on working."""
    selection = _selection(types, since, patients)
    started = time.monotonic()
    with progress("Exporting", "resources") as shown:
        counts = asyncio.run(_export(settings, out, selection, zipped, shown))
    taken = max(time.monotonic() - started, 1e-9)
    total = sum(counts.values())
    click.echo(
        f"Exported {total:,} resources of {len(counts)} types to {out} in {taken:.1f} s ({total / taken:,.0f}/s)."
    )


def _selection(types: Sequence[str], since: str | None, patients: Sequence[str]) -> Selection:
    from fhir_server.r4b.definitions import definitions
    from fhir_server.r4b.times import time_range

    wanted = tuple(dict.fromkeys(name.strip() for text in types for name in text.split(",") if name.strip()))
    for name in wanted:
        if not definitions().is_resource(name):
            raise click.BadParameter(f"{name} is not a FHIR R4B resource type.", param_hint="--type")
    moment = None
    if since is not None:
        found = time_range(since, search=True)
        if found is None:
            raise click.BadParameter(
                f"'{since}' is not a date or instant like 2026-01-31T00:00:00Z.", param_hint="--since"
            )
        moment = found[0]
    return Selection(wanted, moment, tuple(dict.fromkeys(text.removeprefix("Patient/") for text in patients)))


async def _export(settings: Settings, out: Path, selection: Selection, zipped: bool, shown: Progress) -> dict[str, int]:
    from fhir_server.interactions import binaries
    from fhir_server.r4b.codec import instant

    counts: dict[str, int] = {}
    files: dict[str, IO[bytes]] = {}
    async with open_hub(settings) as opened:
        for id in selection.patients:
            found = await opened.store.read("Patient", id)
            if found is None or found.body is None:
                raise click.ClickException(f"there is no Patient/{id} in this store.")
        _clear(out)
        moment = instant(int(time.time() * 1000) * 1000)
        total = 0 if selection != Selection() else sum((await opened.store.type_counts()).values())
        done = 0
        try:
            async for batch in _batches(opened, selection):
                lines: dict[str, list[bytes]] = {}
                for version in batch:
                    if version.type == "Binary":
                        version = await binaries.complete(opened.hub, version)
                    if version.body is not None:
                        lines.setdefault(version.type, []).append(version.body)
                for type, bodies in lines.items():
                    if type not in files:
                        files[type] = _create(out / _file_name(type, zipped), zipped)
                    bodies.append(b"")
                    files[type].write(b"\n".join(bodies))
                    counts[type] = counts.get(type, 0) + len(bodies) - 1
                done += len(batch)
                shown.show(done=done, total=total, count=done)
        finally:
            for file in files.values():
                file.close()
    _write_manifest(out, _manifest(counts, zipped, moment, selection))
    return counts


async def _batches(opened: Opened, selection: Selection) -> AsyncIterator[Sequence[Version]]:
    if not selection.patients:
        async for batch in opened.store.scan(types=selection.types, since=selection.since):
            yield batch
        return
    from fhir_server.interactions import compartments
    from fhir_server.search.query import Or, Query

    for type in compartments.members("Patient"):
        nodes = tuple(compartments.criteria("Patient", id, type) for id in selection.patients)
        wanted = tuple(node for node in nodes if node is not None)
        if not wanted or (selection.types and type not in selection.types):
            continue
        query = Query((type,), wanted[0] if len(wanted) == 1 else Or(wanted))
        page = await opened.store.search(query, limit=_PAGE)
        while True:
            since = selection.since
            yield [match for match in page.matches if since is None or match.last_updated >= since]
            if page.next is None:
                break
            page = await opened.store.search(query, limit=_PAGE, after=page.next, snapshot=page.snapshot)


def _file_name(type: str, zipped: bool) -> str:
    return f"{type}.ndjson.gz" if zipped else f"{type}.ndjson"


def _create(path: Path, zipped: bool) -> IO[bytes]:
    if not zipped:
        return path.open("wb", buffering=_BUFFER)
    # No time stamp inside: the same resources give the same bytes.
    return gzip.GzipFile(path, "wb", _GZIP_LEVEL, mtime=0)  # type: ignore[return-value]


def _clear(out: Path) -> None:
    """Make the directory; what an earlier export left there, by its manifest, goes."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        earlier = json.loads((out / MANIFEST).read_text())["output"]
        names = [Path(str(item["url"])).name for item in earlier]
    except (OSError, ValueError, KeyError, TypeError):
        return
    (out / MANIFEST).unlink()
    for name in names:
        (out / name).unlink(missing_ok=True)


def _manifest(counts: dict[str, int], zipped: bool, moment: str, selection: Selection) -> dict[str, Any]:
    asked = ["fhir-server export"]
    asked += [f"--type {type}" for type in selection.types]
    if selection.since is not None:
        from fhir_server.r4b.codec import instant

        asked.append(f"--since {instant(selection.since)}")
    asked += [f"--patient {id}" for id in selection.patients]
    return {
        "transactionTime": moment,
        "request": " ".join(asked),
        "requiresAccessToken": False,
        "output": [
            {"type": type, "url": _file_name(type, zipped), "count": count} for type, count in sorted(counts.items())
        ],
        "error": [],
    }


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
