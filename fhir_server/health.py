"""/health/live, /health/ready and /metrics: what an orchestrator asks. No key, nothing of a patient."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server.jobs.webhooks import gauges as webhook_gauges
from fhir_server.metrics import Labels, Metrics
from fhir_server.search.query import Query, Token
from fhir_server.store.protocol import Store, StoreError

log = logging.getLogger(__name__)

_TASK_STATUSES: Final = ("requested", "received", "accepted", "ready", "in-progress", "on-hold", "completed", "failed")
_GAUGE_SECONDS: Final = 5.0
_READY_SECONDS: Final = 5.0

HEALTH_PATHS: Final = ("/health/live", "/health/ready", "/metrics")

Gauges = list[tuple[str, str, Mapping[Labels, float]]]


def health_routes(store: Store, metrics: Metrics) -> list[Route]:
    """The three routes, over an open store."""
    measured: tuple[float, Gauges] = (0.0, [])

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        try:
            good = await asyncio.wait_for(store.ready(), _READY_SECONDS)
        except Exception:
            log.warning("the store is not ready", exc_info=True)
            good = False
        return JSONResponse(
            {"status": "ok" if good else "unavailable", "store": "ok" if good else "cannot take a write"},
            status_code=200 if good else 503,
            headers={"Cache-Control": "no-store"},
        )

    async def show_metrics(request: Request) -> Response:
        nonlocal measured
        # Counting is cheap, but a scraper gone wild must not make it a load.
        if time.monotonic() - measured[0] > _GAUGE_SECONDS:
            measured = (time.monotonic(), await _gauges(store))
        return Response(metrics.render(measured[1]), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route(path, endpoint, methods=["GET"])
        for path, endpoint in zip(HEALTH_PATHS, (live, ready, show_metrics), strict=True)
    ]


async def _gauges(store: Store) -> Gauges:
    try:
        resources: dict[Labels, float] = {
            (("type", type),): count for type, count in (await store.type_counts()).items()
        }
        jobs: dict[Labels, float] = {
            (("status", status),): await store.count(Query(("Task",), Token("status", None, status)))
            for status in _TASK_STATUSES
        }
        webhooks = await webhook_gauges(store)
        commits: dict[Labels, float] = {(): await store.last_seq()}
    except StoreError:
        return []
    return [
        ("fhir_server_resources", "Current resources by type.", resources),
        ("fhir_server_jobs", "Tasks by status.", jobs),
        ("fhir_server_store_sequence_total", "Number of the store's last change.", commits),
        *webhooks,
    ]
