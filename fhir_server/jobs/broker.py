"""The Celery application. A message carries a Task's id and nothing else; it only wakes a worker.

Without FHIR_SERVER_BROKER_URL the broker is a folder under the data directory (files.py), which needs nothing
installed. With one (amqp://, redis://) messages are acknowledged after the work, one at a time.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from celery import Celery

from fhir_server.jobs.files import SCHEME

RUN_TASK: Final = "fhir_server.run_task"
QUEUE: Final = "fhir-server-tasks"
POLL_SECONDS: Final = 0.02


def celery_app(broker_url: str | None, data_dir: Path) -> Celery:
    """Celery over `broker_url`, or over files in ``data_dir/jobs/queue``."""
    # kombu warns that files have no host name
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)
    app = Celery("fhir_server")
    app.conf.update(
        broker_url=broker_url or f"{SCHEME}://",
        broker_transport_options=_redis(broker_url) if broker_url else _files(data_dir / "jobs" / "queue"),
        broker_connection_retry_on_startup=True,
        # a broker that is away comes back; the Tasks wait
        broker_connection_max_retries=None,
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # files: a message is gone once it is read, so there is nothing to gain by leaving it; the Task remembers
        worker_prefetch_multiplier=1 if broker_url else 16,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app


def _files(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"folder": str(folder), "polling_interval": POLL_SECONDS}


def _redis(url: str) -> dict[str, Any]:
    """Redis gives a message of a lost worker to another one only after its visibility timeout; the Task's own lease
    is watched besides, so that this need not be short."""
    return {"visibility_timeout": 300} if url.startswith(("redis", "rediss", "valkey")) else {}
