"""What exists is documented: settings, commands and their options, interactions, operations, routes."""

import re
import tomllib
from pathlib import Path

import click
import pytest
from fastapi import FastAPI

from fhir_server.cli import COMMANDS, main
from fhir_server.commands.options import NOT_OPTIONS
from fhir_server.dialects import DialectContext, load_dialects
from fhir_server.health import HEALTH_PATHS
from fhir_server.operations import registry
from fhir_server.rest.interactions import HANDLERS
from fhir_server.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    text = page("settings.md")
    assert f"`{PREFIX}{name.upper()}`" in text
    if name not in NOT_OPTIONS:
        assert f"`--{name.replace('_', '-')}`" in text
    description = Settings.model_fields[name].description
    assert description is not None
    assert description in text, f"docs/settings.md does not say of {name}: {description}"


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)  # type: ignore[attr-defined]
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", each) for sub, each in command.commands.items()]
    return found


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_documented(name: str) -> None:
    assert f"fhir-server {name}" in page("command-line.md")


@pytest.mark.parametrize("name", [name for name, _ in commands() if name not in ("serve", "api", "worker", "keys")])
def test_every_option_of_a_command_is_documented(name: str) -> None:
    text = page("command-line.md") + page("keys.md") + page("import-export.md")
    for option in dict(commands())[name].params:
        if isinstance(option, click.Option) and option.name not in Settings.model_fields:
            assert option.opts[0] in text, option.opts[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_data_directory_and_the_store(name: str) -> None:
    command = dict(commands())[name]
    for each in command.commands.values() if isinstance(command, click.Group) else [command]:
        options = {option for parameter in each.params for option in parameter.opts}
        assert {"--data-dir", "--store"} <= options


@pytest.mark.parametrize("name", [*HANDLERS, "metadata"])
def test_every_interaction_is_documented(name: str) -> None:
    headings = "\n".join(
        line
        for file in (DOCS / "interactions").glob("*.md")
        for line in file.read_text().splitlines()
        if line[:1] == "#"
    )
    shown = {"bundle": "batch and transaction", "metadata": "capabilities"}.get(name, name)
    assert re.search(rf"\b{re.escape(shown)}\b", headings), name


def operation_names() -> list[str]:
    registry.load()
    return sorted({operation.name for operation in registry.operations()})


@pytest.mark.parametrize("name", operation_names())
def test_every_operation_is_documented(name: str) -> None:
    assert any(f"${name}" in file.read_text() for file in (DOCS / "operations").glob("*.md")), name


def test_every_route_of_a_dialect_is_documented() -> None:
    for dialect in load_dialects():
        text = page(f"dialects/{dialect.name}.md")
        context = DialectContext(*[None] * 7)  # type: ignore[arg-type]
        app = FastAPI()
        app.include_router(dialect.router(context))
        for path, methods in app.openapi()["paths"].items():
            for method in methods:
                assert f"{method.upper()} {path}`" in text, f"{method} {path} of {dialect.name}"


def test_health_and_metrics_are_documented() -> None:
    assert all(path in page("monitoring.md") for path in HEALTH_PATHS)


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    broken = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text())
        if not (file.parent / target).exists()
    ]
    assert broken == []


def test_the_constraints_are_exact_and_plain() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s;@]+", line) for line in lines)


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {_plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    missing = {_plain(re.split(r"[\[<>=!~; ]", each)[0]) for each in declared} - pinned
    assert missing == set(), "run: make constraints"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
