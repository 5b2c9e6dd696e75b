"""Studies of a DICOMweb server, linked in. The server is a small one that knows QIDO-RS and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from click.testing import CliRunner

from fhir_server.cli import main
from fhir_server.commands.dicom import sync_studies
from fhir_server.dicom.dicomweb import Source, SourceFailed
from fhir_server.hub import Hub
from fhir_server.security.caller import SYSTEM

from .files import ROOT


class Pacs:
    """QIDO-RS over files of pydicom's; pages are of at most `most` matches."""

    def __init__(self) -> None:
        self.most, self.requests = 1000, 0
        self.fails: set[str] = set()
        self.datasets: list[Any] = []
        for path in sorted((ROOT / "dicomdirtests").rglob("*")):
            if path.is_file():
                dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
                if dataset.get("StudyInstanceUID"):
                    self.datasets.append(dataset)

    @property
    def uids(self) -> set[str]:
        return {str(each.StudyInstanceUID) for each in self.datasets}

    def answer(self, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]] | None:
        parts = path.strip("/").split("/")[1:]
        key = {
            1: "StudyInstanceUID",
            3: parts[2:] and {"series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}[parts[2]],
        }[len(parts)]
        chosen: dict[str, Any] = {}
        for each in self.datasets:
            if len(parts) == 1 or str(each.StudyInstanceUID) == parts[1]:
                chosen.setdefault(str(each[key].value), each)
        since = query.get("StudyDate", [""])[0].rstrip("-")
        start, limit = int(query["offset"][0]), min(int(query["limit"][0]), self.most)
        found = [each for each in chosen.values() if str(each.get("StudyDate", "")) >= since]
        if len(parts) > 1 and parts[1] in self.fails:
            return None
        return [self.told(each) for each in found[start : start + limit]]

    def told(self, dataset: Any) -> dict[str, Any]:
        told: dict[str, Any] = dataset.to_json_dict(suppress_invalid_tags=True)
        count = sum(each.StudyInstanceUID == dataset.StudyInstanceUID for each in self.datasets)
        return told | {"00201208": {"vr": "IS", "Value": [count]}}


@pytest.fixture(scope="module")
def pacs() -> Iterator[tuple[Pacs, str]]:
    known = Pacs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.requests += 1
            if self.headers.get("Authorization") != "Basic dTpw":
                self.send_error(401)
                return
            parts = urlsplit(self.path)
            found = known.answer(parts.path, parse_qs(parts.query))
            if found is None:
                self.send_error(500)
                return
            body = json.dumps(found).encode() if found else b""
            self.send_response(200 if found else 204)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield known, f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    server.shutdown()
    server.server_close()


AUTHORIZED = {"Authorization": "Basic dTpw"}


async def test_every_study_is_linked_with_its_series_and_instances(hub: Hub, pacs: tuple[Pacs, str]) -> None:
    known, url = pacs
    known.most = 3
    linked, written, failed = await sync_studies(hub, Source(url, headers=AUTHORIZED), {})
    assert (linked, written, failed) == (len(known.uids), len(known.uids), [])
    studies = await hub.find(SYSTEM, "ImagingStudy", [])
    assert {each["identifier"][0]["value"].removeprefix("urn:oid:") for each in studies} == known.uids
    told = {(str(each.StudyInstanceUID), str(each.SOPInstanceUID)) for each in known.datasets}
    assert sum(each["numberOfInstances"] for each in studies) == len(told)
    assert {each["id"] for each in await hub.find(SYSTEM, "Endpoint", [("status", "active")])} == {
        each["endpoint"][0]["reference"].partition("/")[2] for each in studies
    }
    again = await sync_studies(hub, Source(url, headers=AUTHORIZED), {})
    assert again == (len(known.uids), 0, [])


async def test_series_alone_keep_the_counts_that_were_told(hub: Hub, pacs: tuple[Pacs, str]) -> None:
    known, url = pacs
    await sync_studies(hub, Source(url, headers=AUTHORIZED), {}, each=False)
    studies = await hub.find(SYSTEM, "ImagingStudy", [])
    assert not any(series.get("instance") for each in studies for series in each["series"])
    assert sum(each["numberOfInstances"] for each in studies) == len(known.datasets)


async def test_a_study_that_fails_is_named_and_the_others_are_linked(hub: Hub, pacs: tuple[Pacs, str]) -> None:
    known, url = pacs
    bad = min(known.uids)
    known.fails = {bad}
    try:
        linked, _, failed = await sync_studies(hub, Source(url, headers=AUTHORIZED), {})
    finally:
        known.fails = set()
    assert linked == len(known.uids) - 1
    assert [uid for uid, _ in failed] == [bad]


def test_the_command_tells_what_it_did(tmp_path: Path, pacs: tuple[Pacs, str]) -> None:
    known, url = pacs
    options = ["dicom", "sync", "--dicomweb", url, "--data-dir", str(tmp_path), "--header", "Authorization: Basic dTpw"]
    result = CliRunner().invoke(main, [*options, "--since", "2003-01-01"])
    assert result.exit_code == 0, result.output
    count = len({str(each.StudyInstanceUID) for each in known.datasets if str(each.StudyDate) >= "20030101"})
    assert f"Linked {count} studies" in result.output


def test_a_server_that_refuses_or_is_not_there_is_an_error_in_words(tmp_path: Path, pacs: tuple[Pacs, str]) -> None:
    _, url = pacs
    for target, words in ((url, "401"), ("http://127.0.0.1:9/x", "cannot be asked"), ("ftp://x/y", "not the URL")):
        result = CliRunner().invoke(main, ["dicom", "sync", "--dicomweb", target, "--data-dir", str(tmp_path)])
        assert result.exit_code == 1, result.output
        assert words in result.output
    with pytest.raises(SourceFailed):
        asyncio.run(asyncio.to_thread(lambda: list(Source(url).studies())))


def test_a_folder_is_linked(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["dicom", "link", str(ROOT / "dicomdirtests"), "--data-dir", str(tmp_path)])
    files, studies = re.search(r"Linked (\d+) files of (\d+) studies", result.output).groups()  # type: ignore[union-attr]
    assert (int(files), int(studies)) == (81, len(Pacs().uids))
    assert "DICOMDIR" in result.output
