"""The dialect over a real hub and store in a temporary folder, without the HTTP server and its worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI

from fhir_server.dialects import DialectContext, install
from fhir_server.hub import Hub, HubOptions
from fhir_server.jobs.book import JobBook
from fhir_server.jobs.counters import BufferedCounters
from fhir_server.jobs.names import Names
from fhir_server.jobs.runtime import Runtime
from fhir_server.processing.case import (
    CaseInsights,
    CaseRequest,
    CaseSummary,
    PrimaryDiagnosis,
    Score,
    SoapNote,
)
from fhir_server.processing.engines import CodeResult, ComposeResult, Quote, SummarizeResult, SummarySection
from fhir_server.search.registry import Registry
from fhir_server.security.caller import SYSTEM
from fhir_server.security.keys import Keys
from fhir_server.security.tokens import Tokens
from fhir_server.store import open_store
from mappers.medmitra import dialect

SECRET = b"a secret of at least thirty-two bytes"
FORM = {"user_id": "asha", "patient_name": "John Doe", "patient_age": "45", "patient_gender": "Male"}
Json = dict[str, Any]


def token(user: str = "asha", **claims: Any) -> str:
    """A user's token, as an identity provider with the same secret makes it."""
    given = {"sub": user, "aud": "authenticated", "exp": int(time.time()) + 3600} | claims
    return jwt.encode({name: value for name, value in given.items() if value is not None}, SECRET, algorithm="HS256")


@dataclass
class Site:
    hub: Hub
    keys: Keys
    settings: SimpleNamespace
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, user: str = "asha", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token(user)}"} | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, user: str = "asha", **params: str) -> Any:
        response = await self.call("GET", path, user, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def create(self, user: str = "asha", files: Any = None, **fields: str) -> Json:
        data = FORM | {"user_id": user} | fields
        # a form without files would not be multipart
        parts = [*((name, (None, value)) for name, value in data.items()), *(files or [])]
        response = await self.call("POST", "/cases/create_case", user, files=parts)
        assert response.status_code == 201, response.text
        found: Json = response.json()
        return found

    async def work(self, case_id: str) -> Json:
        """Do the case's job; the Task after it."""
        runtime = Runtime(
            hub=self.hub,
            runners=dialect.runners,
            names=Names(self.hub.base_url),
            settings=SimpleNamespace(engine="rules"),
            worker="w",
        )
        assert await runtime.run(case_id)
        return await self.fhir("Task", case_id)

    async def done(self, user: str = "asha", files: Any = None, **fields: str) -> Json:
        """A case that was created and analysed: what GET shows of it."""
        case_id = (await self.create(user, files, **fields))["case"]["case_id"]
        await self.work(case_id)
        found: Json = await self.get(f"/cases/cases/{case_id}", user)
        return found

    async def fhir(self, type: str, id: str) -> Json:
        return await self.hub.read_resource(SYSTEM, type, id)

    async def save(self, resource: Json) -> Json:
        """Written as a FHIR client writes it."""
        version = await self.hub.save(SYSTEM, resource)
        return await self.fhir(version.type, version.id)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = await open_store("sqlite", data_dir=tmp_path)
    hub = Hub(store, base_url="http://test/fhir", registry=Registry(), options=HubOptions(secret=b"x"))
    keys = Keys(store, b"pepper")
    settings = SimpleNamespace(
        auth="keys", medmitra_lab_bytes=10_000, medmitra_radiology_bytes=20_000, job_queue_limit=5
    )
    app = FastAPI()
    context = DialectContext(
        hub=hub,
        keys=keys,
        settings=settings,
        jobs=JobBook(hub, dialect.runners),
        counters=BufferedCounters(store),
        clock=lambda: datetime.now(UTC),
        names=Names(hub.base_url),
        tokens=Tokens(SECRET, "authenticated", keys=keys),
    )
    install(app, [dialect], context)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Site(hub, keys, settings, client)
    await hub.stop()
    await store.close()


CSV = b"test,value,unit\nGlucose,180,mg/dL\nHaemoglobin,12,g/dL\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
FILES = [("lab_files", ("cbc.csv", CSV, "text/csv")), ("radiology_files", ("chest.png", PNG, "image/png"))]


def canned(request: CaseRequest, chosen: object = None) -> CaseInsights:
    """Insights that depend on nothing but what there is: the dialect's own part is tested here."""
    labs = [each for each in request.documents if each.kind == "lab"]
    quotes = tuple(Quote("Glucose,180,mg/dL", each.document.id, 0, 17) for each in labs)
    return CaseInsights(
        case_summary=CaseSummary(
            "Tired.\nGlucose is high.",
            ("Glucose 180", "Tired"),
            "Glucose 180" if labs else "",
            "",
            Score(0.5, ("two",)),
        ),
        soap_note=SoapNote(
            "Tired <all day>", "Glucose 180 & rising", "Diabetes\n\nNot controlled", "Diet", Score(0.6, ("x",))
        ),
        primary_diagnosis=PrimaryDiagnosis(
            "diabetes",
            "E11.9",
            "Type 2 diabetes mellitus without complications",
            ("Glucose,180,mg/dL",),
            Score(0.7, ("y",)),
        )
        if labs
        else None,
        overall_confidence=0.6,
        codes=CodeResult(()),
        coded_in={},
        summary_result=SummarizeResult("", (SummarySection("results", "Results", "", quotes),), "rules", "1"),
        note_result=ComposeResult("", ()),
    )


@pytest.fixture(autouse=True)
def _canned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mappers.medmitra.analysis.insights", canned)
