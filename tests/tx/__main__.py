"""Runs HL7's terminology ecosystem tests against this server (or any other), and prints what passes in each suite.

    python -m tests.tx [--data ARCHIVE] [--url BASE --key KEY] [--suite NAME] [--test TEXT] [--modes general] [-v]

Without --url the server runs in this process on an empty store. --minimum N: fail below N passes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.tx.forms import to_r4b, to_r5
from tests.tx.patterns import Comparer

Json = dict[str, Any]
DATA = Path(__file__).parents[3] / "shared" / "data" / "tx-tests"
_PATHS = {
    "expand": "ValueSet/$expand",
    "validate-code": "ValueSet/$validate-code",
    "cs-validate-code": "CodeSystem/$validate-code",
    "batch-validate": "ValueSet/$batch-validate-code",
    "lookup": "CodeSystem/$lookup",
    "translate": "ConceptMap/$translate",
    "subsumes": "CodeSystem/$subsumes",
    "metadata": "metadata",
    "term-caps": "metadata?mode=terminology",
}


@dataclass(frozen=True, slots=True)
class Result:
    suite: str
    test: str
    wrong: str | None


class Suites:
    """The files of the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[Json] = self.json("test-cases.json")["suites"]
        # Where a server may word a message itself, this one says what tx.fhir.org says, or what the pattern asks for.
        self.externals: dict[str, dict[str, str]] = self.json("messages-tx.fhir.org.json")

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8-sig"))

    def chosen(self, modes: frozenset[str], suite: str | None, test: str | None) -> Iterator[tuple[Json, Json]]:
        for one in self.all:
            if one.get("mode", "general") not in modes or (suite and one["name"] != suite):
                continue
            for case in one["tests"]:
                if case.get("mode", "general") in modes and (not test or test in case["name"]):
                    yield one, case


class Runner:
    """Puts the cases to a server, one at a time."""

    def __init__(self, suites: Suites, client: httpx.AsyncClient, modes: frozenset[str], *, verbose: bool) -> None:
        self._suites = suites
        self._client = client
        self._modes = modes
        self._verbose = verbose

    async def run(self, suite: Json, case: Json) -> Result:
        try:
            wrong = await self._wrong(suite, case)
        except (KeyError, ValueError, StopIteration) as error:
            wrong = f"{type(error).__name__}: {error}"
        return Result(suite["name"], case["name"], wrong)

    async def _wrong(self, suite: Json, case: Json) -> str | None:
        operation = case["operation"]
        path = _PATHS.get(operation)
        if path is None:
            return f"the operation {operation} is not run"
        loose = operation in ("metadata", "term-caps")
        headers = {"Accept": "application/fhir+json"}
        if "Accept-Language" in case:
            headers["Accept-Language"] = case["Accept-Language"]
        if "header" in case:
            headers[case["header"]["name"]] = case["header"]["value"]
        if loose:
            answer = await self._client.get(path, headers=headers)
        else:
            headers["Content-Type"] = "application/fhir+json"
            answer = await self._client.post(path, content=json.dumps(self._request(suite, case)), headers=headers)
        if self._verbose:
            print(answer.status_code, json.dumps(answer.json(), indent=1))
        expected = str(case.get("http-code", "2xx"))
        if not _status_fits(expected, answer.status_code):
            return f"status {answer.status_code}, expected {expected}: {answer.text[:300]}"
        actual = to_r5(answer.json())
        first_wrong = None
        names = [case[key] for key in ("response:flat", "response", "response2") if key in case]
        for name in [name for name in names if "flat" not in name or "flat" in self._modes]:
            externals = self._suites.externals.get(name)
            comparer = Comparer("4.3.0", self._modes, loose=loose, externals=externals)
            wrong = comparer.difference(self._suites.json(name), actual)
            if wrong is None:
                return None
            first_wrong = first_wrong or wrong
        return first_wrong

    def _request(self, suite: Json, case: Json) -> Json:
        request = self._suites.json(case["request"])
        parameters = list(request.get("parameter", ()))
        for name in suite.get("setup", ()):
            parameters.append({"name": "tx-resource", "resource": self._suites.json(name)})
        profile = self._suites.json(case.get("profile", "parameters-default.json"))
        parameters += profile.get("parameter", ())
        return to_r4b({"resourceType": "Parameters", "parameter": parameters})


def _status_fits(expected: str, status: int) -> bool:
    text = str(status)
    return all(one in ("x", digit) for one, digit in zip(expected, text, strict=True))


@asynccontextmanager
async def server(url: str | None, key: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server at `url`, or of one in this process."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if url:
        async with httpx.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers, timeout=120) as client:
            yield client
        return
    from fhir_server.hub import Hub
    from fhir_server.rest.app import fhir_app
    from fhir_server.rest.options import RestOptions
    from fhir_server.security.caller import SYSTEM
    from fhir_server.store import open_store
    from terminology.service import Terminology

    with tempfile.TemporaryDirectory() as folder:
        store = await open_store("sqlite", data_dir=Path(folder))
        hub = Hub(store, base_url="http://test/fhir", terminology=Terminology(Path(folder) / "terminology"))
        app = fhir_app(hub, authenticate=lambda headers: SYSTEM, options=RestOptions(server_version="0.1.0"))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/fhir/", timeout=120) as client:
            yield client
        await store.close()


async def run(given: argparse.Namespace, folder: Path) -> list[Result]:
    modes = frozenset(given.modes.split(","))
    suites = Suites(folder)
    results = []
    async with server(given.url, given.key) as client:
        runner = Runner(suites, client, modes, verbose=given.verbose)
        for suite, case in suites.chosen(modes, given.suite, given.test):
            results.append(await runner.run(suite, case))
    return results


def report(results: list[Result]) -> int:
    """Prints the figures; the number of passes."""
    by_suite: dict[str, list[Result]] = {}
    for result in results:
        by_suite.setdefault(result.suite, []).append(result)
    for suite, found in by_suite.items():
        print(f"{suite:28} {sum(one.wrong is None for one in found):4} of {len(found)}")
        for one in found:
            if one.wrong is not None:
                print(f"    {one.test}: {one.wrong[:400]}")
    passed = sum(one.wrong is None for one in results)
    print(f"{'together':28} {passed:4} of {len(results)}")
    return passed


def find_tests(data: Path, into: Path) -> Path | None:
    """The folder with test-cases.json, unpacked if need be; None when there are no tests."""
    if (data / "test-cases.json").exists():
        return data
    archives = sorted(data.glob("*.tar.gz")) if data.is_dir() else [data] if data.exists() else []
    if not archives:
        return None
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(into, filter="data")
    return next(into.rglob("test-cases.json")).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    for name in ("url", "key", "suite", "test"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--modes", default="general")
    parser.add_argument("--minimum", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tests = find_tests(given.data, Path(folder))
        if tests is None:
            print(f"Skipped: there are no tests in {given.data} (HL7/fhir-tx-ecosystem-ig).")
            return
        passed = report(asyncio.run(run(given, tests)))
    sys.exit(passed < given.minimum)


if __name__ == "__main__":
    main()
