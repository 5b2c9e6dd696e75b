"""``fhir-server dicom``: studies that are elsewhere, linked in as ImagingStudies."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fhir_server.commands.options import DATA, environment, settings_options
from fhir_server.opening import open_hub
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.dicom.dicomweb import Source
    from fhir_server.dicom.headers import Instance
    from fhir_server.hub import Hub

_BATCH: Final = 8
_HEADER: Final = re.compile(r"\s*([A-Za-z0-9\-]+)\s*:\s*(\S.*)")


@click.group(name="dicom")
def command() -> None:
    """Link DICOM studies in as ImagingStudies, each with its Patient."""


@command.command(name="sync")
@click.option(
    "--dicomweb",
    "url",
    required=True,
    metavar="URL",
    envvar=environment("dicom_dicomweb"),
    show_envvar=True,
    help="Base URL of the DICOMweb server (QIDO-RS, WADO-RS), e.g. https://pacs.example/dicom-web.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    envvar=environment("dicom_headers"),
    show_envvar=True,
    help="Sent with every request, e.g. 'Authorization: Bearer ...'. May be repeated.",
)
@click.option(
    "--since",
    metavar="YYYY-MM-DD",
    envvar=environment("dicom_since"),
    show_envvar=True,
    help="Only studies of this day and later.",
)
@click.option(
    "--instances/--no-instances",
    default=True,
    envvar=environment("dicom_instances"),
    show_envvar=True,
    show_default=True,
    help="Whether each instance is listed, or only series with their counts.",
)
@settings_options(*DATA, "base_url", "host", "port")
def sync(settings: Settings, url: str, headers: tuple[str, ...], since: str | None, instances: bool) -> None:
    """Link every study of a DICOMweb server. Once more brings what is new and changes nothing else.

    Exit status: 0 all went well, 1 some studies could not be linked (they are named)."""
    from fhir_server.dicom.dicomweb import Source, SourceFailed

    filters = {"StudyDate": f"{_day(since)}-"} if since else {}
    try:
        source = Source(url, headers=dict(_header(each) for each in headers))
        started = time.monotonic()
        linked, written, failed = asyncio.run(_sync(settings, source, filters, each=instances))
    except SourceFailed as error:
        raise click.ClickException(str(error)) from None
    taken = time.monotonic() - started
    click.echo(
        f"Linked {linked:,} {'study' if linked == 1 else 'studies'} in {taken:.1f} s; {written:,} were new or changed."
    )
    for uid, reason in failed:
        click.echo(f"{uid}: {reason}", err=True)
    if failed:
        sys.exit(1)


@command.command(name="link")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@settings_options(*DATA, "base_url", "host", "port")
def link_command(settings: Settings, paths: tuple[Path, ...]) -> None:
    """Link DICOM files, or all of those in folders. Files that are not DICOM are left out.

    Exit status: 0 all went well, 1 some DICOM files could not be linked (they are named)."""
    from fhir_server.dicom.link import Summary, link_files
    from fhir_server.dicom.routes import options_of

    async def run() -> Summary:
        async with open_hub(settings) as opened:
            return await link_files(opened.hub, _files(paths), options_of(settings))

    started = time.monotonic()
    summary = asyncio.run(run())
    taken = max(time.monotonic() - started, 1e-9)
    count = len(summary.studies)
    click.echo(
        f"Linked {summary.files:,} files of {count:,} {'study' if count == 1 else 'studies'} in {taken:.1f} s "
        f"({summary.files / taken:,.0f}/s)."
    )
    for path, reason in summary.refused:
        click.echo(f"{path}: {reason}", err=True)
    if summary.refused:
        sys.exit(1)


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Files that are named, and those in folders that look like DICOM."""
    from fhir_server.dicom.headers import looks_like_dicom

    for path in paths:
        if path.is_file():
            yield path
            continue
        for each in sorted(path.rglob("*")):
            if each.is_file():
                with each.open("rb") as file:
                    if looks_like_dicom(file.read(132)):
                        yield each


async def _sync(
    settings: Settings, source: Source, filters: dict[str, str], *, each: bool
) -> tuple[int, int, list[tuple[str, str]]]:
    async with open_hub(settings) as opened:
        return await sync_studies(opened.hub, source, filters, each=each, settings=settings)


async def sync_studies(
    hub: Hub, source: Source, filters: dict[str, str], *, each: bool = True, settings: Settings | None = None
) -> tuple[int, int, list[tuple[str, str]]]:
    """Link the studies of `source`: (linked, new or changed, (UID, reason) of those that could not be)."""
    from dataclasses import replace

    from fhir_server.dicom.dicomweb import SourceFailed
    from fhir_server.dicom.link import Linker
    from fhir_server.dicom.routes import options_of
    from fhir_server.r4b.outcome import FhirError

    linker = Linker(hub, replace(options_of(settings), endpoint=source.url))
    linked, written, failed = 0, 0, []
    studies = source.studies(filters)

    async def one(study: Instance) -> tuple[bool, bool]:
        try:
            (done,) = await linker.link(await asyncio.to_thread(source.instances, study, each=each))
        except (SourceFailed, FhirError) as error:
            failed.append((study.study_uid, str(error)))
            return False, False
        return True, done.written

    while True:
        batch = await asyncio.to_thread(lambda: list(itertools.islice(studies, _BATCH)))
        if not batch:
            return linked, written, failed
        for ok, new in await asyncio.gather(*(one(study) for study in batch)):
            linked, written = linked + ok, written + new


def _day(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise click.UsageError("--since must be a day in the form YYYY-MM-DD.")
    return text.replace("-", "")


def _header(text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise click.UsageError("--header must have the form 'NAME: VALUE'.")
    return found[1], found[2]
