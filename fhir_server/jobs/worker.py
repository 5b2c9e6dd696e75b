"""The worker process: a Celery consumer that runs Tasks on one event loop, and the dispatcher that wakes it.

Celery's consumer has the main thread (and its signals: SIGTERM lets running jobs end, a second one does not); its pool
threads only wait for the event loop, which has a thread of its own, with the store and the hub.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from celery import Celery

from fhir_server.jobs.broker import RUN_TASK, celery_app
from fhir_server.jobs.dispatcher import Dispatcher
from fhir_server.jobs.feed import Feed
from fhir_server.jobs.job import Runner
from fhir_server.jobs.liveness import Liveness
from fhir_server.jobs.names import Names
from fhir_server.jobs.runtime import Runtime
from fhir_server.jobs.webhooks import deliveries

if TYPE_CHECKING:
    from fhir_server.settings import Settings

T = TypeVar("T")
_END_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.5
log = logging.getLogger(__name__)


def main(settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
    """Work until SIGTERM or SIGINT. ready: called once it takes jobs and what the first one needs is loaded."""
    app = celery_app(settings.broker_url, settings.data_dir)
    with _EventLoop() as loop:
        opened = open_runtime(settings)
        runtime = loop.run(opened.__aenter__())
        try:
            work(app, loop, runtime, settings, ready)
        finally:
            loop.run(opened.__aexit__(None, None, None))


def work(
    app: Celery, loop: _EventLoop, runtime: Runtime, settings: Settings, ready: Callable[[], None] = lambda: None
) -> None:
    """Consume messages until a signal says to stop."""

    @app.task(name=RUN_TASK)  # type: ignore[untyped-decorator]
    def run_task(task_id: str) -> None:
        loop.run(runtime.wake(task_id))

    async def warmed() -> None:
        await asyncio.to_thread(warm, settings)
        ready()
        # the very first job has the machine to itself
        await asyncio.sleep(_PAUSE_SECONDS)
        await asyncio.to_thread(warm_more, settings)

    async def watch() -> None:
        while runtime.overdue < settings.job_concurrency:  # noqa: ASYNC110 (seconds do not matter here)
            await asyncio.sleep(1)
        log.error("jobs past their time limit have left threads behind that cannot be stopped; the worker ends")
        _end_soon()

    async def publish(task_id: str) -> None:
        await asyncio.to_thread(app.send_task, RUN_TASK, (task_id,))

    lock = settings.data_dir / "jobs" / "dispatcher.lock"
    dispatching = loop.start(Dispatcher(runtime, publish, lock=lock).run())
    watching = loop.start(watch())
    telling = loop.start(deliveries(runtime.hub, settings).run())
    warming = loop.start(warmed())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it runs as root in a container is the operator's choice
        worker = app.Worker(
            pool="threads",
            concurrency=settings.job_concurrency,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="WARNING",
        )
        try:
            worker.start()
        finally:
            for running in (dispatching, watching, telling, warming):
                running.cancel()


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Store, hub and every dialect's runners, as a worker uses them."""
    from fhir_server.dialects import load_dialects
    from fhir_server.opening import open_hub

    async with open_hub(settings) as opened:
        liveness = Liveness(settings.data_dir / "jobs" / "workers")
        lease = timedelta(seconds=settings.job_lease_seconds)
        liveness.forget(older_than=2 * lease.total_seconds() + 3600)
        runners: dict[str, Runner] = {}
        for dialect in load_dialects():
            runners |= dialect.runners
        try:
            yield Runtime(
                hub=opened.hub,
                runners=runners,
                names=Names(opened.hub.base_url),
                settings=settings,
                worker=liveness.worker,
                lease=lease,
                is_dead=liveness.is_dead,
                feed=Feed(opened.hub, runners),
                time_limit=settings.job_time_limit or None,
            )
        finally:
            liveness.close()


def _end_soon() -> None:
    """As at SIGTERM: jobs that run may end; but not later than a while from now."""
    last = threading.Timer(_END_SECONDS, os._exit, (1,))
    last.daemon = True
    last.start()
    os.kill(os.getpid(), signal.SIGTERM)


def warm(settings: Settings) -> None:
    """Load what the first job of the smallest kind would wait for. A failure here is the job's to report."""
    from fhir_server.jobs.models import model
    from fhir_server.processing.engines import extractor

    with suppress(Exception):
        load: Any = getattr(extractor({"extract": settings.engine}), "warm", None)
        if load is not None:
            load()
        for type in ("Condition", "Procedure", "Observation", "MedicationStatement"):
            model(type)


def warm_more(settings: Settings) -> None:
    """Load what the first job of any other kind would wait for."""
    from fhir_server.jobs.models import model
    from fhir_server.processing.case import CaseRequest, insights

    usual = sys.getswitchinterval()
    # a job that comes meanwhile is to hardly notice
    sys.setswitchinterval(0.0002)
    with suppress(Exception):
        insights(CaseRequest((), summary="Cough for 3 days. Assessment: pneumonia."))
        for type in ("Composition", "ClinicalImpression", "DiagnosticReport", "DocumentReference"):
            model(type)
    sys.setswitchinterval(usual)


class _EventLoop:
    """An event loop in a thread of its own."""

    def __enter__(self) -> _EventLoop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_finish(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def start(self, work: Awaitable[T]) -> Any:
        """Run on the loop; gives a future of this thread."""
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)

    def run(self, work: Awaitable[T]) -> T:
        """Run on the loop and wait, from another thread."""
        result: T = self.start(work).result()
        return result


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _finish() -> None:
    """Cancel what still runs on the loop and let it clean up."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
