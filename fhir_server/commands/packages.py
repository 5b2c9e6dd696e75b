"""``fhir-server packages install FILE.tgz``: the profiles, value sets and other definitions of a FHIR package."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from fhir_server.commands.options import DATA, settings_options
from fhir_server.commands.progress import progress
from fhir_server.settings import Settings

#: What a package is installed for. Its examples are not: they are somebody's data.
_DEFINITIONS: Final = frozenset(
    {
        "CapabilityStatement",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "GraphDefinition",
        "ImplementationGuide",
        "NamingSystem",
        "OperationDefinition",
        "Questionnaire",
        "StructureDefinition",
        "ValueSet",
    }
)
_LARGEST: Final = 256 * 2**20


class NotAPackage(ValueError):
    """The file is not a FHIR package."""


@click.group(name="packages")
def command() -> None:
    """Install FHIR packages: profiles, value sets, code systems."""


@command.command(name="install")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--search-parameters/--no-search-parameters",
    default=False,
    help="Also install the package's SearchParameters, which are then indexed.",
)
@settings_options(*DATA, "base_url", "host", "port")
def install(settings: Settings, files: tuple[Path, ...], search_parameters: bool) -> None:
    """Install the definitions of FHIR packages (FILE.tgz), each under its own id. A second time changes nothing."""
    wanted = _DEFINITIONS | ({"SearchParameter"} if search_parameters else set())
    failed = False
    for file in files:
        try:
            manifest, resources = read_package(file, wanted)
        except NotAPackage as error:
            click.echo(f"{file}: {error}", err=True)
            failed = True
            continue
        written, refused = asyncio.run(_install(settings, resources))
        name = f"{manifest.get('name')}#{manifest.get('version')}"
        click.echo(
            f"{name}: {written} definitions installed, {len(resources) - written - len(refused)} were here already."
        )
        for line in refused:
            click.echo(f"  refused: {line}", err=True)
        failed = failed or bool(refused)
    if failed:
        raise SystemExit(1)


def read_package(file: Path, types: frozenset[str] | set[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(package.json, resources of those types with an id). Raises NotAPackage."""
    from fhir_server.r4b.codec import decode

    manifest: dict[str, Any] | None = None
    resources: list[dict[str, Any]] = []
    try:
        for name, content in _members(file):
            if name == "package.json":
                manifest = msgspec.json.decode(content, type=dict[str, Any])
                continue
            found = decode(content)
            if isinstance(found, dict) and found.get("resourceType") in types and isinstance(found.get("id"), str):
                resources.append(found)
    except (tarfile.TarError, OSError, EOFError, msgspec.MsgspecError) as error:
        raise NotAPackage(f"not a FHIR package: {error}") from None
    if manifest is None:
        raise NotAPackage("not a FHIR package: it has no package/package.json.")
    return manifest, resources


def _members(file: Path) -> Iterator[tuple[str, bytes]]:
    """JSON files directly in ``package/``."""
    left = _LARGEST
    with tarfile.open(file) as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").partition("/")
            if folder != "package" or "/" in name or not name.endswith(".json") or name.startswith("."):
                continue
            left -= member.size
            if left < 0:
                raise NotAPackage("the package is too large.")
            content = archive.extractfile(member)
            if content is not None:
                yield name, content.read()


async def _install(settings: Settings, resources: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """(how many were new or different, what was refused and why)."""
    from fhir_server.opening import open_hub
    from fhir_server.r4b.outcome import FhirError
    from fhir_server.security.caller import SYSTEM

    written, refused = 0, []
    async with open_hub(settings) as opened:
        with progress("Installing", "definitions") as shown:
            for place, resource in enumerate(resources, 1):
                if not await _is_there(opened.hub, resource):
                    try:
                        await opened.hub.save(SYSTEM, resource)
                        written += 1
                    except FhirError as error:
                        refused.append(f"{resource['resourceType']}/{resource['id']}: {error}")
                shown.show(done=place, total=len(resources), count=place)
    return written, refused


async def _is_there(hub: Any, resource: dict[str, Any]) -> bool:
    """Whether the very same definition is in the store."""
    from fhir_server.r4b.codec import decode

    version = await hub.store.read(resource["resourceType"], resource["id"])
    if version is None or version.body is None:
        return False
    kept = decode(version.body)
    return _without_stamps(kept) == _without_stamps(resource)


def _without_stamps(resource: dict[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    return {**{name: value for name, value in resource.items() if name != "meta"}, **({"meta": meta} if meta else {})}
